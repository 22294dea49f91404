"""Where the pipeline runs: in processes of this machine, in containers, or (cluster.py) on Kubeflow."""

import contextlib
import io
import json
import os
import re
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mlops_lib import config, memory, record, tracking
from mlops_lib.config import CONFIG_ENV
from mlops_lib.contracts import (
    CONTRACTS,
    EvaluateOutputs,
    GetDataOutputs,
    Outputs,
    RegisterOutputs,
    TrainOutputs,
)
from mlops_lib.errors import MlopsError
from mlops_lib.memory import MEMORY_ENV
from mlops_lib.notebooks import REMEMBERED, STARTED
from mlops_lib.settings import Settings
from pipelines import remembered


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
    """A step has run `cell` of its `cells`, or there is a `note` on it: what memory says of it, say."""

    notebook: str
    cell: int = 0
    cells: int = 0
    note: str = ""


OnProgress = Callable[[Progress], None]


def run_local(
    settings: Settings,
    config_file: Path,
    arguments: dict[str, Any],
    on_progress: OnProgress = lambda _: None,
    *,
    runner: str = "subprocess",
    remember: bool = False,
    resume: str = "",
) -> PipelineResult:
    """Run the pipeline on this machine, each step in a process or a container of its own.

    Args:
        settings: Resolved settings.
        config_file: The file they came from; the steps read it again.
        arguments: Arguments of `pipelines.training.training`, without `parent_run_id`.
        on_progress: Called for each cell that a step has run, and with what memory says of a step.
        runner: ``subprocess`` or ``docker``.
        remember: Skip a step whose inputs are as they were.
        resume: A run to continue after the last step that it finished, with the arguments it had.

    Raises:
        MlopsError: A step failed; says which, with what it printed last and where its log is.
    """
    if remember and not resume and (found := remembered.recall(settings, arguments)):
        for notebook, (_, reason) in found.items():
            on_progress(Progress(notebook, note=f"hit: {reason}"))
        outputs = [found[notebook][0] if notebook in found else None for notebook in CONTRACTS]
        return PipelineResult(outputs[0].parent_run_id, *outputs)
    record.send_kept(settings)
    if resume:
        parent_run_id, arguments = resume, tracking.reopen_parent(settings, resume)
    else:
        tags = {tracking.ARGUMENTS_TAG: json.dumps(arguments)}
        if runner == "docker":
            tags["mlops.image"] = settings.pipeline.image
        parent_run_id = tracking.open_parent(settings, tags)
    words = [word for word, wanted in (("resume", resume), ("use", remember), ("noted", True)) if wanted]
    named = "" if config_file == config.find_config() else f" --config {shlex.quote(str(config_file))}"
    environment = {
        CONFIG_ENV: str(config_file),
        MEMORY_ENV: ",".join(words),
        # A kernel's MLflow, left alone, would make a store of its own in the current folder.
        "MLFLOW_TRACKING_URI": tracking.tracking_uri(settings),
    }
    folder = settings.path(settings.pipeline.work_dir) / "runs" / parent_run_id
    folder.mkdir(parents=True, exist_ok=True)
    with tracking.ended(tracking.connect(settings), parent_run_id):
        stop = _start_kfp(settings, folder, runner, environment)
        log = folder / "pipeline.log"
        from pipelines.training import make

        training = make(settings)
        with _environment(environment), _captured(log, on_progress), _interruptible(stop) as interrupted:
            try:
                training(parent_run_id=parent_run_id, **arguments)
            # kfp.local loses the exit code of a container that was gone before it asked, takes that for success,
            # and misses the outputs later, with a ValueError.
            except (RuntimeError, ValueError) as error:
                resume_with = f"Continue it with: mlops run{named} --resume {parent_run_id}"
                if interrupted.is_set():
                    raise KeyboardInterrupt(f"Interrupted. {resume_with}") from None
                raise MlopsError(f"{_why(log, error)}\n{resume_with}") from None
            finally:
                for notebook, outputs in memory.noted(settings, parent_run_id).items():
                    tracking.log_outputs(parent_run_id, notebook, outputs)
        result = collect(settings, parent_run_id)
        if not result.evaluated or (result.evaluated.passed and not result.registered):
            raise MlopsError(_why(log, RuntimeError("The last step ended without its outputs.")))
        return result


