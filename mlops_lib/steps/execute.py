"""Executes a notebook in a kernel of its own and reports a failure as one clear error."""

import contextlib
import json
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from mlops_lib.errors import ContractError, NotebookError
from mlops_lib.imports import JSON_SCHEMA_EXTRAS, without
from mlops_lib.settings import Settings
from mlops_lib.steps.contracts import Outputs, Parameters
from mlops_lib.steps.settings import problems
from mlops_lib.steps.table import STEPS, Step

if TYPE_CHECKING:
    from papermill.exceptions import PapermillExecutionError

#: In bytes. The address of a socket file holds 104 bytes on macOS and 108 on Linux.
#: Five of them are the kernel's suffix "-5" and a zero byte.
MAX_SOCKET_PATH = 100

#: Tag of the cell after which Papermill puts the step's parameters.
PARAMETERS_TAG = "parameters"
#: Scrap of an output that is None; scrapbook has no null, and no other output is a list.
NO_VALUE: list[Any] = []
#: Name of the Papermill engine that reports each cell.
ENGINE = "mlops"
ANSI = re.compile(r"\x1b\[[0-9;]*m")
#: How a line begins with which a notebook warns.
WARNING = "WARNING: "
#: Called with the number of cells that have run and the number of all cells.
OnCell = Callable[[int, int], None]


def require_parameters_cell(source: Path, step: Step) -> None:
    """Refuse a notebook without exactly one code cell tagged ``parameters``.

    Without one Papermill puts the parameters before the first cell, and with two behind the first of them;
    the notebook's own values would then replace the parameters. Editors drop tags.

    Raises:
        ContractError: There is none or a second one, or the file is no notebook.
    """
    try:
        cells = json.loads(source.read_text(encoding="utf-8")).get("cells", [])
        tags = [
            tag
            for cell in cells
            if cell.get("cell_type") == "code"
            for tag in cell.get("metadata", {}).get("tags", [])
        ]
    except (ValueError, AttributeError, TypeError) as error:
        raise ContractError(f"{source} is no notebook: {error}") from None
    if (found := tags.count(PARAMETERS_TAG)) != 1:
        raise ContractError(
            f"{source} has {found or 'no'} code cell{'s' if found else ''} tagged {PARAMETERS_TAG!r}, so its own values would replace the step's parameters. "
            f"Give this tag to the one cell that assigns {', '.join(step.parameters.model_fields)} (in JupyterLab: "
            "Property Inspector, Cell Tags)."
        )


def require_notebooks(settings: Settings) -> None:
    """Check the notebooks of all steps, before the first one runs.

    Raises:
        ConfigError: A notebook does not exist.
        ContractError: A notebook cannot take parameters; see `require_parameters_cell`.
    """
    for step in STEPS:
        require_parameters_cell(settings.notebook(step.notebook), step)


def execute(
    source: Path,
    executed: Path,
    parameters: Parameters,
    settings: Settings,
    on_cell: OnCell = lambda done, cells: None,
) -> None:
    """Run every cell of `source` and write the notebook with its outputs to `executed`, cell by cell.

    Args:
        source: The notebook to run.
        executed: File to write. Its folder also holds the sockets of the kernel.
        parameters: Values for the notebook's ``parameters`` cell.
        settings: The kernel starts in ``settings.root``; ``pipeline.cell_timeout_s`` limits each cell.
        on_cell: Called after each code cell.

    Raises:
        NotebookError: A cell raised or ran too long, the kernel died or did not start, or the disk is full.
    """
    with without(JSON_SCHEMA_EXTRAS):
        import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    from mlops_lib.steps import kernel_provisioner

    kernel_provisioner.use()
    _use_engine(on_cell)
    try:
        papermill.execute_notebook(
            source,
            executed,
            parameters=parameters.model_dump(),
            cwd=settings.root,
            kernel_name="python3",
            engine_name=ENGINE,
            progress_bar=False,
            execution_timeout=settings.pipeline.cell_timeout_s or None,
            config=Config(KernelManager=_transport(executed.parent)),
        )
    except PapermillExecutionError as error:
        raise NotebookError(_explain(source, error)) from None
    except DeadKernelError:
        raise NotebookError(
            f"The kernel of {source.stem} died: out of memory, or killed. The record has the cells before that."
        ) from None
    except RuntimeError as error:  # of nbclient, before the first cell
        raise NotebookError(
            f"The kernel of {source.stem} did not start: {error}. The log has what it printed."
        ) from None
    except CellTimeoutError:
        raise NotebookError(
            f"A cell of {source.stem} ran longer than pipeline.cell_timeout_s: {settings.pipeline.cell_timeout_s}. "
            "The record has the cells before that. Set a longer time, or 0 for no limit."
        ) from None
    except OSError as error:
        raise NotebookError(
            f"{source.stem} cannot be written while it runs: {error}. Is the disk full? Folder: {executed.parent}"
        ) from None


def read_outputs(step: Step, executed: Path) -> Outputs:
    """The outputs that an executed notebook has glued.

    Raises:
        ContractError: An output is missing, unknown, of the wrong type or not finite.
    """
    with without(JSON_SCHEMA_EXTRAS):
        import scrapbook

    scraps = scrapbook.read_notebook(str(executed)).scraps
    found = {name: None if scrap.data == NO_VALUE else scrap.data for name, scrap in scraps.items()}
    try:
        return step.outputs.model_validate(found)
    except ValidationError as error:
        raise ContractError(f"Outputs of {step.notebook}: {problems(error)}.") from None


def warnings_in(executed: Path) -> list[str]:
    """The warnings that the cells of an executed notebook printed, in order, each once."""
    cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
    printed = [
        one["text"] for cell in cells for one in cell.get("outputs", ()) if one.get("name") == "stdout"
    ]
    lines = [line for text in printed for line in "".join(text).splitlines()]
    return list(dict.fromkeys(line.removeprefix(WARNING) for line in lines if line.startswith(WARNING)))


@contextlib.contextmanager
def stoppable() -> Iterator[Callable[[], None]]:
    """Make SIGTERM, which stops a container, end the block with KeyboardInterrupt as Ctrl-C does.

    Yields a function that makes the process ignore both signals, to call before the record is written.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread():  # Python allows no handlers here
        yield lambda: None
        return
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]

    def ignore_interrupts() -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)

    try:
        yield ignore_interrupts
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _use_engine(on_cell: OnCell) -> None:
    """Register a Papermill engine that calls `on_cell`; Papermill's own progress is text for a terminal."""
    from papermill.engines import NBClientEngine, papermill_engines

    class Engine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
            cells = len(nb_man.nb.cells)

            def executed(cell: Any, cell_index: int, execute_reply: Any) -> None:
                on_cell(cell_index + 1, cells)

            return super().execute_managed_notebook(nb_man, kernel_name, on_cell_executed=executed, **options)

    papermill_engines.register(ENGINE, Engine)


def _transport(folder: Path) -> dict[str, str]:
    """Sockets in a folder, where the path is short enough; else TCP.

    Jupyter picks free TCP ports and releases them before the kernel binds them,
    so another program can take one.
    """
    sockets = str(folder / "kernel")
    return {"transport": "ipc", "ip": sockets} if len(os.fsencode(sockets)) < MAX_SOCKET_PATH else {}


def _explain(source: Path, error: "PapermillExecutionError") -> str:
    message = ANSI.sub("", error.evalue).strip()
    return f"{source.stem} failed in cell In [{error.exec_count}]: {error.ename}: {message}"
