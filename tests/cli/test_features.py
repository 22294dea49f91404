"""`mlops features`, on the example's own feature repository: what people see, and what they see when they slip."""

import re

import pytest
from typer.testing import CliRunner

from mlops_lib import config
from mlops_lib.cli import app
from mlops_lib.errors import MlopsError
from tests.support import terminal
from tests.support.feature_projects import ROOT

COLUMNS = 80


@pytest.fixture
def on_example(example_features, tmp_path, monkeypatch):
    """A folder whose config.yaml is the example's, on the filled copy of its feature repository."""
    text = (ROOT / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(
        text.replace("examples/repurchase/feature_repo", str(example_features))
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mlops(*arguments):
    """Exit code and what is printed, the message of an error included."""
    found = CliRunner().invoke(app.app, ["features", *arguments], env={"COLUMNS": str(COLUMNS)})
    if found.exception and not isinstance(found.exception, SystemExit):
        assert isinstance(found.exception, MlopsError), found.exception
        return found.exit_code, f"{found.output}{found.exception}"
    return found.exit_code, found.output


def in_terminal(*arguments):
    """Exit code and the lines that a terminal of 80 columns is left with, rewritten ones included."""
    code, shown = terminal.in_terminal("features", *arguments, columns=COLUMNS)
    return code, re.split(r"[\r\n]+", shown)


def test_apply_lists_what_is_registered(on_example):
    """Entity, feature view and feature service by kind and name, one a line; a second time nothing changes."""
    found = CliRunner().invoke(app.app, ["features", "apply"])
    assert found.exit_code == 0
    assert found.stdout == "Entity user\nFeatureService customers\nFeatureView purchases\n"
    assert found.stderr == "No changes to registry\nNo changes to infrastructure\n"


def test_get_shows_a_line_for_each_feature_with_its_value(on_example):
    """The values are those that training has of the same customer."""
    from mlops_lib import loaders

    settings = config.load(ROOT / "config.yaml")
    trained = loaders.from_settings(settings).load("train").iloc[0]
    code, shown = mlops("get", f"user_id={trained['user_id']:.0f}")
    assert code == 0
    values = dict(line.split() for line in shown.splitlines()[1:])
    wanted = {name: trained[name] for name in values}
    assert {name: float(text) for name, text in values.items()} == wanted and len(values) == 7


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["get", "user_id=99999999"], "does not know user_id=99999999. Is it materialised?"),
        (["get", "user_id"], "looked up by user_id=..., not by user_id."),
        (["get", "user_id="], "looked up by user_id=..., not by user_id=."),
        (["get", "customer=1"], "looked up by user_id=..., not by customer=1."),
        (["get", "user_id=1", "user_id=2"], "looked up by user_id=..., not by user_id=1 user_id=2."),
        (["get", "user_id=six"], "user_id has value 'six'; 'customers' wants an integer."),
        (["get", "user_id=6", "--service", "costumers"], "no feature service 'costumers'"),
        (["materialize", "--since", "2026-02-01", "--until", "2026-01-01"], "is after --until"),
        (["materialize", "--since", "soon"], "'soon' does not match"),
    ],
)
def test_a_slip_is_answered_with_what_to_type(on_example, arguments, said):
    """Unknown entity, no =, unknown service, dates: a non-zero exit and a message, never a traceback."""
    code, shown = mlops(*arguments)
    assert code != 0 and said in " ".join(shown.replace("│", " ").split())


def test_an_unknown_entity_is_shown_feature_by_feature(on_example):
    """The table says of each feature that the entity is unknown, so that a half-filled store is seen too."""
    _, shown = mlops("get", "user_id=99999999")
    assert shown.count("unknown_entity") == 7


@pytest.mark.slow
def test_materialize_counts_the_rows_in_a_terminal_while_it_writes(on_example):
    """In a real terminal: a count that grows, view by view, no line wider than it, and a last word."""
    code, lines = in_terminal("materialize")
    assert code == 0, lines
    counts = [int(n) for n in re.findall(r"purchases: (\d+) rows", "\n".join(lines))]
    assert counts == sorted(counts) and counts[-1] == 23_570
    assert "The online store is up to date." in lines
    assert all(len(line) <= COLUMNS for line in lines)
