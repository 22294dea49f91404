"""Runs one notebook as a step of a pipeline, and collects the outputs of a notebook.

A pipeline component calls `run`; the last cell of a notebook calls `glue`.
"""

import contextlib
import tempfile
from pathlib import Path
from typing import Any

from mlops_lib import config, loaders, tracking
from mlops_lib.errors import ContractError, MlopsError, NotebookError
from mlops_lib.imports import JSON_SCHEMA_EXTRAS, without
from mlops_lib.lineage.expected import Expected
from mlops_lib.loaders.origin import ORIGIN_FILE, read_origin
from mlops_lib.openlineage import step_run as openlineage
from mlops_lib.redact import mask
from mlops_lib.settings import Settings
from mlops_lib.step_cache import store
from mlops_lib.step_cache.mode import StepCacheMode
from mlops_lib.steps import events, fork_client, kernel_ahead, preload
from mlops_lib.steps.contracts import Outputs, Parameters
from mlops_lib.steps.execute import (
    NO_VALUE,
    WARNING,
    execute,
    read_outputs,
    require_parameters_cell,
    stoppable,
    warnings_in,
)
from mlops_lib.steps.record import Record, send_kept
from mlops_lib.steps.settings import checked
from mlops_lib.steps.table import Step, step_of


def run(notebook: str, **parameters: Any) -> Outputs:
    """Execute a notebook and return the outputs of its contract.

    When the runner allows it (see `mlops_lib.step_cache.mode`) and the inputs are unchanged,
    the step is not run and the cached outputs are returned.

    The executed notebook is stored in MLflow, as ``.ipynb`` and as self-contained HTML,
    under ``notebooks/`` of the parent run, above all when it failed.

    Args:
        notebook: Name of a contract, ``02_train``; the file is looked for in ``pipeline.notebooks``.
        parameters: The notebook's parameters; a parameter left out has its default.

    Raises:
        ContractError: A parameter is unknown or of the wrong type, or no cell is tagged ``parameters``
            (before a kernel starts); or an output is missing, of the wrong type or not finite (after).
        ConfigError: The notebook's file does not exist.
        NotebookError: A cell raised or the kernel died; names the cell and the place of the record.
    """
    with contextlib.suppress(fork_client.NoServerError):
        return fork_client.run(run, notebook, **parameters)
    step = step_of(notebook)
    given = checked(step, parameters)
    settings = config.load()
    try:
        require_parameters_cell(settings.notebook(notebook), step)  # before a run is opened
        if not given.parent_run_id:
            given = given.model_copy(update={"parent_run_id": tracking.open_parent(settings)})
            send_kept(settings)
        return _cached_or_executed(settings, step, given, events.run_folder(settings, given.parent_run_id))
    except NotebookError:
        raise
    except Exception as error:
        message = str(error) if isinstance(error, MlopsError) else f"{type(error).__name__}: {error}"
        folder = events.run_folder(settings, given.parent_run_id)
        events.write(folder, events.Failed(step=step.name, message=mask(message)))
        raise


def glue(**outputs: Any) -> None:
    """Make values outputs of the notebook.

    numpy scalars become Python scalars; scrapbook would turn them, and NaN, into texts.
    None is an output without a value, which the contract must allow.

    Raises:
        ContractError: A value is not finite, or no scalar.
    """
    with without(JSON_SCHEMA_EXTRAS):
        import scrapbook

    for name, value in outputs.items():
        scrapbook.glue(name, NO_VALUE if value is None else _scalar(name, value))


def _cached_or_executed(settings: Settings, step: Step, given: Parameters, folder: Path) -> Outputs:
    mode = StepCacheMode.from_env()
    cached, found = store.lookup(settings, step, given, mode)
    if found.outputs is not None:
        if step.name not in mode.answered:
            events.write(folder, events.CacheHit(step=step.name, reason=found.reason))
            events.write(folder, events.Finished(step=step.name, outputs=found.outputs.model_dump(), cached=True,
                                                 entry=found.entry))  # fmt: skip
        if not mode.runner_logs:
            client = tracking.connect(settings)
            tracking.log_outputs(given.parent_run_id, step.notebook, found.outputs.model_dump())
            tracking.end(client, given.parent_run_id, None)
        return found.outputs
    if found.reason:
        events.write(folder, events.CacheMiss(step=step.name, reason=found.reason))
    with openlineage.reported(settings, step, given) as done:
        outputs = _executed(settings, step, given, folder, log_outputs=not mode.runner_logs)
        done(outputs.model_dump())
    entry = cached.store(outputs, copy_data=mode.lookup) if cached else None
    events.write(folder, events.Finished(step=step.name, outputs=outputs.model_dump(), entry=entry))
    return outputs


def _executed(settings: Settings, step: Step, given: Parameters, folder: Path, log_outputs: bool) -> Outputs:
    """Execute the notebook of a step and store its record.

    Args:
        settings: Resolved settings.
        step: The step.
        given: The step's parameters.
        folder: The folder of the run, for events.
        log_outputs: Log the outputs to the parent run.
    """
    source = settings.notebook(step.notebook)
    with (
        kernel_ahead.started(preload.chosen(settings, model=step.data == "prepared")),
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary,
        Record(settings, given.parent_run_id) as record,
        stoppable() as ignore_interrupts,
    ):
        # Not before: a runner that was interrupted answers with SIGTERM, which must find the step stoppable.
        events.write(folder, events.Started(step=step.name))
        executed = Path(temporary) / f"{step.notebook}.ipynb"
        ended: BaseException | None = None
        try:
            execute(
                source, executed, given, settings,
                lambda done, cells: events.write(folder, events.CellDone(step=step.name, cell=done, cells=cells)),
            )  # fmt: skip
        except (NotebookError, KeyboardInterrupt) as error:
            ended = error
        ignore_interrupts()
        where = record.keep(executed, source, ended)
        if isinstance(ended, NotebookError):
            events.write(folder, events.Failed(step=step.name, message=mask(str(ended)), record=where))
            raise NotebookError(f"{ended}\nIts record: {where}")
        if ended:
            print(f"{step.notebook} was interrupted.\nIts record: {where}", flush=True)
            raise ended
        for message in map(mask, warnings_in(executed)):
            events.write(folder, events.Warned(step=step.name, message=message))
            print(f"{WARNING}{message}", flush=True)
        print(f"The record of {step.notebook}: {where}", flush=True)
        outputs = read_outputs(step, executed)
        if step.data == "source":
            _require_expected(settings, given, outputs)
        if log_outputs:
            record.outputs(step.notebook, outputs.model_dump())
    return outputs


def _require_expected(settings: Settings, given: Parameters, outputs: Outputs) -> None:
    """Refuse other data in a run that makes a version again, before the next step trains on it."""
    values = given.model_dump() | outputs.model_dump()
    file = loaders.prepared_folder(settings, values["data"]) / ORIGIN_FILE
    Expected.from_env().require_data(values["fingerprint"], read_origin(file) if file.is_file() else {})


def _scalar(name: str, value: Any) -> bool | int | float | str:
    value = value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else value
    if not isinstance(value, bool | int | float | str):
        raise ContractError(
            f"Cannot glue {name!r}: {value!r} is a {type(value).__name__}, not a number or text."
        )
    if isinstance(value, float) and value - value != 0:
        raise ContractError(
            f"Cannot glue {name!r}: {value} is not finite; the next step could not compare it."
        )
    return value
