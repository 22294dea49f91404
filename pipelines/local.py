"""Where the pipeline runs: in processes of this machine, in containers, or (cluster.py) on Kubeflow."""

import contextlib
import fcntl
import json
import os
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mlops_lib import config, tracking
from mlops_lib.config import CONFIG_ENV
from mlops_lib.errors import MlopsError
from mlops_lib.redact import masked
from mlops_lib.settings import Settings
from mlops_lib.step_cache import store
from mlops_lib.step_cache.store import MEMORY_ENV
from mlops_lib.steps import fork_client, preload, record
from mlops_lib.steps.contracts import (
    CONTRACTS,
    EvaluateOutputs,
    GetDataOutputs,
    Outputs,
    RegisterOutputs,
    TrainOutputs,
)
from pipelines import remembered, step_output
from pipelines.step_output import OnProgress, Progress


@dataclass(frozen=True)
class PipelineResult:
    """What a pipeline run left behind. `registered` is None when the gate refused the model."""

    parent_run_id: str
    data: GetDataOutputs
    trained: TrainOutputs
    evaluated: EvaluateOutputs
    registered: RegisterOutputs | None


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
    image = {"MLOPS_IMAGE": settings.pipeline.image} if runner == "docker" else {}
    with _environment(image):
        found = remembered.recall(settings, arguments) if remember and not resume else None
    if found:
        for notebook, recall in found.items():
            on_progress(Progress(notebook, note=f"hit: {recall.reason}"))
        outputs = [found[notebook].outputs if notebook in found else None for notebook in CONTRACTS]
        # Earlier steps may be those of an older run; the last one's run is the one that ended so.
        return PipelineResult(list(found.values())[-1].run_id, *outputs)
    # Before anything else, because importing takes as long as all else that is done here before the first step.
    with fork_client.server(preload.chosen(settings)) if runner == "subprocess" else contextlib.nullcontext():
        record.send_kept(settings)
        if resume:
            parent_run_id, arguments = resume, tracking.arguments_of(settings, resume)
        else:
            tags = {tracking.ARGUMENTS_TAG: json.dumps(arguments)}
            with _environment(image):
                parent_run_id = tracking.open_parent(settings, tags)
        words = [word for word, wanted in (("resume", resume), ("use", remember), ("noted", True)) if wanted]
        environment = {
            CONFIG_ENV: str(config_file),
            MEMORY_ENV: ",".join(words),
            # A kernel's MLflow, left alone, would make a store of its own in the current folder.
            "MLFLOW_TRACKING_URI": tracking.tracking_uri(settings),
            **image,
        }
        folder = settings.path(settings.pipeline.work_dir) / "runs" / parent_run_id
        with _alone(folder):
            if resume:  # not before: who works on it gives it the status that it ends with
                tracking.reopen_parent(settings, resume)
            resume_with = (
                f"Continue it with: mlops run{_options(config_file, runner)} --resume {parent_run_id}"
            )
            return _to_its_end(settings, folder, arguments, on_progress, runner, environment, resume_with)


def _to_its_end(
    settings: Settings,
    folder: Path,
    arguments: dict[str, Any],
    on_progress: OnProgress,
    runner: str,
    environment: dict[str, str],
    resume_with: str,
) -> PipelineResult:
    """Run the steps, and whatever ends them, say how to go on."""
    from mlflow.exceptions import MlflowException

    try:
        with tracking.ended(tracking.connect(settings), folder.name), _environment(environment):
            return _run_steps(settings, folder, arguments, on_progress, runner, environment)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"Interrupted. {resume_with}") from None
    except (MlopsError, OSError) as error:
        raise MlopsError(f"{error}\n{resume_with}") from None
    except MlflowException as error:
        where = masked(tracking.tracking_uri(settings))
        raise MlopsError(f"MLflow at {where} went away: {masked(error.message)}\n{resume_with}") from None


def _run_steps(
    settings: Settings,
    folder: Path,
    arguments: dict[str, Any],
    on_progress: OnProgress,
    runner: str,
    environment: dict[str, str],
) -> PipelineResult:
    run_id = folder.name
    folder.mkdir(parents=True, exist_ok=True)
    stop = _start_kfp(settings, folder, runner, environment)
    from pipelines.training import make

    training = make(settings)
    with (
        _interruptible(stop) as interrupted,
        # An interrupt that fell between two steps stopped nothing: it is for the one that starts next.
        step_output.captured(
            folder / "pipeline.log", on_progress, lambda: interrupted.is_set() and stop()
        ) as log,
    ):
        try:
            training(parent_run_id=run_id, **arguments)
        # kfp.local loses the exit code of a container that was gone before it asked, takes that for success,
        # and misses the outputs later, with a ValueError.
        except (RuntimeError, ValueError, OSError) as error:
            with contextlib.suppress(Exception):  # the first error says what happened
                _log_noted(settings, run_id)
            if interrupted.is_set():
                raise KeyboardInterrupt from None
            raise MlopsError(log.why(error)) from None
    _log_noted(settings, run_id)
    result = collect(settings, run_id)
    if not result.evaluated or (result.evaluated.passed and not result.registered):
        raise MlopsError(log.why(RuntimeError("The last step ended without its outputs.")))
    return result


def _options(config_file: Path, runner: str) -> str:
    """The options of `mlops run` that a resumed run needs again; its arguments are on the run."""
    experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", "")
    options = {
        "--config": "" if config_file == config.find_config() else str(config_file),
        "--runner": "" if runner == "subprocess" else str(runner),
        "--experiment": experiment,
    }
    return "".join(f" {name} {shlex.quote(value)}" for name, value in options.items() if value)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the run in `folder` for this process alone: two would write the same steps.

    Raises:
        MlopsError: Another process of this machine works on it.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            fcntl.flock(stack.enter_context((folder / "lock").open("a")), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MlopsError(
                f"Run {folder.name} is still running: another `mlops run` works on it. Wait for its end, or stop it."
            ) from None
        except OSError:  # no locks there, or a full disk, which the steps will meet
            pass
        yield


def _log_noted(settings: Settings, run_id: str) -> None:
    """What the steps noted, on their run: a remembered one leaves that to who started it."""
    for notebook, outputs in store.noted(settings, run_id).items():
        tracking.log_outputs(run_id, notebook, outputs)


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
        from pipelines import docker

        steps = docker.docker_runner(settings, folder, environment)
        stop = partial(docker.stop, folder.name)
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

    kfp.local would leave a step behind that nobody waits for. Gives whether there was one.
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
