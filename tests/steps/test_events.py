"""Events: typed, one JSON object a line, written by steps and read by their runner."""

import threading

from mlops_lib.steps import events
from mlops_lib.steps.events import CellDone, Failed, Finished, Reader, Started
from tests.support.waiting import LIMIT_S


def test_events_come_back_as_they_were_written(tmp_path):
    """Types and values, a message of several lines included."""
    written = [
        Started(step="train-model"),
        CellDone(step="train-model", cell=1, cells=7),
        Failed(step="train-model", message="It failed.\nDo this.", record="/tmp/x.html"),
        Finished(step="train-model", outputs={"run_id": "abc", "score": 0.5}),
    ]
    events.create(tmp_path)
    for event in written:
        events.write(tmp_path, event)
    assert events.read(tmp_path) == written
    assert events.finished(tmp_path) == {"train-model": written[-1]}


def test_without_a_runner_nothing_is_written(tmp_path):
    """A step on a cluster has no folder of the run, or one without an events file."""
    events.write(tmp_path / "none", Started(step="train-model"))
    events.write(tmp_path, Started(step="train-model"))
    assert list(tmp_path.iterdir()) == [] and events.read(tmp_path) == []


def test_half_a_line_waits_for_its_rest(tmp_path):
    """A reader may look while a step writes; a line that is no event is left out."""
    file = tmp_path / events.FILE
    line = Started(step="get-data").model_dump_json()
    file.write_text(f'{{"event": "unknown"}}\n{line[:10]}')
    reader = Reader(file)
    assert reader.new() == []
    with file.open("a") as stream:
        stream.write(line[10:] + "\n")
    assert reader.new() == [Started(step="get-data")]
    assert reader.new() == []


def test_an_event_after_half_a_line_is_not_lost(tmp_path):
    """A step was killed while it wrote, or the disk was full: the next event still counts."""
    file = tmp_path / events.FILE
    file.write_text(CellDone(step="get-data", cell=1, cells=2).model_dump_json()[:10])
    events.write(tmp_path, Started(step="get-data"))
    assert events.read(tmp_path) == [Started(step="get-data")]


def test_a_runner_hears_of_events_while_the_steps_run(tmp_path):
    """Each event that is written during the block, once, in order, and none from before."""
    events.create(tmp_path)
    events.write(tmp_path, Started(step="before"))
    heard, told = [], threading.Event()

    def on_event(event):
        heard.append(event)
        told.set()

    with events.followed(tmp_path, on_event) as seen:
        events.write(tmp_path, Started(step="get-data"))
        assert told.wait(LIMIT_S)
        events.write(tmp_path, CellDone(step="get-data", cell=1, cells=2))
    assert heard == seen == [Started(step="get-data"), CellDone(step="get-data", cell=1, cells=2)]
