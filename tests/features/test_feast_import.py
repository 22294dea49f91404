"""Feast is imported without what the platform does not use, and with its checks where definitions are read."""

import os
import subprocess
import sys

import pytest

from mlops_lib.imports import unchecked
from tests.support.feature_projects import ROOT, write_config, write_repo
from tests.support.projects import Project

CHECKED = "from typeguard import typechecked\n@typechecked\ndef double(number: int):\n    return number * 2\n"
#: Opens a store in a process of its own.
READ = """
import sys
from mlops_lib import config, features
provider = features.from_settings(config.load("config.yaml"))
provider.describe("numbers")
print("torch" in sys.modules)
from feast import FeatureView
print("check_argument_types" in FeatureView.__init__.__code__.co_names)
import torch
"""


def test_checks_are_left_out_of_the_block_alone(tmp_path, monkeypatch):
    """The same function takes a text when it is imported in the block, and refuses it when imported after it."""
    import typeguard

    for name in ("in_block", "after_block"):
        (tmp_path / f"{name}.py").write_text(CHECKED)
    monkeypatch.syspath_prepend(tmp_path)
    with unchecked():
        import in_block
    import after_block

    assert in_block.double("a") == "aa"
    with pytest.raises(typeguard.TypeCheckError, match="number"):
        after_block.double("a")


@pytest.mark.slow
def test_a_store_is_read_without_torch_and_checks_of_definitions(feature_project):
    """Torch and typeguard's checks are 5 of the 7 s of Feast's import; torch can be imported afterwards."""
    write_config(feature_project)
    done = subprocess.run(
        [sys.executable, "-c", READ], cwd=feature_project, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["False", "False"], done.stdout + done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_apply_checks_the_arguments_of_definitions(tmp_path):
    """A TTL of 7 is refused by the argument's name, as `feast apply` refuses it."""
    definitions = write_repo(tmp_path / "repo") / "definitions.py"
    definitions.write_text(definitions.read_text().replace("timedelta(days=7)", "7"))
    write_config(tmp_path)
    done = Project(tmp_path).mlops("features", "apply", warm=True)
    assert done.returncode == 1
    assert 'argument "ttl" (int)' in " ".join(done.stderr.split()), done.stdout + done.stderr
