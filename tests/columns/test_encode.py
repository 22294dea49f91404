"""The encoder: what each value becomes, which values are refused, and that rows and columns give the same numbers."""

import datetime as dt
import json
import subprocess
import sys
import unicodedata
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlops_lib import columns
from mlops_lib.columns.encode import BadValue, Encoder, encode_frame, one_hot
from mlops_lib.columns.fit import fit
from mlops_lib.columns.infer import Declared, infer

UTC = dt.UTC


def encoder_of(values, kind="", **kinds):
    """The encoder of one feature `x`, fitted on its values, as a service loads it."""
    table = pa.table({"x": values, "y": ["a"] * len(values)})
    declared = Declared("y", features=("x",), kinds={"x": kind} if kind else kinds)
    fitted = fit(infer(table, declared), [table.to_pandas()])
    return Encoder.from_dict(json.loads(json.dumps(fitted.to_dict())))


def codes(encoder, *values):
    """The first output of each value."""
    return [float(encoder.encode([[value]])[0, 0]) for value in values]


GAP = [1.5, None]


@pytest.mark.parametrize(
    ("values", "given", "wanted"),
    [
        (GAP, [2, 2.5, Decimal("2.5"), np.float32(2.5), np.int8(2), -0.0], [2, 2.5, 2.5, 2.5, 2, 0]),
        (GAP, [None, float("nan"), pd.NA, pd.NaT, Decimal("nan"), np.float32("nan")], [np.nan] * 6),
        (
            [1, 2],
            [3, 3.0, Decimal(3), np.float64(3), 2**53 + 1, np.uint64(2**63)],
            [3, 3, 3, 3, 2.0**53, 2.0**63],
        ),
        ([True, False], [True, False, np.True_, 1, 0.0], [1, 0, 1, 1, 0]),
        (
            pa.array([90, None], pa.duration("s")),
            [dt.timedelta(minutes=2), np.timedelta64(3, "m"), 1.5],
            [120, 180, 1.5],
        ),
        (["a", "b", None], ["a", "b", "c", None, np.nan, "A", "a ", ""], [2, 3, 1, 0, 0, 1, 1, 0]),
        ([float("inf"), 5.0, 1.0], [float("inf"), -np.inf, 1e39, 7.0], [5, 1, 5, 7]),
    ],
    ids=["number", "missing number", "integer", "boolean", "duration", "category", "infinite in train"],
)
def test_a_value_has_one_number_in_every_type(values, given, wanted):
    """3.0 for an integer, Decimals, NumPy's scalars, pandas' NA; a missing and an unknown category differ."""
    np.testing.assert_array_equal(codes(encoder_of(values), *given), wanted)


@pytest.mark.parametrize(
    "values", [[3, 1, 2], [3.0, 1.0, 2.0], ["3", "1", "2"], [Decimal("3.0"), Decimal(1), Decimal(2)]]
)
def test_a_category_is_compared_by_its_text(values):
    """3, 3.0, "3" and Decimal("3.00") are one category, in whatever type the train split had it."""
    encoder = encoder_of(values, kind="category")
    assert codes(encoder, 3, 3.0, "3", Decimal("3.00"), np.int16(3), "03", True) == [4, 4, 4, 4, 4, 1, 1]


def test_categories_of_booleans_dates_and_structs():
    """Their text in JSON is theirs in the file."""
    assert codes(encoder_of([True, False], kind="category"), True, "false", 1) == [3, 2, 1]
    dates = encoder_of(pa.array([dt.datetime(2021, 1, 1), dt.datetime(2021, 1, 2)]), kind="category")
    assert codes(
        dates, "2021-01-02", "2021-01-02T00:00:00Z", dt.date(2021, 1, 1), np.datetime64("2021-01-05")
    ) == [3, 3, 2, 1]
    with pytest.raises(BadValue, match="must be a category"):
        codes(dates, "soon")
    times = encoder_of(pa.array([dt.time(8, 30), dt.time(9)]), kind="category")
    assert codes(times, "08:30", dt.time(9), "09:00:00", "10:00") == [2, 3, 3, 1]
    structs = encoder_of(pa.array([{"a": 1, "b": None}, {"a": 2, "b": "x"}]), kind="category")
    assert codes(structs, {"b": None, "a": 1}, {"a": 2, "b": "x"}, {"a": 3}) == [2, 3, 1]
    maps = encoder_of(pa.array([[("k", 1)], [("k", 2)]], pa.map_(pa.string(), pa.int64())), kind="category")
    assert codes(maps, {"k": 1}, [("k", 2)]) == [2, 3]


