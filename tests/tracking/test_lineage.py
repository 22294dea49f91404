"""Tags of a run that lead back to its code and its lists."""

import subprocess

import pytest

from mlops_lib import tracking


def test_the_commit_is_tied_to_the_run(project):
    """A clean checkout gives its commit, a changed one says so, and no checkout gives none."""
    settings = project.settings()
    assert "mlops.git_commit" not in tracking.lineage(settings)
    git = ["git", "-C", str(project.root), "-c", "user.name=t", "-c", "user.email=t@example.com"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    head = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    assert tracking.lineage(settings)["mlops.git_commit"] == head
    project.configure(train={"seed": 5})
    assert tracking.lineage(settings)["mlops.git_commit"] == f"{head}+changes"


@pytest.mark.parametrize("values", [[], ["user_id"], ["a,b", "[c]", 'say "d"']])
def test_a_list_in_a_tag_is_read_back(values):
    """Any text can be in the list: commas, brackets and quotes."""
    assert tracking.read_list_tag(tracking.list_tag(values)) == values


@pytest.mark.parametrize(
    ("tag", "values"), [("", []), ("user_id", ["user_id"]), ("visits,age", ["visits", "age"])]
)
def test_lists_of_older_versions_are_read(tag, values):
    """Versions that were registered before hold lists separated by commas."""
    assert tracking.read_list_tag(tag) == values
