"""`mlops compare VERSION ...`: real versions, compared by what their evaluations stored or by asking them again."""

import json
import re
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
from typer.testing import CliRunner

from mlops_lib import config, loaders, registry, wrappers
from mlops_lib.cli.app import app
from mlops_lib.comparison import view
from mlops_lib.comparison.pairwise import compare_models
from mlops_lib.comparison.result import Side
from mlops_lib.comparison.versions import compare_versions, stored
from mlops_lib.errors import EvaluationError, RegistryError
from mlops_lib.evaluation.judged import JudgedRows
from mlops_lib.wrappers import champion
from tests.support import compared
from tests.support.promoting import promote


def mlops(settings, *arguments: str):
    result = CliRunner().invoke(app, ["compare", *arguments, "--config", str(settings.root / "config.yaml")])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def outcomes(report) -> dict[str, str]:
    return {c.metric: c.outcome for c in report.against[0].comparisons}


@pytest.mark.slow
def test_the_candidate_is_compared_with_production_by_the_stored_rows(buyers, monkeypatch):
    """Without arguments: Staging against Production. No model is loaded: both were judged on the same rows."""
    monkeypatch.setattr(champion, "ask", lambda *_: pytest.fail("no model needs to be asked"))
    report = compare_versions(buyers, "buyers", [])
    assert [side.version for side in report.sides] == [1, 2]
    assert (report.reference.stage, report.against[0].side.stage) == ("Production", "Staging")
    assert outcomes(report)["accuracy"] == "better" and outcomes(report)["log_loss"] == "better"
    assert 60 < report.entities < report.rows and report.against[0].changed > 50
    first = report.changed_rows[0]
    key = json.loads(first.input)["user_id"]
    assert first.change < 0 and first.truth in ("yes", "no")
    position, named = re.fullmatch(r"row (\d+), key (\d+)", first.name).groups()
    judged = stored(registry.Registry(buyers).resolve("buyers", version=2)).rows
    assert named == str(key) == judged.entities[int(position)] and judged.ids[int(position)] == first.id
    assert view.row_text(first) == f"{first.name}: {first.input}"
    turned = compare_versions(buyers, "buyers", [2, 1])
    assert turned.against[0].outcome in ("worse", "not_worse") and outcomes(turned)["accuracy"] == "worse"


@pytest.mark.slow
def test_a_version_without_stored_rows_is_asked_on_the_prepared_rows(buyers):
    """Version 3 was never judged; the others' stored rows are those of the prepared data."""
    report = compare_versions(buyers, "buyers", [2, 3])
    assert report.against[0].outcome == "not_worse" and report.rows > 200
    assert any("Version 3 was asked again on these rows." in note for note in report.notes)
    assert compare_versions(buyers, "buyers", [3]).reference.version == 1, (
        "one version: Production is the reference"
    )


@pytest.mark.slow
def test_versions_on_different_data_are_refused_with_both_fingerprints(buyers):
    """Version 4 is judged on other rows. Asked on them, version 1 can be compared; when these are gone too, nothing can."""
    compared.rows(seed=1).to_csv(buyers.root / "rows.csv", index=False)
    loaders.from_settings(buyers).write(loaders.prepared_folder(buyers))
    fourth = compared.add_version(buyers, {"C": 1.0})
    report = compare_versions(buyers, "buyers", [1, fourth.version])
    assert any("Version 1 was asked again on these rows." in note for note in report.notes)
    prints = [fingerprint(buyers, version)[:12] for version in (1, fourth.version)]
    compared.rows(seed=2).to_csv(buyers.root / "rows.csv", index=False)
    loaders.from_settings(buyers).write(loaders.prepared_folder(buyers))
    wanted = (
        f"version 1 on {prints[0]}, version {fourth.version} on {prints[1]}.*prepared data is none of these"
    )
    with pytest.raises(EvaluationError, match=wanted):
        compare_versions(buyers, "buyers", [1, fourth.version])


def fingerprint(settings, version: int) -> str:
    run_id = registry.Registry(settings).resolve("buyers", version=version).run_id
    return mlflow.MlflowClient().get_run(run_id).data.tags["mlops.data_fingerprint"]


@pytest.mark.parametrize(
    ("numbers", "error"),
    [
        ([1, 1], "two to 5 different versions, not 1, 1"),
        ([1, 2, 3, 4, 5, 6], "two to 5 different versions"),
        ([9, 1], "No model 'buyers' at version 9"),
        ([1], "version 1 is at Production"),
    ],
)
def test_versions_that_cannot_be_compared_are_named(buyers, numbers, error):
    with pytest.raises(RegistryError, match=error):
        compare_versions(buyers, "buyers", numbers)


def test_two_versions_of_one_run_are_one_model(buyers):
    """A model is not better or worse than itself."""
    store = registry.Registry(buyers)
    twin = store.register("buyers", store.resolve("buyers", version=2).run_id, {})
    with pytest.raises(RegistryError, match=f"Versions 2 and {twin.version} of buyers are the same model"):
        compare_versions(buyers, "buyers", [2, twin.version])


@pytest.mark.slow
def test_an_archived_version_is_no_candidate(buyers):
    """Staging is empty and the newest version is at Production: an older one is compared when it is named."""
    store = registry.Registry(buyers)
    promote(store, "buyers", 3)
    with pytest.raises(RegistryError, match=r"no version is at Staging: there is nothing.*mlops compare 3 2"):
        store.promote("buyers", 2, "Archived")
        compare_versions(buyers, "buyers", [])