def test_text_of_a_category_stays_as_it_is():
    """Unicode forms and spaces tell categories apart; nothing is merged in silence."""
    nfc, nfd = (unicodedata.normalize(form, "서울") for form in ("NFC", "NFD"))
    encoder = encoder_of([nfc, nfd, f"{nfc} "])
    assert len(set(codes(encoder, nfc, nfd, f"{nfc} "))) == 3


@pytest.mark.parametrize(
    ("values", "value", "words"),
    [
        ([1.5, 2.5], None, r"Row 2: 'x' is None, and must be a number: no row of the dataset lacks one\."),
        ([1.5, 2.5], "3", r"'x' is '3', and must be a number\."),
        ([1.5, None], "many", r"'x' is 'many', and must be a number or null\."),
        ([1.5, 2.5], True, "'x' is True"),
        ([1.5, 2.5], float("inf"), "'x' is inf, and must be a number within the range of float32"),
        ([1.5, 2.5], -1e39, "within the range of float32"),
        ([1.5, 2.5], 10**400, "within the range of float32"),
        ([1.5, 2.5], [1], r"'x' is \[1\]"),
        ([1.5, 2.5], 1j, "'x' is 1j"),
        ([1, 2], 3.5, "must be a whole number"),
        ([True, False], 2, "must be true or false"),
        ([True, False], "true", "must be true or false"),
        (["a", "b"], None, "must be a category: no row of the dataset lacks one"),
        (["a", "b"], ["a"], r"is \['a'\]"),
        (["2021-01-01"], "2021-02-30", "must be a date or time, such as 2026-01-31"),
        (["2021-01-01"], 1_600_000_000, "must be a date"),
        (["2021-01-01"], "08:30", "must be a date"),
        (["2021-01-01"], np.datetime64("12021-01-01"), "must be a date"),
        (["2021-01-01"], "0001-01-01T00:00:00+09:00", "must be a date"),
        (["2021-01-01"], None, "no row of the dataset lacks one"),
        (["08:30"], "2021-01-01", "must be a time of day, such as 08:30"),
        (["08:30"], "25:00", "must be a time of day"),
        ([[1.0, 2.0]], [1.0], "must be a list of 2 numbers"),
        ([[1.0, 2.0]], [1.0, "2"], "must be a list of 2 numbers"),
        ([[1.0, 2.0]], "12", "must be a list of 2 numbers"),
        ([[1.0, 2.0]], [1.0, np.inf], "must be a list of 2 numbers"),
        (["this is a text of words"] * 2, {"a": 1}, "must be text"),
    ],
)
@pytest.mark.parametrize("rows", [3, 40])
def test_a_value_that_does_not_fit_is_named(values, value, words, rows):
    """Row, column, value and what was wanted: in few rows, in many, and in a column of its own."""
    kind = "text" if "of words" in str(values[0]) else ""
    encoder = encoder_of(values, kind)
    column = [values[0]] * rows
    column[2] = value
    with pytest.raises(BadValue, match=words) as error:
        encoder.encode([[one] for one in column])
    with pytest.raises(BadValue, match=words):
        encoder.encode_columns({"x": column}, rows)
    assert (error.value.row, error.value.column) == (2, "x")


