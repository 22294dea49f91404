"""The file of judged rows: what is read back is what was written."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.judged import JudgedRows
from mlops_lib.training import rows_file

ROWS = {
    "two classes": JudgedRows(
        "classification", ["a", "b"], ["k", "k"], np.array(["no", "예"], dtype=object), np.array([0.1, 1 / 3]),
        classes=["no", "예"], weights=np.array([1.0, 0.5]), slices={"sex": ["f", "missing"]},
    ),
    "many classes": JudgedRows(
        "classification", ["a"], ["a"], np.array([2]), np.array([[0.2, 0.3, 0.5]], dtype=np.float32), classes=[1, 2, 3]
    ),
    "booleans": JudgedRows(
        "classification", ["a"], ["a"], np.array([True]), np.array([0.5]), classes=[False, True], latency_s=[0.25, 0.5]
    ),
    "classes of NumPy": JudgedRows(
        "classification", ["a"], ["a"], np.array([1]), np.array([0.5]), classes=list(np.array([1, 2]))
    ),
    "regression": JudgedRows("regression", ["a", "a"], ["7", "7"], np.array([1, 2]), np.array([1.5, -2.0])),
    "text": JudgedRows(
        "text", ["a", "b"], ["a", "b"], ["yes", "no"], ["yes\n", None],
        values={"chrf": [12.5, None]}, errors=["", "TimeoutError: late"], latency_s=[0.5, 1.0], cost_usd=[0.001, 0.0],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_rows_are_read_back_exactly(name, tmp_path):
    """Values, their types and shapes, and fields that are no column."""
    wrote = ROWS[name]
    rows_file.write(wrote, tmp_path / "rows.parquet")
    found = rows_file.read(tmp_path / "rows.parquet")
    assert (found.task, found.slices, found.values) == (wrote.task, wrote.slices, wrote.values)
    for field in ("ids", "entities", "classes", "latency_s", "errors", "cost_usd"):
        assert list(getattr(found, field)) == list(getattr(wrote, field)), field
    for field in ("truth", "predicted", "weights"):
        expected, value = getattr(wrote, field), getattr(found, field)
        assert type(value) is type(expected), field
        np.testing.assert_array_equal(value, expected)
        assert getattr(value, "dtype", None) == getattr(expected, "dtype", None), field


def test_references_are_read_back(tmp_path):
    """Objects, lists and missing values; times; an array becomes a list, and a value without a form in JSON is an error."""
    rows = replace(
        ROWS["regression"],
        references=[{"tags": np.array([1, 2]), "세부": {"a": None}}, {"tags": [], "세부": 1.5}],
    )
    rows_file.write(rows, tmp_path / "rows.parquet")
    found = rows_file.read(tmp_path / "rows.parquet").references
    assert found == [{"tags": [1, 2], "세부": {"a": None}}, {"tags": [], "세부": 1.5}]
    times = [pd.Timestamp("2026-11-27 04:00:00.5"), pd.Timestamp("2026-11-27", tz="Asia/Seoul"), pd.NaT]
    rows_file.write(replace(rows, references=[{"at": times}, {"at": None}]), tmp_path / "rows.parquet")
    first, second = rows_file.read(tmp_path / "rows.parquet").references
    assert first["at"][:2] == times[:2] and first["at"][2] is pd.NaT and second == {"at": None}
    with pytest.raises(
        EvaluationError, match="The reference columns cannot be stored: .* is no value of JSON"
    ):
        rows_file.write(replace(rows, references=[{"at": object()}] * 2), tmp_path / "rows.parquet")


def test_a_secret_in_an_answer_or_error_is_masked(tmp_path, monkeypatch):
    """The file is stored where others read it."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-key-0123456789")
    said = "my key is sk-very-secret-key-0123456789"
    rows_file.write(
        JudgedRows("text", ["a"], ["a"], [said], [said], errors=[said]), tmp_path / "rows.parquet"
    )
    found = rows_file.read(tmp_path / "rows.parquet")
    assert not any("very-secret" in text for text in (found.truth[0], found.predicted[0], found.errors[0]))


def test_predictions_without_a_column_form_are_an_error(tmp_path):
    """A task of the user's own may predict anything."""
    with pytest.raises(EvaluationError, match="The predictions cannot be stored as a column"):
        rows_file.write(
            JudgedRows("own", ["a", "b"], ["a", "b"], [1, 2], [{1, 2}, 3]), tmp_path / "rows.parquet"
        )


def test_a_file_of_something_else_is_an_error(tmp_path):
    """Neither any Parquet file nor any bytes."""
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    with pytest.raises(EvaluationError, match="rows.parquet holds no rows of an evaluation"):
        rows_file.read(tmp_path / "rows.parquet")
