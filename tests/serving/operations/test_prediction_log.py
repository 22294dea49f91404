"""The prediction log by itself: what it keeps, what it drops, and that it says so."""

import asyncio
import logging
import re
import time
from types import SimpleNamespace

import pyarrow.parquet as pq

from mlops_lib.monitoring import prediction_log as read
from mlops_lib.monitoring.prediction_log import COLUMNS
from mlops_lib.registry import ModelVersion
from serving.features.statuses import EnrichedRows, Statuses
from serving.inference.rows import Context, Rows
from serving.inference.schema import RequestSchema
from serving.models.facts import ModelFacts
from serving.operations import prediction_log
from serving.operations.metrics import Metrics
from serving.operations.prediction_log import MAX_PENDING, MAX_PENDING_BYTES, PredictionLog
from serving.operations.records import Feedback, Record, write_table
from tests.support.projects import ROOT


def feedback(request_id: str, outcome: object = 1, body_bytes: int = 50) -> Feedback:
    """An outcome of now."""
    return Feedback(request_id, "", 0, outcome, time.time(), body_bytes)


def dropped(metrics: Metrics) -> float:
    """What the counter says of feedback."""
    lines = metrics.exposition().decode().splitlines()
    found = [line for line in lines if line.startswith('mlops_serving_dropped_total{what="feedback"}')]
    return float(found[0].split()[-1]) if found else 0.0


def kept(folder) -> list[str]:
    """Request ids in the files."""
    return [
        row["request_id"] for file in folder.glob("feedback-*") for row in pq.read_table(file).to_pylist()
    ]


def test_a_record_that_cannot_be_written_is_lost_alone(tmp_path):
    """Half a surrogate pair has no UTF-8: that one is dropped and counted, the fifty beside it are in the file."""
    metrics = Metrics()
    log = PredictionLog(tmp_path, metrics)
    for number in range(50):
        assert log.add_feedback(feedback(f"good-{number}"))
    assert log.add_feedback(feedback("bad", "\ud800"))
    log.start()
    log.stop()
    assert sorted(kept(tmp_path)) == sorted(f"good-{number}" for number in range(50))
    assert dropped(metrics) == 1


