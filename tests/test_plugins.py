"""Implementations by name or dotted path, imported on use."""

import sys

import pytest

from mlops_lib import plugins
from mlops_lib.errors import PluginError

BUILT_IN = [(kind, name) for kind, table in plugins.TABLE.items() for name in table]


@pytest.mark.parametrize(("kind", "name"), BUILT_IN)
def test_every_line_of_the_table_leads_to_an_implementation(kind, name):
    """Each entry points to a class or a function that exists."""
    assert callable(plugins.load(kind, name))


@pytest.mark.parametrize(
    ("kind", "name"), [("loader", "parquett"), ("wrapper", "lightening"), ("network", "x")]
)
def test_an_unknown_name_lists_those_there_are(kind, name):
    """The error lists the available names."""
    with pytest.raises(PluginError) as error:
        plugins.load(kind, name)
    assert f"Unknown {kind} {name!r}" in str(error.value)
    assert all(known in str(error.value) for known in plugins.names(kind))


def test_a_dotted_path_needs_no_line_in_the_table():
    """A user's own class is named by its dotted path."""
    from collections import OrderedDict

    assert plugins.load("wrapper", "collections:OrderedDict") is OrderedDict


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("no_such_package:Thing", "Cannot import wrapper 'no_such_package:Thing'"),
        ("collections:NoSuchThing", "'collections' has no 'NoSuchThing'"),
        ("collections:", "package.module:Class"),
        (":Thing", "package.module:Class"),
    ],
)
def test_a_dotted_path_that_leads_nowhere_says_so(path, words):
    """The error names the wrong part of the path."""
    with pytest.raises(PluginError, match=words.replace("(", r"\(")):
        plugins.load("wrapper", path)


def test_a_missing_extra_names_the_command_that_installs_it(monkeypatch):
    """Without torch, the error for a network has the command that installs it."""
    monkeypatch.setitem(sys.modules, "mlops_lib.networks.tabular", None)
    extra = plugins.TABLE["network"]["tabular"].extra
    with pytest.raises(PluginError, match=rf"pip install 'mlops-lib\[{extra}\]'"):
        plugins.load("network", "tabular")
