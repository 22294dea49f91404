"""What the commands print while they work."""

import io

from rich.console import Console

from mlops_lib.cli import display
from mlops_lib.steps.events import CellDone, Finished, Started, Warned
from tests.support.waiting import until


def test_a_long_step_is_not_silent_without_a_terminal(monkeypatch):
    """A line at intervals names the step, its cell and the time, until the step has finished."""
    monkeypatch.setattr(display, "LINE_EVERY_S", 0.01)
    text = io.StringIO()
    with display.PipelineDisplay(Console(file=text, width=200)) as shown:
        shown.start("abc123")
        shown.update(Started(step="train-model"))
        until(lambda: "train-model runs, starting, " in text.getvalue(), "a first line")
        shown.update(CellDone(step="train-model", cell=3, cells=7))
        until(lambda: "train-model runs, cell 3 of 7, " in text.getvalue(), "a second line")
        shown.update(Finished(step="train-model", outputs={}))
        shown.update(Started(step="evaluate-model"))
        until(lambda: "evaluate-model runs" in text.getvalue(), "a line of the next step")
    lines = text.getvalue().splitlines()
    assert lines[0] == "Run abc123"
    done = next(number for number, line in enumerate(lines) if line.startswith("train-model done, "))
    # A line that was on its way may come after it.
    assert not [line for line in lines[done + 2 :] if line.startswith("train-model")]


def test_warnings_of_the_steps_are_shown_as_they_are():
    """With their brackets and colons, which are no markup."""
    text = io.StringIO()
    with display.PipelineDisplay(Console(file=text, width=40)) as shown:
        shown.update(
            Warned(step="get-data", message="column 'a:x:b' has [red] in 3 of 20 rows, which is no number")
        )
    assert text.getvalue() == (
        "get-data        WARNING: column 'a:x:b' has [red] in 3 of 20 rows, which is no number\n"
    )
