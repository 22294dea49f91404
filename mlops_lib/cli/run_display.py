"""How the command line shows a pipeline run: progress while it runs, a summary after it."""

import time
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from mlops_lib import tracking
from mlops_lib.cli.display import out, show
from mlops_lib.settings import Settings

STEPS = {
    "01_get_data": "get-data",
    "02_train": "train-model",
    "03_evaluate": "evaluate-model",
    "04_register": "register-model",
}


class PipelineDisplay:
    """One bar a step on a terminal, one line a step elsewhere."""

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
        self.tasks: dict[str, TaskID] = {
            notebook: self.progress.add_task(step, start=False, state="waiting")
            for notebook, step in STEPS.items()
        }
        self.done: set[str] = set()
        self.began = time.monotonic()

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        for notebook, task in self.tasks.items():
            if notebook not in self.done:
                self.progress.update(
                    task, state="not finished" if self.progress.tasks[task].started else "not run"
                )
                self.progress.stop_task(task)
        self.progress.stop()

    def update(self, event: Any) -> None:
        """Show that a step has run another cell, or a note on it: see `pipelines.local.Progress`."""
        if event.note:
            text = f"{STEPS[event.notebook]:<15} {event.note}"
            self.console.print(text, highlight=False, soft_wrap=True)
            if event.note.startswith("hit"):
                self.done.add(event.notebook)
                self.progress.update(self.tasks[event.notebook], total=1, completed=1, state="remembered")
            return
        task = self.tasks[event.notebook]
        if not self.progress.tasks[task].started:
            self.progress.start_task(task)
        state = f"cell {event.cell} of {event.cells}"
        self.progress.update(task, total=event.cells, completed=event.cell, state=state)
        if event.cell == event.cells and event.notebook not in self.done:
            self.done.add(event.notebook)
            if not self.console.is_terminal:
                self.console.print(
                    f"{STEPS[event.notebook]} done, {time.monotonic() - self.began:.0f} s after the start"
                )


def show_report(report: Any) -> None:
    """Every metric with the rows behind it, what a reader must know of it, and the gate's verdict."""
    table = Table("metric", "value", "scored", "errored", "empty", "note", box=None, pad_edge=False)
    for name, score in report.metrics.items():
        value = "none" if score.value is None else f"{score.value:.4f}"
        counts = [str(count) for count in (score.scored, score.errored, score.empty)]
        table.add_row(name, value, *counts, report.notes.get(name, ""))
    show(table)
    for name in report.notes.keys() - report.metrics.keys():
        out.print(f"{name}: {report.notes[name]}", highlight=False)
    if report.verdict:
        color = "green" if report.verdict.passed else "red"
        out.print(f"[{color}]{report.verdict}[/]", highlight=False)


def show_result(settings: Settings, result: Any) -> None:
    """Score against threshold, version, and where the record is."""
    evaluated, registered = result.evaluated, result.registered
    verdict = "[green]passed[/]" if evaluated.passed else "[red]refused[/]"
    table = Table.grid(padding=(0, 2))
    table.add_row("score", f"{settings.evaluation.metric} {evaluated.score:.4f}")
    table.add_row("gate", f"{verdict} (threshold {evaluated.threshold:g})")
    table.add_row(
        "model",
        f"{registered.model_name} version {registered.version} at {registered.stage}"
        if registered
        else "not registered",
    )
    table.add_row("record", tracking.describe_run(settings, result.parent_run_id))
    if registered and registered.stage != "Production":
        table.add_row("next", f"mlops promote {registered.model_name} {registered.version}")
    show(table)
