"""Runs the training pipeline on this machine, each step in a process or a container of its own."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from mlops_lib import tracking
from mlops_lib.settings import Settings
from mlops_lib.step_cache.mode import StepCacheMode
from mlops_lib.steps import events, fork_client, preload, record
from mlops_lib.steps.events import OnEvent
from mlops_lib.steps.execute import require_notebooks
from pipelines import cached_run
from pipelines.cached_run import Answer
from pipelines.local_run import LocalRun, environment, image_variable
from pipelines.outputs import PipelineResult


def run_local(
    settings: Settings,
    config_file: Path,
    arguments: dict[str, Any],
    on_event: OnEvent = lambda _: None,
    *,
    runner: str = "subprocess",
    use_cache: bool = False,
    resume: str = "",
    on_start: Callable[[str], None] = lambda _: None,
) -> PipelineResult:
    """Run the pipeline, or take its outputs from the step cache.

    Args:
        settings: Resolved settings, without the arguments.
        config_file: The file they came from; each step resolves it again.
        arguments: Arguments of `pipelines.training`, without `parent_run_id`.
        on_event: Called for each event of the steps.
        runner: ``subprocess`` or ``docker``.
        use_cache: Skip a step whose inputs are unchanged.
        resume: A run to continue after the last step that it finished, with the arguments it had.
        on_start: Called with the run's id before the first step; not called when all outputs are cached.

    Raises:
        MlopsError: A notebook cannot be run, before the first step; or a step failed: has the step's error,
            and says how to continue.
        KeyboardInterrupt: The user stopped the run; says how to continue.
    """
    require_notebooks(settings)
    answers: list[Answer] = []
    with environment(image_variable(settings, runner)):
        if use_cache and not resume:
            answers = cached_run.look_up(settings, arguments)
            is_complete = all(answer.lookup.outputs is not None for answer in answers)
            if runner == "docker":
                # The library of the image may be another one: a step that misses here looks itself up there.
                answers = [answer for answer in answers if answer.lookup.outputs is not None]
            for step, found in answers:
                hit = found.outputs is not None
                on_event((events.CacheHit if hit else events.CacheMiss)(step=step.name, reason=found.reason))
            if is_complete:
                return _cached(answers)
    # First of all, because its imports take longer than the preparations below.
    forks = fork_client.server(preload.chosen(settings)) if runner == "subprocess" else nullcontext()
    with forks:
        with environment(image_variable(settings, runner)):
            record.send_kept(settings)
            if resume:
                run_id, arguments = resume, tracking.arguments_of(settings, resume)
            else:
                run_id = tracking.open_parent(settings, {tracking.ARGUMENTS_TAG: json.dumps(arguments)})
        mode = StepCacheMode(
            lookup=use_cache,
            resume=bool(resume),
            runner_logs=True,
            answered=tuple(answer.step.name for answer in answers),
        )
        run = LocalRun(settings, config_file, run_id, arguments, runner, mode, on_event)
        with run.held():
            if resume:  # not before, because the process that holds the run sets its final status
                tracking.reopen_parent(settings, resume)
            on_start(run_id)
            return run.to_its_end(answers)


def _cached(answers: list[Answer]) -> PipelineResult:
    """The result of a run in which every step is a hit; its record is in the run of the last step."""
    outputs = {step.name: found.outputs for step, found in answers if found.outputs}
    last = answers[-1].lookup.entry
    return PipelineResult(last.parent_run_id if last else "", outputs)
