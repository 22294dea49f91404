"""Run one notebook headlessly, hold it to its contract, and keep its record in MLflow.

`run` is all that a pipeline component calls; `glue` is what a notebook ends with.
"""

import re
import tempfile
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from mlops_lib import config, tracking
from mlops_lib.contracts import CONTRACTS, Contract, Outputs, Parameters
from mlops_lib.errors import ContractError, NotebookError

if TYPE_CHECKING:
    from papermill.exceptions import PapermillExecutionError

#: Printed when a notebook starts; papermill's progress lines follow it. Runners read both.
STARTED = "mlops: running"

ANSI = re.compile(r"\x1b\[[0-9;]*m")


def run(notebook: str, **parameters: Any) -> Outputs:
    """Execute a notebook and return the outputs of its contract.

    The executed notebook is kept, as ``.ipynb`` and as self-contained HTML, under ``notebooks/`` of the
    parent run, also (above all) when it failed.

    Args:
        notebook: Name of a contract, ``02_train``; the file is looked for in ``pipeline.notebooks``.
        parameters: The notebook's parameters; those left out keep their defaults.

    Raises:
        ContractError: A parameter is unknown or of the wrong type (before a kernel starts), or an output
            is missing, of the wrong type or not finite (after).
        NotebookError: A cell raised or the kernel died; says which cell, and where the record is.
    """
    contract = contract_of(notebook)
    checked = _check_parameters(notebook, contract, parameters)
    settings = config.load()
    source = settings.path(settings.pipeline.notebooks) / f"{notebook}.ipynb"
    if not source.is_file():
        raise NotebookError(
            f"There is no notebook {source}. pipeline.notebooks of config.yaml names the folder."
        )
    with (
        tracking.parent_run(settings, checked.parent_run_id) as parent,
        tempfile.TemporaryDirectory() as folder,
    ):
        checked = checked.model_copy(update={"parent_run_id": parent.info.run_id})
        executed = Path(folder) / f"{notebook}.ipynb"
        with ThreadPoolExecutor(1) as background:
            # The kernel works in a process of its own; meanwhile this one fetches what the record needs.
            exporter = background.submit(_exporter)
            try:
                _execute(source, executed, checked, settings.root)
            except NotebookError as error:
                where = tracking.describe_run(settings, parent.info.run_id)
                raise NotebookError(f"{error}\nIts record: notebooks/{notebook}.html of {where}") from None
            finally:
                _keep(parent.info.run_id, executed, source, exporter)
        outputs = _read_outputs(notebook, contract, executed)
        tracking.log_outputs(parent.info.run_id, notebook, outputs.model_dump())
        return outputs


def glue(**outputs: Any) -> None:
    """Leave a notebook's outputs for the step after it.

    numpy scalars become Python's; scrapbook would turn them, and NaN, into strings.

    Raises:
        ContractError: A value is None, not finite, or no scalar.
    """
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


def _execute(source: Path, executed: Path, parameters: Parameters, cwd: Path) -> None:
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    print(f"{STARTED} {source.stem}", flush=True)
    try:
        papermill.execute_notebook(
            source,
            executed,
            parameters=parameters.model_dump(),
            cwd=cwd,
            kernel_name="python3",
        )
    except PapermillExecutionError as error:
        raise NotebookError(_explain(source, error)) from None
    except DeadKernelError:
        raise NotebookError(
            f"The kernel of {source.stem} died: out of memory, or killed. The notebook up to there is in the record."
        ) from None


def _explain(source: Path, error: "PapermillExecutionError") -> str:
    message = ANSI.sub("", error.evalue).strip()
    return f"{source.stem} failed in cell In [{error.exec_count}]: {error.ename}: {message}"


def _exporter() -> Any:
    """nbconvert's exporter, told to embed everything: a record must open years later, offline."""
    from nbconvert import HTMLExporter

    return HTMLExporter(embed_images=True, require_js_url="", mathjax_url="", jupyter_widgets_base_url="")


def _keep(run_id: str, executed: Path, source: Path, exporter: "Future[Any]") -> None:
    """Log whatever of the executed notebook there is."""
    import mlflow
    import nbformat

    client = mlflow.MlflowClient()
    client.set_tag(run_id, f"mlops.notebook_sha256.{source.stem}", tracking.sha256(source))
    if not executed.is_file():
        return
    html = executed.with_suffix(".html")
    # Scraps are outputs without a look of their own; nbconvert would warn of each.
    warnings.filterwarnings("ignore", ".*is not able to be represented.*")
    body, _ = exporter.result().from_notebook_node(nbformat.read(executed, as_version=4))
    html.write_text(body, encoding="utf-8")
    for file in (executed, html):
        client.log_artifact(run_id, str(file), "notebooks")


def _read_outputs(notebook: str, contract: Contract, executed: Path) -> Outputs:
    import scrapbook

    found = {name: scrap.data for name, scrap in scrapbook.read_notebook(str(executed)).scraps.items()}
    try:
        return contract.outputs.model_validate(found)
    except ValidationError as error:
        raise ContractError(f"Outputs of {notebook}: {_problems(error)}.") from None


def _problems(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, problem['loc']))} has value {problem['input']!r}: {problem['msg']}"
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
