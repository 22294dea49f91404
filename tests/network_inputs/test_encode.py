"""The tensors of a network's inputs, from frames and from rows of JSON."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mlops_lib.columns.encode import BadValue
from mlops_lib.columns.fit import fit
from mlops_lib.columns.infer import Declared, infer
from mlops_lib.errors import InputError
from mlops_lib.network_inputs.encode import InputEncoder
from mlops_lib.network_inputs.resolve import plan
from mlops_lib.settings.model import InputSettings, ModelSettings
from mlops_lib.wrappers.inputs import prepared

TABLE = pa.table(
    {
        "user": ["a", "b", None],
        "pixels": [[[1.0, 2.0], [3.0, None]]] * 3,
        "clicks": pa.array([[1, 2, 3], [], None]),
        "points": [[[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]], []],
        "y": [0, 1, 0],
    }
)
SCHEMA = infer(TABLE, Declared("y", kinds={"clicks": "sequence", "points": "sequence", "user": "category"}))


def encoder_of(*names: str, **given: InputSettings) -> InputEncoder:
    """The encoder of a network that takes a dict of these columns."""
    network = type("Net", (), {"forward": lambda self, batch: 0})
    inputs = {**dict.fromkeys(names, InputSettings()), **given}
    made = plan(network, ModelSettings(inputs=inputs), SCHEMA)
    assert made
    return made.encoder(fit(made.encoded_schema, [TABLE.to_pandas()]), TABLE.to_pandas(), Path())


def test_frames_and_rows_give_the_same_tensors():
    """Codes, arrays and padded sequences with lengths and masks; a missing list and an empty one have no item."""
    encoder = encoder_of("user", "pixels", "clicks", "points")
    rows = TABLE.to_pylist()
    for given in (TABLE.to_pandas(), rows):
        found = encoder.padded(prepared(encoder, given))
        assert found["user"].tolist() == [2, 3, 0] and found["user"].dtype == np.int64
        np.testing.assert_array_equal(found["pixels"], [[[1, 2], [3, np.nan]]] * 3)
        assert found["clicks"].tolist() == [[1, 2, 3], [0, 0, 0], [0, 0, 0]]
        assert found["clicks_lengths"].tolist() == [3, 0, 0]
        assert found["clicks_mask"].sum(1).tolist() == [3, 0, 0] and found["clicks_mask"].dtype == bool
        assert found["points"].shape == (3, 2, 2) and found["points"][1].tolist() == [[3, 4], [5, 6]]
        assert found["pixels"].dtype == found["points"].dtype == np.float32
    alone = encoder.padded(prepared(encoder, rows[1:2]))
    assert alone["clicks"].shape == (1, 1) and alone["clicks_mask"].tolist() == [[False]]


def test_a_length_keeps_the_last_items():
    """Every batch is as long as config.yaml says."""
    encoder = encoder_of(clicks=InputSettings(length=2, dtype="int64"))
    found = encoder.padded(prepared(encoder, TABLE.to_pylist()))
    assert found["clicks"].tolist() == [[2, 3], [0, 0], [0, 0]] and found["clicks"].dtype == np.int64
    assert found["clicks_lengths"].tolist() == [2, 0, 0] and found["clicks_mask"].shape == (3, 2)


def test_rows_of_one_length_are_batched_together():
    """With ``by_length``, and a batch has at most so many rows; every row is in one batch."""
    encoder = encoder_of("clicks")
    rows = [{"clicks": [1.0] * length} for length in (2, 0, 3, 2, 1, 2)]
    ready = prepared(encoder, rows)
    assert [part.tolist() for part in encoder.parts(ready, 4)] == [[0, 1, 2, 3], [4, 5]]
    by_length = encoder.with_inputs(by_length=True)
    assert [part.tolist() for part in by_length.parts(ready, 2)] == [[1, 4], [0, 3], [5], [2]]


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("pixels", [[1, 2], [3]], r"Row 1: 'pixels' is \[\[1, 2\], \[3\]\], and must be lists of numbers of shape \[2, 2\]"),
        ("pixels", [1, 2, 3, 4], "must be lists of numbers of shape"),
        ("pixels", [[1, 2], [3, "4"]], "must be lists of numbers"),
        ("pixels", None, "no row of the dataset lacks one"),
        ("clicks", [1, "2"], "must be a list of numbers of any length or null"),
        ("clicks", [1, [2]], "must be a list of numbers of any length"),
        ("clicks", "1,2", "must be a list of numbers of any length"),
        ("clicks", [1e300], "must be a list of numbers of any length"),
        ("clicks", [1.5], "must be whole numbers, none of them missing"),
        ("points", [[1, 2], [3]], r"a list of lists of numbers of shape \[2\]"),
        ("points", [1, 2], r"a list of lists of numbers of shape \[2\]"),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_are_named(column, value, words):
    """Row, column and value, in the form that callers of a model and the service read."""
    encoder = encoder_of("pixels", "points", clicks=InputSettings(dtype="int64"))
    rows = TABLE.to_pylist()
    with pytest.raises(InputError, match=words) as caught:
        prepared(encoder, [rows[0], {**rows[1], column: value}])
    assert isinstance(caught.value, BadValue) and caught.value.row == 1
    with pytest.raises(InputError, match="Row 0 has no feature 'points'"):
        prepared(encoder, [{name: rows[0][name] for name in ("pixels", "clicks")}])


def test_the_column_that_is_not_whole_is_named():
    """Of several columns in one matrix of integers."""
    encoder = encoder_of(x=InputSettings(columns=["user", "pixels"], dtype="int64"))
    with pytest.raises(BadValue, match="Row 0: 'pixels' is .*whole numbers"):
        encoder.prepared_frame(TABLE.to_pandas())
