"""A request may have the texts and numbers that data.missing_values lists: the model sees what training saw, a gap."""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mlops_lib.columns.encode import BadValue, Encoder, encode_frame
from mlops_lib.columns.fit import fit
from mlops_lib.columns.infer import Declared, infer
from mlops_lib.columns.schema import Schema
from mlops_lib.columns.source_rows import typed
from mlops_lib.network_inputs.collate import Collated
from mlops_lib.network_inputs.spec import Inputs, InputSpec
from mlops_lib.network_inputs.tokens import Tokens
from mlops_lib.wrappers.inputs import to_frame

#: As the loader reads them: null where the source has 없음 or -999.
ROWS = pd.DataFrame(
    {
        "job": ["학생", "자영업", None, "학생"] * 10,
        "note": [f"a note of the row {i}" for i in range(39)] + [None],
        "code": pd.array([1, 2, None, 1] * 10, dtype="Int64"),
        "amount": [1.5, np.nan, 2.5, 3.5] * 10,
        "count": pd.array([1, None, 3, 4] * 10, dtype="Int64"),
        "day": ["2026-01-31", None, "2026-02-28", "2026-03-31"] * 10,
        "seen": pd.to_datetime(["2026-01-31", None, "2026-02-28", "2026-03-31"] * 10),
        "flag": [True, None, False, True] * 10,
        "full": [1.0, 2.0, 3.0, 4.0] * 10,
        "y": [0, 1] * 20,
    }
)
FEATURES = list(ROWS)[:-1]
GOOD = {
    "job": "학생", "note": "a note", "code": 1, "amount": 1.5, "count": 1, "day": "2026-01-31", "seen": "2026-01-31",
    "flag": True, "full": -999.0,
}  # fmt: skip
GAPS = dict.fromkeys(FEATURES) | {"full": -999.0}
#: A mark of each column that has gaps.
MARKED = dict.fromkeys(FEATURES, "-") | {"job": "없음", "amount": -999.0, "full": -999.0}


@pytest.fixture(scope="module")
def schema():
    """The schema of the rows, as it is read from its file."""
    kinds = {"code": "category", "note": "text"}
    declared = Declared("y", kinds=kinds, missing=("없음", "-999", "-"))
    return Schema.from_json(infer(pa.Table.from_pandas(ROWS), declared).to_json())


@pytest.mark.parametrize("rows", [1, 40], ids=["a row", "many rows"])
@pytest.mark.parametrize(
    ("column", "mark"), [("job", "없음"), ("job", "-"), ("note", "없음"), ("code", -999), ("code", "-"), ("amount", -999),
     ("amount", -999.0), ("amount", "-"), ("count", "없음"), ("day", "-"), ("seen", "-"), ("flag", "-")],
)  # fmt: skip
def test_the_encoder_reads_them_as_missing(schema, column, mark, rows):
    """By value and by column, also from its file; in a column without gaps -999 is a number."""
    encoder = Encoder.from_dict(fit(schema, [ROWS]).to_dict())

    def encoded(row):
        return encoder.encode([[row[name] for name in FEATURES]] * rows)

    found, wanted = encoded({**GOOD, column: mark}), encoded({**GOOD, column: None})
    assert np.array_equal(found, wanted, equal_nan=True)
    assert not np.array_equal(found, encoded(GOOD), equal_nan=True)
    assert found[0, -1] == -999


def test_numbers_with_such_gaps_are_encoded():
    """A model that takes numbers as they are would take -999 for one."""
    rows = pa.table({"amount": [1.5, None, 2.5], "y": [0, 1, 0]})
    assert infer(rows, Declared("y")).is_plain
    assert not infer(rows, Declared("y", missing=("-999",))).is_plain
    assert not infer(rows, Declared("y", missing=("-",))).is_plain


@pytest.mark.parametrize("kind", ["category", "text"])
def test_no_time_is_not_the_0_that_means_a_gap(kind):
    """The loader keeps it in a column of durations, whatever its kind; the text of the gap is one in a request."""
    rows = pa.table({"wait": pa.array([0, 1, None, 3] * 10, pa.duration("s")), "y": [0, 1] * 20})
    encoder = fit(infer(rows, Declared("y", kinds={"wait": kind}, missing=("0",))), [rows.to_pandas()])
    none, zero, text = encoder.encode([[None], [0.0], ["0"]])
    assert not np.array_equal(none, zero, equal_nan=True) and np.array_equal(none, text, equal_nan=True)


def test_a_text_that_is_not_listed_is_refused(schema):
    """As before, in columns of numbers and of dates."""
    encoder = fit(schema, [ROWS])
    for column in ("amount", "count", "day", "seen", "flag"):
        with pytest.raises(BadValue, match=rf"'{column}' is 'n/a'"):
            encoder.encode([list({**GOOD, column: "n/a"}.values())])


@pytest.mark.parametrize("as_list", [True, False], ids=["rows", "frame"])
def test_an_estimator_of_the_users_own_gets_gaps(schema, as_list):
    """As rows of a request, and as a DataFrame."""
    rows = [GOOD, MARKED]
    frame = to_frame(rows if as_list else pd.DataFrame(rows), FEATURES, schema)
    assert frame.iloc[1, :-1].isna().all() and frame.iloc[0].notna().all() and frame["full"][1] == -999


def test_prepare_gets_gaps(schema):
    """Rows of the source on their way through data.prepare have the values of the training."""
    columns = list(schema.features.values())
    frame = typed(pd.DataFrame([MARKED, GOOD]), columns, "the rows")
    assert frame.iloc[0, :-1].isna().all() and frame.iloc[1].notna().all()
    assert frame["amount"].dtype == "float64"


def test_false_and_no_time_are_no_number_that_means_a_gap():
    """Where 0 means a missing value, the loader keeps them, and so do the encoder and a DataFrame."""
    flags, times = [True, False, None, False], pa.array([0, 1, None, 3], pa.duration("us"))
    rows = pa.table({"flag": flags, "wait": times, "y": [0, 1, 0, 1]})
    schema, frame = infer(rows, Declared("y", missing=("0",))), rows.to_pandas()
    matrix = encode_frame(fit(schema, [frame]), frame)
    assert np.isnan(matrix).sum(axis=0).tolist() == [1, 1]
    assert to_frame(frame, ["flag", "wait"], schema).isna().sum().tolist() == [1, 1]


def test_a_network_reads_them_as_missing(schema, monkeypatch):
    """A tokenizer and a collate function do not see them."""
    seen, own = [], ModuleType("own_network")
    own.tokens = lambda text: [len(text)]
    own.collate = lambda rows: seen.extend(rows) or np.zeros((len(rows), 1))
    monkeypatch.setitem(sys.modules, "own_network", own)
    tokens = Tokens(schema.features["note"], "own_network:tokens", 0, Path())
    assert [tokens.items(0, text).tolist() for text in ("-", "없음", "a note")] == [[], [], [6]]
    collated = Collated("own_network:collate", schema)
    rows = collated.rows({name: [value] for name, value in MARKED.items()}, 1)
    collated.tensors(rows, Inputs((InputSpec("x", tuple(FEATURES), "collated", "float64", (1,)),)))
    assert seen == [GAPS]