def test_numbers_that_are_stored_as_text():
    """A column of text that config.yaml calls a number takes texts and numbers; other text is refused."""
    encoder = encoder_of(["1.5", "-2", "1e3"], kind="number")
    assert codes(encoder, "1.5", "-2", 1.5, ".5") == [1.5, -2, 1.5, 0.5] and not encoder.is_plain
    for bad in ("1,5", "nan", "inf", " 1", "0x1", "1_000"):
        with pytest.raises(BadValue):
            codes(encoder, bad)


DATES = ["2021-01-01T00:00:00", "2021-03-31T18:30:00"]
FORMS = [
    "2021-03-31", "2021-03-31T00:00:00Z", "2021-03-31T09:00:00+09:00", "2021-03-31 00:00:00.000000",
    dt.date(2021, 3, 31), dt.datetime(2021, 3, 31), dt.datetime(2021, 3, 31, 2, tzinfo=dt.timezone(dt.timedelta(hours=2))),
    pd.Timestamp("2021-03-31"), pd.Timestamp("2021-03-31T09:00", tz="Asia/Seoul"), np.datetime64("2021-03-31"),
    np.datetime64("2021-03-31", "h"), np.datetime64("2021-03-31", "ns"), np.datetime64("2021-03-31", "s"),
]  # fmt: skip


@pytest.mark.parametrize("value", FORMS, ids=repr)
def test_a_date_has_one_encoding_in_every_form(value):
    """Text with and without time and offset, Python's, NumPy's and pandas' values."""
    encoder = encoder_of(DATES)
    assert [output.name for output in encoder.outputs] == [
        f"x: {part}" for part in ("days", "year", "month", "day", "weekday", "hour")
    ]
    assert encoder.encode([[value]]).tolist() == [[89.0, 2021.0, 3.0, 31.0, 2.0, 0.0]]


def test_dates_of_every_year():
    """Before 1970, and the first and last that a calendar has; half hours; the parts that train does not have."""
    encoder = encoder_of(DATES)
    found = encoder.encode([["0001-01-01"], ["1969-12-31T23:30:00"], ["9999-12-31T12:00:00"], ["1900-02-28"]])
    assert found[:, 1:].tolist() == [
        [1, 1, 1, 0, 0], [1969, 12, 31, 2, 23.5], [9999, 12, 31, 4, 12], [1900, 2, 28, 2, 0],
    ]  # fmt: skip
    assert found[1, 0] == (dt.datetime(1969, 12, 31, 23, 30) - dt.datetime(2021, 1, 1)) / dt.timedelta(days=1)
    whole = encoder_of(["2021-01-01", "2021-01-02", None])
    assert len(whole.outputs) == 5 and np.isnan(whole.encode([[None]])).all()
    times = encoder_of(["08:30", "09:00:30"])
    assert codes(times, "12:45", dt.time(6, 15)) == [12.75, 6.25] and len(times.outputs) == 1


def test_text_is_hashed_words_and_letters():
    """The same in every process and Unicode form; case and form do not matter, words and letters do."""
    encoder = encoder_of(["안녕하세요 세계 반갑습니다 여러분", None], kind="text")
    nfc, nfd, other = encoder.encode(
        [["한글 TEXT"], [unicodedata.normalize("NFD", "한글 text")], ["글한 text"]]
    )
    width = (len(encoder.outputs) - 1) // 2
    assert nfc.tolist() == nfd.tolist() != other.tolist()
    assert np.linalg.norm(nfc[:width]) == pytest.approx(1) == np.linalg.norm(nfc[width:-1])
    missing, empty = encoder.encode([[None], [""]])  # the empty cell of a CSV file, in JSON
    assert np.isnan(missing[-1]) and np.isnan(empty[-1]) and not empty[:-1].any() and not missing[:-1].any()
    assert np.flatnonzero(encoder.encode([["platform"]])[0, :width]).tolist() == [11]  # crc32


