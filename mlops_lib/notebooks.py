"""Run one notebook headlessly, hold it to its contract, and keep its record in MLflow.

`run` is all that a pipeline component calls; `glue` is what a notebook ends with.
"""

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mlops_lib import config, tracking
from mlops_lib.errors import ContractError, NotebookError
from mlops_lib.imports import JSON_SCHEMA_EXTRAS, without
from mlops_lib.redact import masked
from mlops_lib.step_cache.store import MEMORY_ENV, consult, forget
from mlops_lib.steps import fork_client, kernel_ahead, preload
from mlops_lib.steps.contracts import CONTRACTS, Contract, Outputs, Parameters
from mlops_lib.steps.execute import execute, stoppable
from mlops_lib.steps.record import Record, send_kept

#: Printed before it: what memory says of the step.
REMEMBERED = "mlops: memory"


def run(notebook: str, **parameters: Any) -> Outputs:
    """Execute a notebook and return the outputs of its contract.

    With `MEMORY_ENV` set, a step whose inputs are as they were is not run: it hands on what it had.

    The executed notebook is kept, as ``.ipynb`` and as self-contained HTML, under ``notebooks/`` of the
    parent run, also (above all) when it failed.

    Args:
        notebook: Name of a contract, ``02_train``; the file is looked for in ``pipeline.notebooks``.
        parameters: The notebook's parameters; those left out keep their defaults.

    Raises:
        ContractError: A parameter is unknown or of the wrong type (before a kernel starts), or an output
            is missing, of the wrong type or not finite (after).
        ConfigError: There is no such file.
        NotebookError: A cell raised or the kernel died; says which cell, and where the record is.
    """
    with contextlib.suppress(fork_client.NoServerError):
        return fork_client.run(run, notebook, **parameters)
    contract = contract_of(notebook)
    checked = _check_parameters(notebook, contract, parameters)
    settings = config.load()
    source = settings.notebook(notebook)
    if not (parent_run_id := checked.parent_run_id):
        parent_run_id = tracking.open_parent(settings)
        send_kept(settings)
    checked = checked.model_copy(update={"parent_run_id": parent_run_id})
    mode = os.environ.get(MEMORY_ENV, "")
    memory, (remembered, reason, _) = consult(settings, notebook, checked, mode)
    if reason:
        print(f"{REMEMBERED} {notebook} {'miss' if remembered is None else 'hit'}: {reason}", flush=True)
    if remembered is not None:
        if "noted" not in mode:
            client = tracking.connect(settings)
            tracking.log_outputs(parent_run_id, notebook, remembered.model_dump())
            tracking.end(client, parent_run_id, None)
        return remembered
    uses_model = notebook in ("02_train", "03_evaluate")
    with (
        kernel_ahead.started(preload.chosen(settings, uses_model)),
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        Record(settings, parent_run_id) as record,
        stoppable() as ignore_interrupts,
    ):
        executed = Path(folder) / f"{notebook}.ipynb"
        ended: BaseException | None = None
        try:
            execute(source, executed, checked, settings)
        except (NotebookError, KeyboardInterrupt) as error:
            ended = error
        ignore_interrupts()
        where = record.keep(executed, source, ended)
        if isinstance(ended, NotebookError):
            raise NotebookError(f"{ended}\nIts record: {where}")
        if ended:
            print(f"{notebook} was interrupted.\nIts record: {where}", flush=True)
            raise ended
        print(f"The record of {notebook}: {where}", flush=True)
        outputs = _read_outputs(notebook, contract, executed)
        record.outputs(notebook, outputs.model_dump())
    forget(settings, notebook, parent_run_id)
    if memory:
        memory.keep(outputs, mode)
    return outputs


def glue(**outputs: Any) -> None:
    """Leave a notebook's outputs for the step after it.

    numpy scalars become Python's; scrapbook would turn them, and NaN, into strings.

    Raises:
        ContractError: A value is None, not finite, or no scalar.
    """
    with without(JSON_SCHEMA_EXTRAS):
        import scrapbook

    for name, value in outputs.items():
        scrapbook.glue(name, _scalar(name, value))


def contract_of(notebook: str) -> Contract:
    """The contract of a notebook by name.

    Raises:
        ContractError: There is none; lists those there are.
    """
    if notebook not in CONTRACTS:
        raise ContractError(f"Notebook {notebook!r} has no contract. Available: {', '.join(CONTRACTS)}.")
    return CONTRACTS[notebook]


def _check_parameters(notebook: str, contract: Contract, parameters: dict[str, Any]) -> Parameters:
    try:
        return contract.parameters.model_validate(parameters)
    except ValidationError as error:
        known = ", ".join(contract.parameters.model_fields)
        raise ContractError(f"Parameters of {notebook}: {_problems(error)}. It takes: {known}.") from None


def _read_outputs(notebook: str, contract: Contract, executed: Path) -> Outputs:
    import scrapbook

    found = {name: scrap.data for name, scrap in scrapbook.read_notebook(str(executed)).scraps.items()}
    try:
        return contract.outputs.model_validate(found)
    except ValidationError as error:
        raise ContractError(f"Outputs of {notebook}: {_problems(error)}.") from None


def _problems(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, problem['loc']))} has value {masked(repr(problem['input']))}: {problem['msg']}"
        if problem["type"] != "missing"
        else f"{'.'.join(map(str, problem['loc']))} is missing"
        for problem in error.errors(include_url=False)
    )


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
