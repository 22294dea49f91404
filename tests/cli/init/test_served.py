"""From a table to a served answer by the command line alone."""

import json

import pytest

from tests.support.projects import Project
from tests.support.shop import started


@pytest.mark.slow
def test_a_table_is_trained_promoted_and_served_with_its_raw_rows(customers, tmp_path):
    """Text, dates, gaps and a label Yes/No; the row of the source is sent whole, with key and label."""
    customers.to_csv(tmp_path / "churn.csv", index=False)
    (tmp_path / "churn").mkdir()
    project = Project(tmp_path / "churn")
    for command in (["init", ".", "--source", "../churn.csv"], ["run"], ["promote", "churn", "1"]):
        done = project.mlops(*command, warm=True)
        assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(customers.head(20).to_json(orient="records"))
    with started(["mlops", "serve"], project.root, tmp_path / "service.log") as service:
        service.until_ready()
        _, answer = service.post("/predict", {"inputs": rows})
    assert len(answer["predictions"]) == 20 and all(0 <= p <= 1 for p in answer["predictions"])
    assert answer["classes"] == ["No", "Yes"]