def test_what_finds_no_room_is_dropped_and_counted(tmp_path):
    """The bound is on records and on bytes, so that a few thousand large bodies do not fill the memory either."""
    for size, fit in ((1, MAX_PENDING), (MAX_PENDING_BYTES // 4, 4)):
        metrics = Metrics()
        log = PredictionLog(tmp_path / str(size), metrics)
        said = [log.add_feedback(feedback(str(number), body_bytes=size)) for number in range(fit + 3)]
        assert said == [True] * fit + [False] * 3 and dropped(metrics) == 3
        log.start()
        log.stop()
        assert len(kept(tmp_path / str(size))) == fit
        assert log.add_feedback(feedback("later", body_bytes=size)), "what was written makes room"


def test_a_record_names_the_models_run_and_digest(tmp_path):
    """A version number may be another model's later; these are not. The reader knows every column."""
    version = ModelVersion("toy", 2, "Production", "run")
    served = SimpleNamespace(version=version, facts=ModelFacts(False, digest="d" * 64))
    context, rows = Context("new", 9, deadline=0.0), Rows(RequestSchema(None), [{"x": 1}])
    row = Record(context, "champion", served, rows, [2.0], 0.1, 1.0).as_row()
    assert tuple(row) == COLUMNS["predictions"]
    write_table(tmp_path / "predictions-20260102T000000-1-a.parquet", [row])
    (found,) = read.PredictionLog(tmp_path).of_request("predictions", "new")
    assert (found["version"], found["run_id"], found["model_digest"]) == (2, "run", "d" * 64)


def test_a_folder_with_feedback_reads_as_one_table(tmp_path):
    """The documentation's code: the champion's rows by a filter, joined with outcomes; also while a file is written."""
    documented = (ROOT / "docs/operations.md").read_text()
    (code,) = re.findall(r"```python\n(.*?read_parquet.*?)```", documented, re.DOTALL)
    version = ModelVersion("toy", 2, "Production", "run")
    served = SimpleNamespace(version=version, facts=ModelFacts(False, digest="d" * 64))
    log = PredictionLog(tmp_path / "predictions", Metrics())
    for number, role in enumerate(("champion", "challenger", "champion")):
        context, rows = Context(f"r{number}", 9, deadline=0.0), Rows(RequestSchema(None), [{"x": number}])
        log.add(Record(context, role, served, rows, [2.0], 0.1, 1.0))
        assert log.add_feedback(feedback(f"r{number}", None if number else {"churned": True}))
    log.start()
    log.stop()
    (tmp_path / "predictions/_predictions-20260102T000000-1-b.parquet").write_bytes(b"half a fi")
    found: dict = {}
    exec(code.replace('"predictions"', repr(str(tmp_path / "predictions"))), found)  # noqa: S102 - the code of the documentation
    joined = found["joined"].sort_values("request_id")
    assert list(joined["request_id"]) == ["r0", "r2"] and set(joined["role"]) == {"champion"}
    assert list(joined["outcome"]) == ['{"churned":true}', "null"] and list(joined["row"]) == [0, 0]


def test_a_body_that_is_larger_than_the_room_is_kept_where_nothing_waits(tmp_path):
    """Otherwise no outcome of such a request could ever be told."""
    log = PredictionLog(tmp_path, Metrics())
    assert log.add_feedback(feedback("huge", body_bytes=2 * MAX_PENDING_BYTES))
    assert not log.add_feedback(feedback("next"))


def test_looked_up_features_take_room_too():
    """A key of a few bytes brings as many values as the feature service has."""
    enriched = EnrichedRows([dict.fromkeys(range(100), 1.0)] * 1000, Statuses({}))
    context, rows = Context("id", 9_000, deadline=0.0), Rows(RequestSchema(None), [{"user_id": 1}])
    record = Record(context, "champion", None, rows.with_features(enriched), [], 0.0, 0.0)
    assert record.size > 1_000_000 > record._replace(rows=rows).size == 9_000


def test_another_worker_finds_a_request_before_its_file(tmp_path, monkeypatch):
    """Feedback need not wait for the file; a request whose file cannot be written is unknown again."""
    monkeypatch.setattr(prediction_log, "FILE_S", 600.0)
    ours, other = PredictionLog(tmp_path, Metrics()), PredictionLog(tmp_path, Metrics())
    schema = RequestSchema(None)
    served = SimpleNamespace(version=ModelVersion("m", 1, "", "r"), facts=ModelFacts(False))
    rows = Rows(schema, [{"x": 1}, {"x": 2}])
    ours.start()
    ours.add(Record(Context("id", 10, 0.0, caller="k"), "champion", served, rows, [1, 2], 0.1, time.time()))
    assert asyncio.run(other.requests.rows("id", "k", wait_s=60.0)) == 2
    assert asyncio.run(other.requests.rows("id", "another", wait_s=0.0)) is None
    assert not list(tmp_path.glob("*.parquet"))

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(prediction_log, "write_table", full)
    ours.stop()
    assert asyncio.run(other.requests.rows("id", "k")) is None
    other.stop()


def test_an_index_that_cannot_be_written_loses_no_rows(tmp_path, monkeypatch, caplog):
    """The rows are in a file, once, and do not count as dropped; the log says that their feedback will be refused."""
    monkeypatch.setattr(logging.getLogger("serving"), "propagate", True)
    metrics = Metrics()
    log = PredictionLog(tmp_path, metrics)

    def full(requests: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(log.requests, "write", full)
    log._new.append(("id", "caller", 1, 0.0))
    log._index()
    assert "feedback for 1 logged requests will not be taken: OSError: no space left" in caplog.text
    assert log.requests._pending == {} and "mlops_serving_dropped_total{" not in metrics.exposition().decode()
