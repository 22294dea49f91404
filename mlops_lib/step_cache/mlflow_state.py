"""Checks that a step's MLflow objects still exist: its run, its verdict, its registered version.

Each check returns the step's outputs as they are now and raises `Stale` when the object is gone. An embedded
store is read with sqlite3, because importing MLflow takes five seconds. A server, or a database that sqlite3
cannot read, is asked through MLflow's client.
"""

import sqlite3
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from mlops_lib.registry import CHAMPION_TAG, GATE_TAG, IN_USE, Registry, champion_tag
from mlops_lib.settings import Settings
from mlops_lib.settings.served_model import served_model
from mlops_lib.step_cache.entry import Entry, Stale
from mlops_lib.tracking import WARM_START_TAG, sqlite_file, tracking_uri


class RunState(NamedTuple):
    """Whether a run exists and is FINISHED, the gate's verdict on its model,
    and the version it compared with."""

    finished: bool
    verdict: str
    champion: str = ""


def always_valid(settings: Settings, parameters: Mapping[str, Any], entry: Entry) -> dict[str, Any]:
    """The outputs of a step that leaves nothing in MLflow."""
    return entry.outputs


def trained_run(settings: Settings, parameters: Mapping[str, Any], entry: Entry) -> dict[str, Any]:
    """The outputs of a step that leaves a run with a model, if the run still exists."""
    run_id = entry.outputs["run_id"]
    if not run_state(settings, run_id).finished:
        raise Stale(f"run {run_id} is gone")
    if settings.train.warm_start.startswith("models:"):  # an alias or a stage may have moved since
        named = served_model(settings.train.warm_start)
        registry = Registry(settings)
        version = registry.resolve(
            named["model.name"], named["serving.stage"], named["serving.alias"], named["serving.version"]
        )
        if registry.run(run_id).data.tags.get(WARM_START_TAG) != version.uri:
            raise Stale(f"{settings.train.warm_start} is version {version.version} now")
    return entry.outputs


def verdict(settings: Settings, parameters: Mapping[str, Any], entry: Entry) -> dict[str, Any]:
    """The outputs of a step that leaves the gate's verdict on a run, if the verdict still counts.

    A verdict counts while the version at Production is the one that it compared with.
    It also counts when the model itself was promoted since.
    """
    run_id = parameters["run_id"]
    expected = "passed" if entry.outputs["passed"] else "refused"
    found = run_state(settings, run_id)
    if (found.finished, found.verdict) != (True, expected):
        raise Stale(f"run {run_id} has another verdict now")
    if not settings.evaluation.gate.champion:
        return entry.outputs
    number, of_run = at_production(settings, settings.model.name)
    if of_run != run_id and found.champion != champion_tag(number, of_run):
        raise Stale(f"version {number} is at Production now" if number else "no version is at Production now")
    return entry.outputs


def version(settings: Settings, parameters: Mapping[str, Any], entry: Entry) -> dict[str, Any]:
    """The outputs of a step that leaves a registered version, which may have been promoted since."""
    name, number = entry.outputs["model_name"], entry.outputs["version"]
    stage = stage_of(settings, name, number, parameters["run_id"])
    if stage not in IN_USE:
        raise Stale(f"{name} version {number} is {stage or 'gone'}")
    return {**entry.outputs, "stage": stage}


def run_state(settings: Settings, run_id: str) -> RunState:
    """The state of a run.

    Raises:
        MlflowException: MLflow does not answer.
    """
    try:
        found = _select(settings, "select lifecycle_stage, status from runs where run_uuid = ?", run_id)
        query = "select value from tags where run_uuid = ? and key = ?"
        tags = [_select(settings, query, run_id, key) for key in (GATE_TAG, CHAMPION_TAG)]
        return RunState(found == ("active", "FINISHED"), *(tag[0] if tag else "" for tag in tags))
    except sqlite3.Error:
        return _run_state_by_client(settings, run_id)


def _run_state_by_client(settings: Settings, run_id: str) -> RunState:
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        run = mlflow.MlflowClient(tracking_uri(settings)).get_run(run_id)
    except MlflowException as error:
        _raise_unless_missing(error)
        return RunState(False, "")
    finished = run.info.lifecycle_stage == "active" and run.info.status == "FINISHED"
    return RunState(finished, run.data.tags.get(GATE_TAG, ""), run.data.tags.get(CHAMPION_TAG, ""))


def at_production(settings: Settings, name: str) -> tuple[int, str]:
    """Version and run of the version of `name` at Production; 0 and "" for none.

    Raises:
        MlflowException: MLflow does not answer.
    """
    query = (
        "select version, run_id from model_versions where name = ? and current_stage = 'Production' "
        "order by version desc"
    )
    try:
        found = _select(settings, query, name)
        return (int(found[0]), found[1] or "") if found else (0, "")
    except sqlite3.Error:
        version = Registry(settings).at_stage(name, "Production")
        return (version.version, version.run_id) if version else (0, "")


def stage_of(settings: Settings, name: str, version: int, run_id: str) -> str:
    """The stage of a version; "" when it does not exist or belongs to another run.

    Version numbers start at 1 again after a model was deleted, so the run is compared too.

    Raises:
        MlflowException: MLflow does not answer.
    """
    query = "select current_stage from model_versions where name = ? and version = ? and run_id = ?"
    try:
        found = _select(settings, query, name, version, run_id)
        return found[0] if found else ""
    except sqlite3.Error:
        import mlflow
        from mlflow.exceptions import MlflowException

        uri = tracking_uri(settings)
        try:
            registered = mlflow.MlflowClient(uri, uri).get_model_version(name, str(version))
        except MlflowException as error:
            _raise_unless_missing(error)
            return ""
        return str(registered.current_stage) if registered.run_id == run_id else ""


def _raise_unless_missing(error: Exception) -> None:
    """A server that does not answer for a moment must not count as a deleted run:
    that would train a model again."""
    if getattr(error, "error_code", "") != "RESOURCE_DOES_NOT_EXIST":
        raise error


def _select(settings: Settings, query: str, *values: Any) -> tuple[Any, ...] | None:
    """One row of the embedded store, read-only; None when there is none."""
    uri = tracking_uri(settings)
    if not (file := sqlite_file(uri)):
        raise sqlite3.NotSupportedError(uri)
    with sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True) as store:
        return store.execute(query, values).fetchone()
