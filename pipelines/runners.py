"""Where the pipeline runs. The pipeline object is the same for all of them."""

import contextlib
import io
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_lib import tracking
from mlops_lib.config import CONFIG_ENV, Settings
from mlops_lib.contracts import (
    CONTRACTS,
    EvaluateOutputs,
    GetDataOutputs,
    Outputs,
    RegisterOutputs,
    TrainOutputs,
)
from mlops_lib.errors import MlopsError
from mlops_lib.notebooks import STARTED


@dataclass(frozen=True)
class PipelineResult:
    """What a pipeline run left behind. `registered` is None when the gate refused the model."""

    parent_run_id: str
    data: GetDataOutputs
    trained: TrainOutputs
    evaluated: EvaluateOutputs
    registered: RegisterOutputs | None


@dataclass(frozen=True)
class Progress:
    """A step has run `cell` of its `cells`."""

    notebook: str
    cell: int
    cells: int


def run_local(
    settings: Settings,
    config_file: Path,
    arguments: dict[str, Any],
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> PipelineResult:
    """Run the pipeline on this machine, each step in a process of its own.

    Args:
        settings: Resolved settings.
        config_file: The file they came from; the steps read it again.
        arguments: Arguments of `pipelines.training.training`, without `parent_run_id`.
        on_progress: Called for each cell that a step has run.

    Raises:
        MlopsError: A step failed; says which, with what it printed last and where its log is.
    """
    from kfp import local

    from pipelines.training import training

    work = settings.path(settings.pipeline.work_dir)
    parent_run_id = tracking.open_parent(settings)
    with tracking.ended(tracking.connect(settings), parent_run_id):
        folder = work / "runs" / parent_run_id
        folder.mkdir(parents=True, exist_ok=True)
        local.init(
            runner=local.SubprocessRunner(use_venv=False),
            pipeline_root=str(folder),
            raise_on_error=True,
            enable_caching=False,
        )
        log = folder / "pipeline.log"
        with _environment(config_file), _captured(log, on_progress):
            try:
                training(parent_run_id=parent_run_id, **arguments)
            except RuntimeError as error:
                raise MlopsError(_why(log, error)) from None
        return _collect(settings, parent_run_id)


@contextlib.contextmanager
def _environment(config_file: Path) -> Iterator[None]:
    """Steps read the same config file; kfp.local hands its own environment down to them."""
    before = os.environ.get(CONFIG_ENV)
    os.environ[CONFIG_ENV] = str(config_file)
    try:
        yield
    finally:
        os.environ.pop(CONFIG_ENV) if before is None else os.environ.update({CONFIG_ENV: before})


class _Log(io.TextIOBase):
    """Writes what the steps print to a file, and tells of each cell that has run."""

    STARTED = re.compile(rf"{re.escape(STARTED)} (\w+)")
    CELLS = re.compile(r"Executing:\s+\d+%.*?(\d+)/(\d+) ")

    def __init__(self, file: io.TextIOBase, on_progress: Callable[[Progress], None]) -> None:
        self.file, self.on_progress = file, on_progress
        self.notebook = ""

    def write(self, text: str) -> int:
        if started := self.STARTED.search(text):
            self.notebook = started[1]
        if cells := self.CELLS.search(text):
            self.on_progress(Progress(self.notebook, int(cells[1]), int(cells[2])))
        self.file.write(text)
        self.file.flush()
        return len(text)


@contextlib.contextmanager
def _captured(log: Path, on_progress: Callable[[Progress], None]) -> Iterator[None]:
    """kfp.local prints everything that the steps print; that goes to a file, not over the progress display."""
    with log.open("w", encoding="utf-8") as file, contextlib.redirect_stdout(_Log(file, on_progress)):
        yield


def _why(log: Path, error: RuntimeError) -> str:
    """The error that the failed step ended with, out of its log."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8").splitlines()]
    raised = [i for i, line in enumerate(lines) if re.match(r"mlops_lib\.errors\.\w+: ", line)]
    if not raised:
        return f"{error}\nWhat the steps printed: {log}"
    message = lines[raised[-1]].partition(": ")[2]
    record = [line for line in lines[raised[-1] :] if line.startswith("Its record: ")]
    return "\n".join([message, *record[:1], f"What the steps printed: {log}"])


def _collect(settings: Settings, parent_run_id: str) -> PipelineResult:
    """Read the outputs back from the parent run: the same place for every runner."""
    run = tracking.connect(settings).get_run(parent_run_id)
    values = {**run.data.tags, **run.data.metrics}
    found: dict[str, Outputs | None] = {}
    for notebook, contract in CONTRACTS.items():
        fields = contract.outputs.model_fields
        got = {name: values[f"{notebook}.{name}"] for name in fields if f"{notebook}.{name}" in values}
        found[notebook] = contract.outputs.model_validate(got, strict=False) if got else None
    return PipelineResult(parent_run_id, *found.values())
