"""`mlops run` as a user types it: real processes, real MLflow; judged by outputs and registry, never by SUCCESS."""

import re
from pathlib import Path

import mlflow
import nbformat
import pytest

from mlops_lib import tracking
from mlops_lib.files import sha256
from mlops_lib.registry import Registry

pytestmark = pytest.mark.slow


def runs_of(project):
    """The parent run of the newest pipeline run, and its child."""
    client = tracking.connect(project.settings())
    found = client.search_runs([client.get_experiment_by_name("repurchase").experiment_id], max_results=2)
    parents = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in found if run.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id]
    return parents[0], children[0] if children else None


def test_a_model_that_passes_is_registered_at_staging(pipeline_run):
    """Score at or above the threshold: the trained run's model is version 1, at Staging by stage and alias."""
    assert pipeline_run.result.returncode == 0, pipeline_run.result.stderr
    parent, child = runs_of(pipeline_run.project)
    outputs = parent.data
    assert outputs.metrics["03_evaluate.score"] >= outputs.metrics["03_evaluate.threshold"] == 0.6
    assert outputs.tags["03_evaluate.passed"] == "True" and outputs.tags["04_register.stage"] == "Staging"
    (version,) = Registry(pipeline_run.project.settings()).versions("repurchase")
    assert (version.version, version.stage, version.aliases) == (1, "Staging", ("staging",))
    assert version.run_id == child.info.run_id == outputs.tags["02_train.run_id"]
    assert float(version.tags["mlops.score"]) == pytest.approx(outputs.metrics["03_evaluate.score"])


def test_the_summary_says_what_a_user_asks_next(pipeline_run):
    """Score, threshold, version, where the record is, and the command that promotes."""
    said = pipeline_run.result.stdout
    parent, _ = runs_of(pipeline_run.project)
    assert re.search(r"score\s+roc_auc 0\.\d{4}", said) and "threshold 0.6" in said
    assert "repurchase version 1 at Staging" in said and "mlops promote repurchase 1" in said
    assert parent.info.run_id in said
    assert pipeline_run.result.stderr.splitlines().count(f"Run {parent.info.run_id}") == 1
    for step in ("get-data", "train-model", "evaluate-model", "register-model"):
        assert f"{step} done, " in pipeline_run.result.stderr


def test_the_parent_run_holds_four_notebooks_twice(pipeline_run):
    """Executed .ipynb with their outputs, and self-contained HTML."""
    parent, _ = runs_of(pipeline_run.project)
    client = mlflow.MlflowClient()
    kept = sorted(file.path for file in client.list_artifacts(parent.info.run_id, "notebooks"))
    stems = ["01_get_data", "02_train", "03_evaluate", "04_register"]
    assert kept == sorted(f"notebooks/{stem}.{kind}" for stem in stems for kind in ("html", "ipynb"))
    executed = mlflow.artifacts.download_artifacts(
        run_id=parent.info.run_id, artifact_path="notebooks/02_train.ipynb"
    )
    cells = nbformat.read(executed, as_version=4).cells
    assert all(cell.execution_count for cell in cells if cell.cell_type == "code")
    assert parent.data.tags["mlops.record_sha256.02_train"] == sha256(Path(executed))


def test_runs_are_nested_and_tied_to_data_code_and_configuration(pipeline_run):
    """One parent, one child, both finished; the model's fingerprint is the one that get-data handed out."""
    parent, child = runs_of(pipeline_run.project)
    assert parent.info.status == child.info.status == "FINISHED"
    assert child.data.tags["mlops.step"] == "train-model"
    assert child.data.tags["mlops.data_fingerprint"] == parent.data.tags["01_get_data.fingerprint"]
    assert child.data.tags["mlops.config_digest"] == parent.data.tags["mlops.config_digest"]
    for stem in ("01_get_data", "02_train", "03_evaluate", "04_register"):
        assert re.fullmatch("[0-9a-f]{64}", parent.data.tags[f"mlops.notebook_sha256.{stem}"])
    rows = [parent.data.metrics[f"01_get_data.{split}_rows"] for split in ("train", "validation", "test")]
    assert sum(rows) == 2357