def test_a_list_is_its_numbers():
    """Lists and arrays; a missing number is NaN, a missing list is NaN throughout."""
    encoder = encoder_of([[1.0, 2.0], None])
    given = [[[3, 4.5]], [np.array([3.0, 4.5])], [[None, True]], [None]]
    np.testing.assert_array_equal(encoder.encode(given), [[3, 4.5], [3, 4.5], [np.nan, 1], [np.nan, np.nan]])


def test_an_encoder_of_numbers_changes_nothing():
    """`is_plain` says so; a category, a text number or an infinity in train needs the encoder."""
    table = pa.table({"a": [1.5, None], "b": [True, False], "c": [3, 4], "y": ["p", "q"]})
    encoder = fit(infer(table, Declared("y")), [])
    assert encoder.is_plain and encoder.learned == {}
    np.testing.assert_array_equal(
        encoder.encode([[1.5, True, 3], [None, False, 4]]), [[1.5, 1, 3], [np.nan, 0, 4]]
    )
    assert encoder.encode([]).shape == (0, 3)
    with pytest.raises(ValueError, match="argument"):
        encoder.encode([[1.5, True]])


def test_one_hot_has_a_column_for_each_code():
    """Numbers stay, each category becomes a column of 0 and 1 for each of its codes."""
    table = pa.table({"n": [1.5, None], "c": ["a", None], "y": ["p", "q"]})
    encoder = fit(infer(table, Declared("y")), [table.to_pandas()])
    wide = one_hot(encoder.encode([[1.5, "a"], [None, None], [2.0, "z"]]), encoder.outputs)
    np.testing.assert_array_equal(wide, [[1.5, 0, 0, 1], [np.nan, 1, 0, 0], [2, 0, 1, 0]])


# --- Rows, columns, frames and Arrow give the same matrix

SOME_TEXT = st.text(max_size=12)
COLUMNS = {
    "number": st.one_of(
        st.none(),
        st.floats(width=32, allow_nan=False, allow_infinity=False),
        st.integers(-(2**62), 2**62).map(float),
    ),
    "integer": st.one_of(st.none(), st.integers(-(2**53), 2**53)),
    "boolean": st.one_of(st.none(), st.booleans()),
    "category": st.one_of(st.none(), SOME_TEXT),
    "datetime": st.one_of(st.none(), st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31))),
    "text": st.one_of(st.none(), SOME_TEXT),
}
ARROW = {
    "number": pa.float64(), "integer": pa.int64(), "boolean": pa.bool_(), "category": pa.string(),
    "datetime": pa.timestamp("us"), "text": pa.string(),
}  # fmt: skip
ROWS_OF = st.lists(st.tuples(*COLUMNS.values()), min_size=1, max_size=40)


def as_json(value):
    return value.isoformat() if isinstance(value, dt.datetime) else value


@pytest.mark.slow
@given(ROWS_OF, ROWS_OF)
@example([(1.5, 3, True, "a", dt.datetime(1969, 12, 31, 23, 59, 59, 999999), "b")], [(None,) * 6])
@settings(max_examples=60, deadline=None)
def test_rows_columns_frames_and_arrow_have_one_encoding(train, rows):
    """For every kind, to the last bit: single rows, many rows, lists, NumPy, pandas, Arrow, and JSON."""
    names = list(COLUMNS)

    def table_of(some):
        by_column = zip(names, zip(*some, strict=True), strict=True)
        return pa.table({name: pa.array(values, ARROW[name]) for name, values in by_column})

    gaps = [(None,) * len(names)]
    fitted_on = table_of(train + gaps).append_column("y", pa.array(["a"] * (len(train) + 1)))
    kinds = {name: name for name in names}
    encoder = fit(
        infer(fitted_on, Declared("y", features=tuple(names), kinds=kinds)), [fitted_on.to_pandas()]
    )
    wanted = np.vstack([encoder.encode([row]) for row in rows])
    table = table_of(rows)
    frame = table.to_pandas(integer_object_nulls=True)
    sent = json.loads(json.dumps([[as_json(value) for value in row] for row in rows]))
    found = {
        "all rows": encoder.encode(rows),
        "as columns": encoder.encode_columns(dict(zip(names, zip(*rows, strict=True), strict=True)), len(rows)),
        "JSON": encoder.encode(sent),
        "JSON, many": encoder.encode(sent * 16)[: len(rows)],
        "frame": encode_frame(encoder, frame),
        "nullable frame": encode_frame(encoder, table.to_pandas(types_mapper=pd.ArrowDtype)),
        "Arrow": encode_frame(encoder, table.to_pandas()),
        "NumPy values": encoder.encode([[np.datetime64(v, "us") if isinstance(v, dt.datetime) else v for v in row] for row in rows]),
    }  # fmt: skip
    for way, matrix in found.items():
        np.testing.assert_array_equal(matrix, wanted, err_msg=way)