def collect(settings: Settings, parent_run_id: str) -> PipelineResult:
    """Read the outputs back from the parent run: the same place for every runner."""
    run = tracking.connect(settings).get_run(parent_run_id)
    values = {**run.data.tags, **run.data.metrics}
    found: dict[str, Outputs | None] = {}
    for notebook, contract in CONTRACTS.items():
        fields = contract.outputs.model_fields
        got = {name: values[f"{notebook}.{name}"] for name in fields if f"{notebook}.{name}" in values}
        found[notebook] = contract.outputs.model_validate(got, strict=False) if got else None
    return PipelineResult(parent_run_id, *found.values())


def _start_kfp(
    settings: Settings, folder: Path, runner: str, environment: dict[str, str]
) -> Callable[[], None]:
    """Tell kfp.local where the steps run; gives what stops them."""
    from kfp import local

    steps: local.SubprocessRunner | local.DockerRunner = local.SubprocessRunner(use_venv=False)
    stop = _stop_children
    if runner == "docker":
        from pipelines import containers

        steps = containers.docker_runner(settings, folder, environment)
        stop = partial(containers.stop, folder.name)
    local.init(runner=steps, pipeline_root=str(folder), raise_on_error=True, enable_caching=False)
    return stop


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """kfp.local hands its own environment down to the steps."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextlib.contextmanager
def _interruptible(stop: Callable[[], None]) -> Iterator[threading.Event]:
    """Hand the first Ctrl-C to the running step and wait for its record; a second one stops at once.

    kfp.local would leave a step behind that nobody waits for.
    """
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return

    def stop_step(number: int, _: Any) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()
        stop()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, stop_step) for number in numbers]
    try:
        yield interrupted
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _stop_children() -> None:
    """SIGTERM to the step, not to its kernel: the step stops that one itself."""
    import psutil

    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "kfp.dsl.executor_main" in process.cmdline():
                process.terminate()


class _Log(io.TextIOBase):
    """Writes what the steps print to a file, and tells of each cell that has run."""

    STARTED = re.compile(rf"{re.escape(STARTED)} (\w+)")
    CELLS = re.compile(r"Executing:\s+\d+%.*?(\d+)/(\d+) ")
    REMEMBERED = re.compile(rf"{re.escape(REMEMBERED)} (\w+) (\w+: .*)")

    def __init__(self, file: io.TextIOBase, on_progress: OnProgress) -> None:
        self.file, self.on_progress = file, on_progress
        self.notebook = ""

    def write(self, text: str) -> int:
        if found := self.REMEMBERED.search(text):
            self.on_progress(Progress(found[1], note=found[2].strip()))
        if started := self.STARTED.search(text):
            self.notebook = started[1]
        if cells := self.CELLS.findall(text):  # a container's output comes in pieces of many lines
            self.on_progress(Progress(self.notebook, *map(int, cells[-1])))
        self.file.write(text)
        self.file.flush()
        return len(text)


@contextlib.contextmanager
def _captured(log: Path, on_progress: OnProgress) -> Iterator[None]:
    """kfp.local prints everything that the steps print; that goes to a file, not over the progress display."""
    with log.open("w", encoding="utf-8") as file, contextlib.redirect_stdout(_Log(file, on_progress)):
        yield


def _why(log: Path, error: Exception) -> str:
    """The error that the failed step ended with, out of its log."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8").splitlines()]
    raised = [i for i, line in enumerate(lines) if re.match(r"mlops_lib\.errors\.\w+: ", line)]
    if not raised:
        return f"{error}\nWhat the steps printed: {log}"
    message = lines[raised[-1]].partition(": ")[2]
    record = [line for line in lines[raised[-1] :] if line.startswith("Its record: ")]
    return "\n".join([message, *record[:1], f"What the steps printed: {log}"])
