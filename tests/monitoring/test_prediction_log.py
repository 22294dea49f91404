"""Reading the prediction log: real files of the service, files of an earlier release, and broken ones."""

import time
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from mlops_lib.errors import DataError
from mlops_lib.monitoring.prediction_log import COLUMNS, STAMP, PredictionLog
from serving.operations import prediction_log as written
from serving.operations.records import Feedback, write_table
from serving.operations.request_index import RequestIndex

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def outcomes(folder, at: datetime, *ids: str) -> None:
    """A file of feedback, as the service writes and names it."""
    file = folder / f"feedback-{at.strftime(STAMP)}-1-{ids[0]}.parquet"
    write_table(file, [Feedback(one, "", 0, 1, at.timestamp(), 9).as_row() for one in ids])


@pytest.fixture
def folder(tmp_path):
    """A log with two files of feedback, an hour apart, and one of predictions that an earlier release wrote."""
    outcomes(tmp_path, NOW, "a", "b")
    outcomes(tmp_path, NOW + timedelta(hours=1), "c")
    row = {"time": NOW, "request_id": "a", "role": "champion", "version": 1, "predictions": "[0.5]"}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / f"predictions-{NOW.strftime(STAMP)}-1-x.parquet")
    return tmp_path


def ids(tables) -> list[str]:
    return [one for table in tables for one in table["request_id"].to_pylist()]


def test_files_are_read_in_the_order_of_time(folder):
    """Oldest or newest first, all columns that are asked for, and only the rows that fit."""
    log = PredictionLog(folder)
    assert ids(log.read("feedback", ["request_id"])) == ["a", "b", "c"]
    assert ids(log.read("feedback", ["request_id"], newest_first=True)) == ["c", "a", "b"]
    assert ids(log.read("feedback", ["request_id"], pc.field("outcome") == "2")) == []
    for since, found in ((NOW, "abc"), (NOW + timedelta(seconds=1), "c"), (NOW + timedelta(hours=2), "")):
        assert ids(log.read("feedback", ["request_id"], since=since)) == list(found)
    local = (NOW + timedelta(seconds=1)).astimezone()
    assert ids(log.read("feedback", ["request_id"], since=local)) == ["c"], "any time zone"


def test_columns_that_older_files_lack_are_null(folder):
    """An upgrade of the service does not make its log unreadable."""
    (row,) = PredictionLog(folder).of_request("predictions", "a")
    assert list(row) == list(COLUMNS["predictions"])
    assert (row["version"], row["predictions"], row["error"], row["model_digest"]) == (1, "[0.5]", None, None)
    assert PredictionLog(folder).of_request("feedback", "nobody") == []


def test_a_request_is_found_at_the_time_that_the_index_has(folder):
    """Other files are not opened: one that cannot be read does not matter. Without the index, all are."""
    later = NOW + timedelta(days=1)
    row = {"time": later, "request_id": "x", "role": "champion", "version": 1, "predictions": "[0.5]"}
    pq.write_table(pa.Table.from_pylist([row]), folder / f"predictions-{later.strftime(STAMP)}-1-z.parquet")
    for at in (NOW - timedelta(days=1), NOW + timedelta(days=2)):
        (folder / f"predictions-{at.strftime(STAMP)}-1-broken.parquet").write_bytes(b"PAR1 cut off")
    index = RequestIndex(folder)
    index.write([("x", "", 1, later.timestamp())])
    index.close()
    assert [row["time"] for row in PredictionLog(folder).of_request("predictions", "x")] == [later]
    with pytest.raises(DataError, match="broken.*cannot be read"):
        PredictionLog(folder).of_request("predictions", "a")  # the index lacks it


def test_the_stamp_is_the_one_that_the_service_writes():
    assert STAMP == written.STAMP and written.FILE_S == 5  # errors name it
    assert time.strftime(STAMP, time.gmtime(0)) == "19700101T000000"


def test_a_file_that_cannot_be_read_is_named(folder):
    broken = folder / f"predictions-{NOW.strftime(STAMP)}-2-y.parquet"
    broken.write_bytes(b"PAR1 cut off")
    with pytest.raises(DataError, match=f"{broken}.*cannot be read"):
        list(PredictionLog(folder).read("predictions", ["request_id"]))


def test_a_folder_without_a_log_is_an_error(tmp_path):
    """The folder is made with the first file, which is some seconds later than the first answer."""
    with pytest.raises(
        DataError, match="none does not exist.*serving.prediction_log.* every 5 seconds.*wait"
    ):
        PredictionLog(tmp_path / "none")
    outcomes(tmp_path, NOW, "a")
    with pytest.raises(DataError, match=r"has no file predictions-\*.parquet"):
        PredictionLog(tmp_path)