@pytest.mark.slow
@given(
    st.lists(st.integers(-(2**63) + 1, 2**63 - 1), min_size=1, max_size=20),
    st.sampled_from(["D", "h", "s", "ms", "us", "ns"]),
)
@settings(max_examples=60, deadline=None)
def test_datetimes_of_every_unit_are_encoded_alike_or_refused_alike(numbers, unit):
    """An array of NumPy and its single values: same numbers, or the same refused row."""
    values = np.array(numbers, dtype=f"datetime64[{unit}]")
    encoder = encoder_of(DATES)
    try:
        wanted = np.vstack([encoder.encode([[value]]) for value in values])
    except BadValue:
        with pytest.raises(BadValue):
            encoder.encode_columns({"x": values}, len(values))
        return
    np.testing.assert_array_equal(encoder.encode_columns({"x": values}, len(values)), wanted)


def test_the_portable_modules_need_numpy_alone(tmp_path):
    """Copied under another name, they encode where neither this library nor pandas is imported."""
    source = Path(columns.__file__).parent
    target = tmp_path / "carried"
    target.mkdir()
    for name in columns.PORTABLE:
        (target / f"{name}.py").write_text((source / f"{name}.py").read_text())
    encoder = encoder_of(["a", "b", None])
    (tmp_path / "encoder.json").write_text(json.dumps(encoder.to_dict()))
    code = (
        "import json, sys; sys.path.insert(0, '.')\n"
        "from carried.encode import Encoder\n"
        "print(Encoder.from_dict(json.load(open('encoder.json'))).encode([['b'], [None]]).tolist())\n"
        "print(sorted({'pandas', 'pyarrow', 'mlops_lib', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[[3.0], [0.0]]", "[]"]


@pytest.mark.parametrize("kind", ["number", "integer"])
@pytest.mark.parametrize("values", [[True, False] * 20, [True, None] * 20])
def test_booleans_can_be_declared_numbers(kind, values):
    """A stored boolean whose kind is number is 0 or 1, one row or many."""
    encoder = encoder_of(values, kind)
    assert codes(encoder, True, False, 1, 0.0) == [1.0, 0.0, 1.0, 0.0]
    assert encoder.encode([[True], [False]] * 10).ravel().tolist() == [1.0, 0.0] * 10
    with pytest.raises(BadValue, match="number"):
        encoder_of([0.5, 1.5] * 20, "number").encode([[True]])


@pytest.mark.parametrize(
    ("values", "served"),
    [
        ([dt.timedelta(seconds=1), dt.timedelta(milliseconds=2500)], [1, 2.5]),
        ([[1, None], [2, 3]], [[1, None], [2, 3]]),
        ([{"a": 1, "b": None}, {"a": 2, "b": 5}], [{"a": 1, "b": None}, {"b": 5, "a": 2.0}]),
    ],
)
def test_categories_of_values_that_pandas_changes(values, served):
    """A duration is its seconds in JSON, and a gap in a list of NumPy is NaN: the same codes as in training."""
    encoder = encoder_of(values * 20, "category")
    assert codes(encoder, *served) == codes(encoder, *values) and set(codes(encoder, *served)) == {2.0, 3.0}
