"""The output of the commands: tables, progress and result of a pipeline run;
and the option of all commands."""

import io
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from mlops_lib import tracking
from mlops_lib.errors import MlopsError
from mlops_lib.settings import Settings
from mlops_lib.steps.contracts import EvaluateOutputs, RegisterOutputs, TrainOutputs
from mlops_lib.steps.events import CacheHit, CacheMiss, CellDone, Event, Finished, Started, Warned
from mlops_lib.steps.table import STEPS

if TYPE_CHECKING:
    from mlops_lib.evaluation.report import EvaluationReport, Verdict

#: Results, for people and pipes.
out = Console(highlight=False)
#: Progress and errors.
err = Console(stderr=True, highlight=False)
#: Characters of a table's row in a pipe, where no terminal folds it.
PIPE_WIDTH = 10_000
#: Seconds between two lines about a running step where there is no terminal.
LINE_EVERY_S = 60.0
#: Seconds that a command without a terminal works before it says so.
QUIET_S = 1.0

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Config file; default: MLOPS_CONFIG, else the nearest config.yaml."),
]


def show(table: RenderableType) -> None:
    """Print a table or a tree, folded to the width of a terminal; in a pipe each row is one whole line."""
    if out.is_terminal:
        out.print(table)
        return
    text = io.StringIO()
    Console(file=text, width=PIPE_WIDTH).print(table)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines()))


@contextmanager
def progress(text: str = "") -> Iterator[Callable[[str], None]]:
    """Show what goes on: a line that changes on a terminal; elsewhere a line each, and `text` after a second.

    Yields:
        A function that shows the next text.
    """
    if err.is_terminal:
        with err.status(escape(text)) as status:
            yield lambda now: status.update(escape(now))
        return

    def say(now: str) -> None:
        err.print(now, markup=False, soft_wrap=True)

    late = threading.Timer(QUIET_S, say, (text,))
    if text:
        late.start()
    try:
        yield say
    finally:
        late.cancel()


class PipelineDisplay:
    """The progress of a pipeline run: one bar a step on a terminal; elsewhere one line a step,
    and one a minute."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress(
            TextColumn("{task.description:<15}"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[state]:<13}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.tasks = {
            step.name: self.progress.add_task(step.name, start=False, state="waiting") for step in STEPS
        }
        self.done: set[str] = set()
        self.began = time.monotonic()
        self.ended = threading.Event()

    def __enter__(self) -> Self:
        self.progress.start()
        if not self.console.is_terminal:
            threading.Thread(target=self._tell_what_runs, daemon=True, name="progress").start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        for step, task in self.tasks.items():
            if step not in self.done:
                started = self.progress.tasks[task].started
                self.progress.update(task, state="not finished" if started else "not run")
                self.progress.stop_task(task)
        self.progress.stop()

    def start(self, run_id: str) -> None:
        """Show the id of the run, which `--resume` takes."""
        self._print(f"Run {run_id}")

    def update(self, event: Event) -> None:
        """Show an event of a step."""
        task = self.tasks[event.step]
        if isinstance(event, CacheHit | CacheMiss):
            answer = "hit" if isinstance(event, CacheHit) else "miss"
            self._print(f"{event.step:<15} {answer}: {event.reason}")
        if isinstance(event, Warned):
            self._print(f"{event.step:<15} WARNING: {event.message}", "yellow")
        elif isinstance(event, CacheHit):
            self.done.add(event.step)
            self.progress.update(task, total=1, completed=1, state="cached")
        elif isinstance(event, Started):
            self.progress.start_task(task)
            self.progress.update(task, state="starting")
        elif isinstance(event, CellDone):
            state = f"cell {event.cell} of {event.cells}"
            self.progress.update(task, total=event.cells, completed=event.cell, state=state)
        elif isinstance(event, Finished) and not event.cached:
            self.done.add(event.step)
            self.progress.stop_task(task)
            if not self.console.is_terminal:
                self._print(f"{event.step} done, {self._elapsed()}")

    def _tell_what_runs(self) -> None:
        while not self.ended.wait(LINE_EVERY_S):
            for step, number in self.tasks.items():
                task = self.progress.tasks[number]
                if task.started and step not in self.done:
                    self._print(f"{step} runs, {task.fields['state']}, {self._elapsed()}")

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self.began:.0f} s after the start"

    def _print(self, text: str, style: str = "") -> None:
        self.console.print(text, style=style, markup=False, emoji=False, soft_wrap=True)


def show_report(report: "EvaluationReport") -> None:
    """Print every metric with its counts of rows and its note, and the gate's verdict."""
    table = Table("metric", "value", "scored", "errored", "empty", "note", box=None, pad_edge=False)
    for name, score in report.metrics.items():
        value = "none" if score.value is None else f"{score.value:.4f}"
        counts = [str(count) for count in (score.scored, score.errored, score.empty)]
        table.add_row(name, value, *counts, report.notes.get(name, ""))
    show(table)
    for name in report.notes.keys() - report.metrics.keys():
        out.print(f"{name}: {report.notes[name]}")
    if report.verdict:
        show_verdict(report.verdict)


def show_verdict(verdict: "Verdict") -> None:
    """Print the gate's verdict with its reasons, criteria and comparisons."""
    color = "green" if verdict.passed else "red"
    out.print(str(verdict), style=color, markup=False, soft_wrap=True)


def _gate(result: Any, evaluated: EvaluateOutputs) -> str:
    """The verdict with the outcome against the version at Production, where the run has its evidence."""
    threshold = f"{'passed' if evaluated.passed else 'refused'} (threshold {evaluated.threshold:g})"
    if "mlflow" not in sys.modules:  # every step was cached: importing MLflow would take longer than the run
        return threshold
    from mlops_lib.evaluation.verdict_text import headline
    from mlops_lib.training import evidence

    try:
        run_id = result.of(TrainOutputs).run_id
        tags = evidence.run_tags(run_id)
        found = evidence.read(run_id, tags[evidence.EVIDENCE_TAG], tags[evidence.SHA256_TAG]).verdict
        return headline(found)
    except (MlopsError, AttributeError, KeyError):  # a notebook of the user's own may evaluate in its own way
        return threshold


def show_result(settings: Settings, result: Any) -> bool:
    """Print score and threshold, version, and the run that has the record.

    Args:
        settings: Resolved settings.
        result: A `pipelines.local.PipelineResult`.

    Returns:
        Whether the model was registered.
    """
    from mlops_lib.evaluation.verdict_text import score_and_threshold

    evaluated, registered = result.of(EvaluateOutputs), result.of(RegisterOutputs)
    table = Table.grid(padding=(0, 2))
    if evaluated:
        colour, gate = "green" if evaluated.passed else "red", _gate(result, evaluated)
        score, _ = score_and_threshold(evaluated.score, evaluated.threshold)
        table.add_row("score", f"{settings.evaluation.metric} {score}")
        table.add_row("gate", f"[{colour}]{escape(gate)}[/]")
        if evaluated.reason:
            table.add_row("note" if evaluated.passed else "reason", escape(evaluated.reason))
    model = (
        f"{registered.model_name} version {registered.version} at {registered.stage}" if registered else ""
    )
    table.add_row("model", model or "not registered")
    table.add_row("record", tracking.describe_run(settings, result.parent_run_id))
    if registered and registered.stage != "Production":
        table.add_row("next", escape(settings.command("promote", registered.model_name, registered.version)))
    show(table)
    return registered is not None