def test_each_output_is_logged_once(pipeline_run):
    """Every output of a step that is a number has one entry in MLflow's history."""
    parent, _ = runs_of(pipeline_run.project)
    client = mlflow.MlflowClient()
    logged = {name: client.get_metric_history(parent.info.run_id, name) for name in parent.data.metrics}
    assert {"01_get_data.train_rows", "03_evaluate.score", "04_register.version"} <= set(logged)
    assert {name: len(history) for name, history in logged.items()} == dict.fromkeys(logged, 1)


def test_a_model_below_the_threshold_is_refused(pipeline_run, tmp_path):
    """The other side of the condition, through arguments: evaluated, tagged, not registered; nothing is lost."""
    project = pipeline_run.project.copy(tmp_path / "copy")
    before = Registry(project.settings()).versions("repurchase")
    result = project.mlops(
        "run", "--threshold", "0.99", "--max-epochs", "1", "--seed", "4", "--limit", "600",
        OPENAI_API_KEY="sk-very-secret",
    )  # fmt: skip
    parent, child = runs_of(project)
    assert result.returncode == 3 and "refused" in result.stdout and "not registered" in result.stdout
    assert parent.data.tags["03_evaluate.passed"] == "False" and child.data.tags["mlops.gate"] == "refused"
    assert parent.data.metrics["03_evaluate.score"] < 0.99 == parent.data.metrics["03_evaluate.threshold"]
    assert "04_register.version" not in parent.data.metrics
    assert not mlflow.MlflowClient().search_model_versions(f"run_id = '{child.info.run_id}'")
    assert Registry(project.settings()).versions("repurchase") == before
    assert child.data.params["train.max_epochs"] == "1" and child.data.params["train.seed"] == "4"
    assert child.data.tags["mlops.config_digest"] == parent.data.tags["mlops.config_digest"]
    assert parent.data.metrics["01_get_data.train_rows"] == 600
    places = [Path(parent.info.artifact_uri.removeprefix("file://")), project.root / ".mlops"]
    for file in (file for place in places for file in place.rglob("*") if file.is_file()):
        assert b"sk-very-secret" not in file.read_bytes(), file


def test_a_notebook_that_raises_fails_the_pipeline_with_its_error(pipeline_run, tmp_path):
    """The cell's error and where to read it; the record is in MLflow; nothing is registered."""
    project = pipeline_run.project.copy(tmp_path / "copy")
    # Not a network: PyTorch would be imported ahead for a step that never needs it.
    project.configure(model={"wrapper": "sklearn", "implementation": "auto", "params": {}})
    path = project.root / "notebooks" / "02_train.ipynb"
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    cells[3].source = "raise RuntimeError('the loss is gone')"
    nbformat.write(notebook, path)
    before = Registry(project.settings()).versions("repurchase")
    result = project.mlops("run", "--limit", "100")
    parent, child = runs_of(project)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "02_train failed in cell In [5]: RuntimeError: the loss is gone" in result.stderr
    record = Path(re.search(r"Its record: (\S+)", result.stderr)[1])
    assert parent.info.run_id in str(record) and "the loss is gone" in record.read_text()
    log = re.search(r"What the steps printed: (\S+)", result.stderr)
    assert log and "the loss is gone" in Path(log[1]).read_text()
    kept = {file.path for file in mlflow.MlflowClient().list_artifacts(parent.info.run_id, "notebooks")}
    assert {"notebooks/02_train.html", "notebooks/02_train.ipynb", "notebooks/01_get_data.html"} == kept - {
        "notebooks/01_get_data.ipynb"
    }
    assert parent.info.status == "FAILED" and child is None
    assert Registry(project.settings()).versions("repurchase") == before
