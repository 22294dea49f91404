"""One pipeline run on this machine, from the lock on its folder to the final status of its MLflow run."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mlops_lib import tracking
from mlops_lib.config import CONFIG_ENV
from mlops_lib.errors import MlopsError
from mlops_lib.lineage.expected import Expected
from mlops_lib.redact import mask
from mlops_lib.settings import Settings
from mlops_lib.step_cache.mode import StepCacheMode
from mlops_lib.steps import events
from mlops_lib.steps.events import Event, OnEvent
from mlops_lib.steps.settings import with_parameters
from mlops_lib.steps.table import STEPS
from pipelines import interrupts, outputs, step_output
from pipelines.cached_run import Answer
from pipelines.outputs import PipelineResult


@dataclass(frozen=True)
class LocalRun:
    """One pipeline run that has an MLflow run and a folder."""

    settings: Settings
    config_file: Path
    run_id: str
    arguments: dict[str, Any]
    runner: str
    mode: StepCacheMode
    on_event: OnEvent

    @property
    def folder(self) -> Path:
        return events.run_folder(self.settings, self.run_id)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Lock the run for this process: two processes would write the same steps.

        Raises:
            MlopsError: Another process of this machine runs it.
        """
        with contextlib.ExitStack() as stack:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                lock = stack.enter_context((self.folder / "lock").open("a"))
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise MlopsError(
                    f"Run {self.run_id} is still running: another `mlops run` works on it. Wait for its end, or stop it."
                ) from None
            except OSError:  # the file system has no locks, or is full, which the steps will report
                pass
            yield

    def to_its_end(self, answers: list[Answer]) -> PipelineResult:
        """Run the steps and give the MLflow run its final status;
        an error after a finished step says how to continue.

        Args:
            answers: The cache's answers so far; the steps that hit are not run.
        """
        from mlflow.exceptions import MlflowException

        events.create(self.folder)
        for step, found in answers:
            if found.outputs is not None:
                values = found.outputs.model_dump()
                done = events.Finished(step=step.name, outputs=values, cached=True, entry=found.entry)
                events.write(self.folder, done)
        command = self.settings.command("run", *self._options(), "--resume", self.run_id)
        try:
            client = tracking.connect(self.settings)
            with tracking.ended(client, self.run_id), environment(self._variables()):
                try:
                    log = self._run_steps()
                except BaseException:
                    with contextlib.suppress(Exception):  # the first error is the one to show
                        outputs.log(client, self.run_id, self.folder)
                    raise
                outputs.log(client, self.run_id, self.folder)
                return outputs.collect(self.run_id, self.folder, log)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"Interrupted. Continue it with: {command}") from None
        except (MlopsError, OSError) as error:
            raise MlopsError("\n".join([str(error), *self._advice(command)])) from None
        except MlflowException as error:
            where = mask(tracking.tracking_uri(self.settings))
            went_away = f"MLflow at {where} went away: {mask(error.message)}"
            raise MlopsError("\n".join([went_away, *self._advice(command)])) from None

    def _advice(self, command: str) -> list[str]:
        """How to continue, if a step has finished; else a resumed run would do what a new one does.

        The folder of a run that makes a version again goes with the command,
        so such a run cannot be continued.
        """
        if not events.finished(self.folder) or Expected.from_env() != Expected():
            return []
        return [f"Once the cause is removed, continue without the finished steps: {command}"]

    def _run_steps(self) -> Path:
        """Run the pipeline with kfp.local, and return the file that has the output of the steps."""
        stop = self._start_kfp()
        from pipelines.training import make

        training = make(self.settings)
        with interrupts.handed_to_step(stop) as interrupted:

            def on_event(event: Event) -> None:
                # An interrupt between two steps found no step to stop, so it stops the next.
                if isinstance(event, events.Started) and interrupted.is_set():
                    stop()
                self.on_event(event)

            with step_output.captured(self.folder / "pipeline.log") as log:
                try:
                    with events.followed(self.folder, on_event) as seen:
                        training(parent_run_id=self.run_id, **self.arguments)
                # When a container is gone before kfp.local asks for its exit code,
                # kfp.local assumes success and later raises a ValueError for the missing outputs.
                except (RuntimeError, ValueError, OSError) as error:
                    if interrupted.is_set():
                        raise KeyboardInterrupt from None
                    raise MlopsError(_why(error, seen, log)) from None
        return log.path

    def _start_kfp(self) -> Callable[[], None]:
        """Choose where kfp.local runs the steps; returns a function that asks the running step to end."""
        from kfp import local

        steps: local.SubprocessRunner | local.DockerRunner = local.SubprocessRunner(use_venv=False)
        stop = interrupts.stop_child_steps
        if self.runner == "docker":
            from pipelines import docker

            # The source that an argument names must be mounted too.
            reader = next(step for step in STEPS if step.data == "source")
            settings = with_parameters(self.settings, reader.given(self.arguments))
            steps = docker.docker_runner(settings, self.folder, self._variables())
            stop = partial(docker.stop, self.run_id)
        local.init(runner=steps, pipeline_root=str(self.folder), raise_on_error=True, enable_caching=False)
        return stop

    def _variables(self) -> dict[str, str]:
        """The environment variables of the steps."""
        return {
            CONFIG_ENV: str(self.config_file),
            **self.mode.to_env(),
            # Without it, MLflow in a kernel would make a store in the current folder.
            "MLFLOW_TRACKING_URI": tracking.tracking_uri(self.settings),
            **image_variable(self.settings, self.runner),
        }

    def _options(self) -> list[str]:
        """The options of `mlops run` that a resumed run needs again; the arguments are on the run."""
        options = {
            "--runner": "" if self.runner == "subprocess" else str(self.runner),
            "--experiment": os.environ.get("MLFLOW_EXPERIMENT_NAME", ""),
        }
        return [word for name, value in options.items() if value for word in (name, value)]


def _why(error: Exception, seen: list[Event], log: step_output.Log) -> str:
    """The error that a step reported; without one, the last lines that the steps printed."""
    where = f"What the steps printed: {log.path}"
    failed = next((event for event in reversed(seen) if isinstance(event, events.Failed)), None)
    if not failed:
        return f"{error}\nThe last lines that the steps printed:\n{log.last_lines()}\n{where}"
    record_line = [f"Its record: {failed.record}"] if failed.record else []
    return "\n".join([failed.message, *record_line, where])


def image_variable(settings: Settings, runner: str) -> dict[str, str]:
    """The variable that names the image, which is part of the key of a step; empty without containers."""
    return {"MLOPS_IMAGE": settings.pipeline.image} if runner == "docker" else {}


@contextlib.contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """Set variables of this process, which kfp.local hands to the steps."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