@pytest.mark.slow
def test_every_form_has_the_same_result(buyers, tmp_path):
    """Terminal, Markdown, JSON and HTML; the page is also with the run, and needs nothing from elsewhere."""
    text = mlops(buyers, "1", "2").output
    assert (
        "buyers: version 2 against version 1" in text and "accuracy ↑" in text and "Rows that changed" in text
    )
    pull_request = mlops(buyers, "1", "2", "--format", "markdown").stdout
    assert (
        pull_request.startswith("### buyers: version 2 against version 1")
        and "| accuracy ↑ | 2 | better |" in pull_request
    )
    found = json.loads(mlops(buyers, "1", "2", "--format", "json").stdout)
    assert found["against"][0]["outcome"] in ("better", "not_worse")
    mlops(buyers, "1", "2", "--output", str(tmp_path / "result.html"))
    html = (tmp_path / "result.html").read_text()
    assert "<h1>buyers: version 2 against version 1</h1>" in html and not re.search(
        r"(src|href)=|@import|url\(", html
    )
    run_id = registry.Registry(buyers).resolve("buyers", version=2).run_id
    assert (
        Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="compare/1-2.html")).read_text()
        == html
    )


@pytest.mark.slow
def test_altered_rows_are_an_error(buyers, tmp_path):
    """The rows are those that the verdict was made of, to the last byte."""
    run_id = registry.Registry(buyers).resolve("buyers", version=2).run_id
    client = mlflow.MlflowClient()
    (stored,) = (one.path for one in client.list_artifacts(run_id, "evaluation/test") if "/rows-" in one.path)
    file = Path(client.download_artifacts(run_id, stored, str(tmp_path)))
    whole = file.read_bytes()
    file.write_bytes(whole + b"x")
    client.log_artifact(run_id, str(file), "evaluation/test")
    try:
        with pytest.raises(EvaluationError, match="are not those that the verdict was made of"):
            compare_versions(buyers, "buyers", [1, 2])
    finally:  # artifacts are shared with the other tests
        file.write_bytes(whole)
        client.log_artifact(run_id, str(file), "evaluation/test")


@pytest.mark.slow
def test_the_exit_status_is_zero_unless_an_outcome_is_asked_for(buyers):
    assert mlops(buyers, "2", "1").exit_code == 0
    assert mlops(buyers, "1", "2", "--fail-unless", "not_worse").exit_code == 0
    buyers.root.joinpath("config.yaml").write_text(
        buyers.root.joinpath("config.yaml")
        .read_text()
        .replace("threshold: 0.0", "threshold: 0.0\n  metric: accuracy")
    )
    assert mlops(buyers, "1", "2", "--fail-unless", "better").exit_code == 0
    assert mlops(buyers, "2", "1", "--fail-unless", "not_worse").exit_code == 3


def test_five_versions_are_each_compared_with_the_first(buyers):
    """Four regressions against one; a row is shown once, with the predictions of all five."""
    settings = config.load(
        buyers.root / "config.yaml",
        {"evaluation.task": "regression", "evaluation.metric": "mae", "evaluation.gate.resamples": 300},
    )
    rng = np.random.default_rng(0)
    truth = rng.normal(size=200)
    ids = [str(at) for at in range(200)]
    base = JudgedRows(
        task="regression", ids=ids, entities=ids, truth=truth, predicted=truth + rng.normal(size=200)
    )
    others = [truth + (base.predicted - truth) * scale for scale in (0.5, 1.0, 1.01, 2.0)]
    models = [base, *(replace(base, predicted=predicted) for predicted in others)]
    sides = [Side(name="m", version=number) for number in range(1, 6)]
    report = compare_models(settings, "a test", list(zip(sides, models, strict=True)), ())
    assert [one.outcome for one in report.against] == ["better", "not_worse", "not_worse", "worse"]
    assert [one.changed for one in report.against] == [200, 0, 200, 200]
    first = report.changed_rows[0]
    assert len(first.predictions) == 5 and first.change == min(row.change for row in report.changed_rows)


PROMPT = """[1] Opening hours
The shop opens at {hour}. Parcels arrive on Monday.

Question: {{{{question}}}}
"""


@pytest.mark.slow
def test_prompts_are_compared_by_their_answers(llm_project, tmp_path):
    """Two prompts for the fake provider: the second has a wrong fact, and the words that changed are marked."""
    file = llm_project(
        model={"implementation": "fake:extract"},
        evaluation={"metrics": ["exact_match", "chrf"], "gate": {"resamples": 300, "champion": False}},
    )
    golden = [
        {
            "id": f"r{at}",
            "question": f"When does the shop open on day {at}?",
            "reference": "The shop opens at nine. [1]",
        }
        for at in range(12)
    ]
    for split, rows in (("train", golden[:1]), ("validation", golden[1:2]), ("test", golden[2:])):
        (tmp_path / "golden" / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    settings = config.load(file)
    for hour in ("nine", "seven"):
        (tmp_path / "prompts.yaml").write_text(json.dumps({"user": PROMPT.format(hour=hour)}))
        dataset = loaders.from_settings(settings)
        model = wrappers.from_settings(settings)
        model.train(dataset, settings)
        model.evaluate(dataset, settings)
        registry.Registry(settings).register("toy", model.run_id, {})
    report = compare_versions(settings, "toy", [1, 2])
    (against,) = report.against
    assert (against.outcome, against.changed, report.rows) == ("worse", 10, 10)
    assert report.reference.cost_usd == 0.0 and report.reference.latency_ms is not None
    assert "When does the shop open" in report.changed_rows[0].input
    assert any(note.startswith("Changed from version 1 to version 2: prompts (of") for note in report.notes)
    shown = mlops(settings, "1", "2", "--format", "markdown").stdout
    assert "[-nine-]{+seven+}" in mlops(settings, "1", "2").output
    assert "~~nine~~**seven**" in shown and "median ms" in shown and "cost a row" in shown
