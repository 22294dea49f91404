"""Whether what a step once left in MLflow still stands: its run, its verdict, its registered version.

An embedded store is asked with sqlite3, read-only, because MLflow takes five seconds to import; whatever
sqlite3 cannot answer, and every server, is asked through MLflow's own client.
"""

import sqlite3
from typing import Any, NamedTuple

from mlops_lib.registry import GATE_TAG, IN_USE
from mlops_lib.settings import Settings
from mlops_lib.steps.contracts import Parameters
from mlops_lib.tracking import tracking_uri


class RunState(NamedTuple):
    """What matters of a run: not deleted and finished, and the gate's verdict."""

    stands: bool
    verdict: str


def gone(settings: Settings, notebook: str, parameters: Parameters, outputs: dict[str, Any]) -> str:
    """What of a step's outputs is not there any more, in words; "" when all of it stands."""
    if notebook == "02_train":
        return "" if _run(settings, outputs["run_id"]).stands else f"run {outputs['run_id']} is gone"
    if notebook == "03_evaluate":
        run_id = parameters.model_dump()["run_id"]
        verdict = "passed" if outputs["passed"] else "refused"
        return "" if _run(settings, run_id) == (True, verdict) else f"run {run_id} was judged anew"
    if notebook == "04_register":
        name, version = outputs["model_name"], outputs["version"]
        found = stage(settings, name, version, parameters.model_dump()["run_id"])
        return "" if found in IN_USE else f"{name} version {version} is {found or 'gone'}"
    return ""


def _run(settings: Settings, run_id: str) -> RunState:
    try:
        found = _ask(settings, "select lifecycle_stage, status from runs where run_uuid = ?", run_id)
        verdict = _ask(settings, "select value from tags where run_uuid = ? and key = ?", run_id, GATE_TAG)
        return RunState(found == ("active", "FINISHED"), verdict[0] if verdict else "")
    except sqlite3.Error:
        return _run_by_client(settings, run_id)


def _run_by_client(settings: Settings, run_id: str) -> RunState:
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        run = mlflow.MlflowClient(tracking_uri(settings)).get_run(run_id)
    except MlflowException as error:
        _only_missing(error)
        return RunState(False, "")
    standing = run.info.lifecycle_stage == "active" and run.info.status == "FINISHED"
    return RunState(standing, run.data.tags.get(GATE_TAG, ""))


def _only_missing(error: Exception) -> None:
    """Raise what MLflow said, unless it is that there is no such thing: a hiccup must not train a model again."""
    if getattr(error, "error_code", "") != "RESOURCE_DOES_NOT_EXIST":
        raise error


def stage(settings: Settings, name: str, version: int, run_id: str) -> str:
    """The stage that a version is at; "" when there is none, or it is another run's: numbers come again."""
    query = "select current_stage from model_versions where name = ? and version = ? and run_id = ?"
    try:
        found = _ask(settings, query, name, version, run_id)
        return found[0] if found else ""
    except sqlite3.Error:
        import mlflow
        from mlflow.exceptions import MlflowException

        try:
            uri = tracking_uri(settings)
            made = mlflow.MlflowClient(uri, uri).get_model_version(name, str(version))
        except MlflowException as error:
            _only_missing(error)
            return ""
        return str(made.current_stage) if made.run_id == run_id else ""


def _ask(settings: Settings, query: str, *values: Any) -> tuple[Any, ...] | None:
    uri = tracking_uri(settings)
    if not uri.startswith("sqlite:///"):
        raise sqlite3.NotSupportedError(uri)
    with sqlite3.connect(f"file:{uri.removeprefix('sqlite:///')}?mode=ro", uri=True) as store:
        return store.execute(query, values).fetchone()
