"""The environment of a version: compared, and built from its lock."""

import pytest

from mlops_lib.lineage import environment, manifest
from mlops_lib.lineage.lock import lock

HERE = {"python": "3.11.7", "platform": "Linux", "accelerator": ""}


def test_the_same_environment_has_no_differences():
    """This one and its own lock."""
    assert environment.differences(manifest.machine(), lock(), manifest.machine(), lock()) == []


def test_the_graphics_cards_are_those_of_the_driver(tmp_path, monkeypatch):
    """Its tool lists a card a line; a tool that fails, or is not there, knows of none."""
    tool = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert manifest.machine()["accelerator"] == ""
    lines = "NVIDIA H200, 580.159.04\nNVIDIA H200, 580.159.04\nTesla T4, 580.159.04"
    tool.write_text(f"#!/bin/sh\nwhile read -r line; do echo \"$line\"; done <<'END'\n{lines}\nEND\n")
    tool.chmod(0o755)
    assert (
        manifest.machine()["accelerator"]
        == "2 x NVIDIA H200, driver 580.159.04; 1 x Tesla T4, driver 580.159.04"
    )
    tool.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    assert manifest.machine()["accelerator"] == ""


def test_differences_are_listed():
    """Versions, distributions on one side alone, Python; an editable project is code, which has a commit."""
    then = "a==1\nb==2\nteam @ file:///srv/team  # version 1, editable\n"
    now = "a==1.1\nc==3\nteam @ file:///home/team  # version 2, editable\n"
    other = {**HERE, "python": "3.11.9", "accelerator": "1 x H100, driver 580"}
    assert environment.differences(HERE, then, other, now) == [
        "python: 3.11.7 then, 3.11.9 now",
        "accelerator: none then, 1 x H100, driver 580 now",
        "a: 1 then, 1.1 now",
        "b: 2 then, not installed now",
        "c: not installed then, 3 now",
    ]


def test_an_editable_installation_becomes_the_code_of_the_version(tmp_path):
    """Of the user's repository and of a clone elsewhere; a folder without a project cannot be installed."""
    top, code = tmp_path / "mine", tmp_path / "code"
    for folder in (top / "lib", code / "lib"):
        folder.mkdir(parents=True)
        (folder / "pyproject.toml").write_text("[project]\nname = 'lib'\n")
    (code / "pyproject.toml").write_text("[project]\nname = 'Team_Project'\n")
    own = (top / "lib").as_uri()
    locked = (
        f"a==1\nlib @ {own}  # version 1, editable\nold @ file:///gone/old  # version 1\n"
        "team-project @ file:///home/other/clone  # version 1, editable\n"
    )
    adapted = environment._adapted(locked, top, code)
    assert adapted == f"a==1\n-e {code / 'lib'}\n# old: /gone/old is no project here\n-e {code}\n"


def test_code_of_the_repository_on_the_path_is_that_of_the_version(tmp_path, monkeypatch):
    """Other folders stay as they are."""
    top, code = tmp_path / "mine", tmp_path / "code"
    (code / "lib").mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", f"{top}/lib:/usr/share/lib")
    assert environment.import_path(top, code) == f"{code}/lib:/usr/share/lib"


@pytest.mark.parametrize("value", ["", "4"])
def test_variables_that_change_numbers_are_as_they_were(value):
    """One that was not set then is empty."""
    found = environment.variables({"environment": {"OMP_NUM_THREADS": value} if value else {}})
    assert found["OMP_NUM_THREADS"] == value and found["PYTHONHASHSEED"] == ""
