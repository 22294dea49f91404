"""Kinds and roles: what is inferred, why, and which declarations are refused."""

import datetime as dt
import decimal
import uuid

import hypothesis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_lib.columns import kinds
from mlops_lib.columns.encode import encode_frame
from mlops_lib.columns.fit import fit
from mlops_lib.columns.infer import Declared, complete, infer
from mlops_lib.columns.schema import Schema
from mlops_lib.errors import DataError

ROWS = 100
LABEL = pa.array(["Yes", "No"] * 50)


def column(values, name="x", **declared):
    """The inferred column `x` beside a label."""
    schema = infer(pa.table({name: values, "y": LABEL[: len(values)]}), Declared("y", **declared))
    return schema.columns[0]


KEPT = {
    "text categories": (pa.array(["a", "b"] * 50), "category", "2 distinct texts in 100 rows: category"),
    "one text": (pa.array(["a"] * ROWS), "category", "only 'a' in 100 rows: category"),
    "empty texts": (pa.array([""] * ROWS), "category", "only '' in 100 rows: category"),
    "dictionary": (pa.array(["a", "b"] * 50).dictionary_encode(), "category", "2 distinct texts"),
    "text view": (pa.array(["a", "b"] * 50, pa.string_view()), "category", "2 distinct texts"),
    "Korean": (pa.array(["서울", "부산"] * 50), "category", "2 distinct texts"),
    "emoji": (pa.array(["😀", "🎉"] * 50), "category", "2 distinct texts"),
    "yes and no": (pa.array(["yes", "no"] * 50), "category", "2 distinct texts"),
    "zip codes": (pa.array(["00501", "10001"] * 50), "category", "2 distinct texts"),
    "0 and 1": (pa.array([0, 1] * 50), "integer", "whole numbers from 0 to 1"),
    "few integers": (pa.array([1, 2, 3, 4] * 25), "integer", "whole numbers from 1 to 4"),
    "one integer": (pa.array([3] * ROWS), "integer", "whole numbers, all 3"),
    "unsigned": (
        pa.array([2**63 + i * 10**9 for i in range(ROWS)], pa.uint64()),
        "integer",
        "9223372036854775808",
    ),
    "epoch seconds": (
        pa.array([1_600_000_000 + 86_413 * i for i in range(ROWS)]),
        "integer",
        "whole numbers",
    ),
    "floats": (pa.array(np.arange(ROWS) / 3), "number", "numbers from 0 to 33"),
    "half floats": (pa.array(np.arange(ROWS, dtype=np.float16)), "number", "numbers from 0 to 99"),
    "decimals": (
        pa.array([decimal.Decimal("1.50") * i for i in range(ROWS)]),
        "number",
        "from 0.00 to 148.50",
    ),
    "durations": (
        pa.array([dt.timedelta(minutes=i) for i in range(ROWS)]),
        "number",
        "as seconds from 0 to 5940",
    ),
    "infinite": (
        pa.array([np.inf, 1.0, 2.0, 1e300] * 25),
        "number",
        "from 1 to 2, some infinite or beyond float32",
    ),
    "all infinite": (pa.array([np.inf, 1e300] * 50), "number", "numbers, all infinite or beyond float32"),
    "infinite but one": (
        pa.array([np.inf, 1.0] * 50),
        "number",
        "from 1 to 1, some infinite or beyond float32",
    ),
    "booleans": (pa.array([True, False] * 50), "boolean", "true or false"),
    "dates": (
        pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31)] * 50),
        "datetime",
        "from 0001-01-01 to 9999-12-31",
    ),
    "nanoseconds": (
        pa.array([10**15 * i + 1 for i in range(ROWS)], pa.timestamp("ns", "UTC")),
        "datetime",
        "1970",
    ),
    "ISO dates": (
        pa.array([f"2021-01-{1 + i % 28:02d}" for i in range(ROWS)]),
        "datetime",
        "is a date, such as '2021",
    ),
    "ISO times": (
        pa.array([f"2021-01-01T{i % 24:02d}:00:00+09:00" for i in range(ROWS)]),
        "datetime",
        "is a date",
    ),
    "times of day": (
        pa.array([f"{i % 24:02d}:30" for i in range(ROWS)]),
        "datetime",
        "a time of day, such as '00:30'",
    ),
    "Arrow times": (pa.array([i + 1 for i in range(ROWS)], pa.time64("ns")), "datetime", "times of day"),
    "dates that do not exist": (
        pa.array([f"2021-02-{1 + i % 30:02d}" for i in range(ROWS)]),
        "category",
        "dates but for '2021-02-29', '2021-02-30'",
    ),
    "American dates": (
        pa.array([f"{1 + i % 12:02d}/15/2020" for i in range(ROWS)]),
        "datetime",
        "such as '01/15/2020', month first",
    ),
    "sentences": (
        pa.array([f"the parcel number {i} came late" for i in range(ROWS)]),
        "text",
        "6 words on average",
    ),
    "Japanese": (
        pa.array(["とても長い日本語の文章です。" * 6 + str(i) for i in range(ROWS)]),
        "text",
        "letters on average",
    ),
    "long": (pa.array(["lorem ipsum " * 5_000 + str(i) for i in range(ROWS)]), "text", "10001 words"),
    "JSON": (
        pa.array([f'{{"a": {i}, "b": [1, "x"], "c": "y"}}' for i in range(ROWS)]),
        "text",
        "words on average",
    ),
    "embedding": (pa.array([[1.0, 2.0, 3.0]] * ROWS), "array", "lists of 3 numbers"),
    "fixed lists": (pa.array([[1, 2]] * ROWS, pa.list_(pa.int32(), 2)), "array", "lists of 2 numbers"),
}


@pytest.mark.parametrize(("values", "kind", "words"), KEPT.values(), ids=KEPT.keys())
def test_a_column_has_a_kind_with_a_reason(values, kind, words):
    """Kind, role and the reason that people read, for every type that a file can have."""
    found = column(values)
    assert (found.kind, found.role) == (kind, "feature") and words in found.reason


LEFT_OUT = {
    "nothing": (pa.nulls(ROWS), "no value in any row: left out"),
    "no text": (pa.array([None] * ROWS, pa.string()), "no value in any row: left out"),
    "numbers of the rows": (pa.array(range(1_000, 1_000 + ROWS)), "distinct in every row: left out, name it"),
    "ids": (pa.array([f"C{i}" for i in range(ROWS)]), "distinct in every row: left out, name it"),
    "UUIDs": (pa.array([str(uuid.UUID(int=i)) for i in range(ROWS)]), "distinct in every row"),
    "hashes": (pa.array([f"ab{i:062x}" for i in range(ROWS)]), "distinct in every row"),
    "prices": (
        pa.array([f"${i},000.50" for i in range(ROWS)]),
        "they look like numbers, such as '$0,000.50'",
    ),
    "numbers as text": (pa.array([f"{i}.50" for i in range(ROWS)]), "set its kind to number in data.columns"),
    "lists of any length": (
        pa.array([[1.0] * (1 + i % 3) for i in range(ROWS)]),
        "lists of 1 to 3 numbers: left out",
    ),
    "infinite lists": (
        pa.array([[1.0, np.inf, np.nan]] * ROWS),
        "lists of 3 numbers, some infinite or beyond float32: left",
    ),
    "zip codes, each once": (
        pa.array([f"{i:05d}" for i in range(ROWS)]),
        "name it in data.columns to keep it",
    ),
    "lists of texts": (
        pa.array([["a"]] * ROWS),
        "list<item: string>: left out, name its kind in data.columns to keep it, such as text",
    ),
    "structs": (
        pa.array([{"a": 1}] * ROWS),
        "struct<a: int64>: left out, since a field is no column; make columns",
    ),
    "maps": (pa.array([[("a", 1)]] * ROWS, pa.map_(pa.string(), pa.int64())), "map<string, int64>: left out"),
    "bytes": (pa.array([b"ab"] * ROWS), "binary: left out"),
    "UUID type": (
        pa.array([uuid.UUID(int=i).bytes for i in range(ROWS)], pa.uuid()),
        "fixed_size_binary[16]: left",
    ),
    "intervals": (pa.array([pa.MonthDayNano([1, 2, 3])] * ROWS), "month_day_nano_interval: left out"),
    "years without calendar": (pa.array([10**14 + i for i in range(ROWS)], pa.timestamp("s")), "beyond 9999"),
}


@pytest.mark.parametrize(
    ("form", "is_number"),
    [
        ("10.0.{}.1", False), ("192.168.100.{}", False), ("1.{}.2", False), ("010 1234 {}", False),
        ("1.234.5{}", True), ("1 234 5{}", True), ("12 345.{}", True), ("1.234,{}", True),
    ],
)  # fmt: skip
def test_addresses_versions_and_phone_numbers_are_no_numbers(form, is_number):
    """Their groups are not of three digits, as those of thousands are."""
    found = column([form.format(f"{n:02d}") for n in range(100)])
    assert (kinds.SIZES[0] in found.reason) is is_number and kinds.SIZES[1] not in found.reason


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["7", "007", "b"], "they hold '7' and '007', which are one number"),
        (["1", "1.0", "2"], "they hold '1' and '1.0', which are one number"),
        (["1,5", "1.5", "x"], "they hold '1,5' and '1.5', which are one number"),
        (["b", "NA", None], "they hold 'NA' beside missing values: list it in data.missing_values"),
        (["1,500", "1.500", "NA"], "3 distinct texts in 99 rows: category"),
    ],
)
def test_values_that_are_probably_one_are_named(texts, words):
    """As in files of different programs: one cut the zeros, or wrote a gap as text."""
    reason = column(pa.array(texts * 33)).reason
    assert words in reason and (";" in reason) == ("they hold" in words)


@pytest.mark.parametrize(
    ("texts", "total"),
    [
        (["서울", "부산", "대구", " 합계"], "' 합계'"),
        (["a", "b", "c", "Grand Total:"], "'Grand Total:'"),
        (["a", "b", "c", "totally"], ""),
        (["total", "partial", "none", "none"], ""),
    ],
)
def test_a_row_of_sums_is_named(texts, total):
    """A sheet ends with it, and a model would learn from it as from the others."""
    reason = column(pa.array(texts * 25)).reason
    assert ("which often marks a row of sums" in reason) == bool(total) and total in reason


@pytest.mark.parametrize(("values", "words"), LEFT_OUT.values(), ids=LEFT_OUT.keys())
def test_a_column_without_use_is_left_out_with_a_reason(values, words):
    """It stays in the dataset, and the reason says how to keep it."""
    found = column(values)
    assert found.role == "ignored" and words in found.reason


ANY_TYPE = st.sampled_from(
    [
        pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.bool_(), pa.string(), pa.large_string(),
        pa.binary(), pa.date32(), pa.date64(), pa.timestamp("s"), pa.timestamp("ns"), pa.timestamp("us", "Asia/Seoul"),
        pa.time32("ms"), pa.time64("us"), pa.duration("ns"), pa.decimal128(20, 3), pa.null(), pa.list_(pa.int16()),
        pa.list_(pa.string()), pa.struct([("a", pa.int8())]), pa.map_(pa.string(), pa.int8()),
        pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.int8(), pa.int64()),
    ]
)  # fmt: skip


@pytest.mark.slow
@given(st.data())
@hypothesis.settings(max_examples=150, deadline=None)
def test_any_column_has_a_kind_and_every_feature_is_encoded(data):
    """Random bits of every Arrow type: no traceback, a reason, and an encoder that takes its own rows."""
    kind, seed = data.draw(ANY_TYPE), data.draw(st.integers(0, 2**32 - 1))
    rows = data.draw(st.integers(0, 60))
    values = random_array(kind, rows, np.random.default_rng(seed))
    table = pa.table({"x": values, "y": ["a"] * rows})
    schema = infer(table, Declared("y"))
    assert schema.columns[0].reason and Schema.from_json(schema.to_json()) == schema
    frame = table.to_pandas(date_as_object=True)
    encoder = fit(schema, [frame])
    matrix = encode_frame(encoder, frame)
    assert matrix.shape == (rows, len(encoder.outputs))
    if "x" in schema.features:
        np.testing.assert_array_equal(encoder.encode([[value] for value in frame["x"].tolist()]), matrix)


def random_array(kind, rows, chance):
    """Random values of a type, a quarter of them missing."""
    if pa.types.is_null(kind):
        return pa.nulls(rows)
    if pa.types.is_dictionary(kind):
        return random_array(kind.value_type, rows, chance).dictionary_encode()
    if pa.types.is_boolean(kind) or pa.types.is_list(kind) or pa.types.is_nested(kind):
        samples = {
            pa.bool_(): [True, False, None],
            pa.list_(pa.int16()): [[1, None], [2, 3], None, []],
            pa.list_(pa.string()): [["a"], [None], None],
            pa.struct([("a", pa.int8())]): [{"a": 1}, {"a": None}, None],
            pa.map_(pa.string(), pa.int8()): [[("k", 1)], [], None],
        }[kind]
        return pa.array([samples[chance.integers(len(samples))] for _ in range(rows)], kind)
    gaps = chance.random(rows) < 0.25
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
        texts = [
            "",
            "7",
            "007",
            "2021-01-01",
            "2021-02-30",
            "08:30",
            "\ud55c\uae00",
            "a b c d e",
            "x" * 50,
            "\x00",
            "NaN",
        ]
        chosen = [texts[chance.integers(len(texts))] for _ in range(rows)]
        return pa.array(
            [None if gap else text for gap, text in zip(gaps, chosen, strict=True)], pa.string()
        ).cast(kind)
    if pa.types.is_decimal(kind):
        numbers = [decimal.Decimal(int(n)) / 1000 for n in chance.integers(-(10**9), 10**9, rows)]
        return pa.array([None if gap else n for gap, n in zip(gaps, numbers, strict=True)], kind)
    if pa.types.is_floating(kind):
        floats = chance.choice([0.0, -1.5, 3.0, np.nan, np.inf, -np.inf, 6e4], rows)
        return pa.array(floats.astype(kind.to_pandas_dtype()), kind, mask=gaps, from_pandas=False)
    most = {"time32[ms]": 86_400_000, "time64[us]": 86_400 * 10**6, "date32[day]": 2_900_000, "int8": 127}
    limit = most.get(str(kind), 2**31)
    whole = chance.integers(
        0 if "time" in str(kind) or "uint" in str(kind) else -min(limit, 700_000), limit, rows
    )
    if kind == pa.date64():
        whole = whole // 86_400_000 * 86_400_000
    return (
        pa.array(whole, pa.int64(), mask=gaps)
        .cast(pa.int32() if kind.bit_width == 32 else pa.int64())
        .cast(kind, safe=False)
    )


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_a_table_of_few_rows_has_kinds(rows):
    """One row is no traceback, and nothing in it counts as distinct in every row."""
    table = pa.table({str(i): values for i, (values, *_) in enumerate(KEPT.values())} | {"y": LABEL})
    schema = infer(table.slice(0, rows), Declared("y"))
    assert rows == 0 or all(one.role != "ignored" for one in schema.columns)


def test_a_column_that_config_names_is_kept():
    """By data.features, or by data.columns with its kind."""
    ids = pa.array([f"C{i}" for i in range(ROWS)])
    assert column(ids, features=("x",)).role == column(ids, kinds={"x": "category"}).role == "feature"
    assert column(ids, kinds={"x": "drop"}).role == "unused"
    assert column(pa.array([{"a": 1}] * ROWS), kinds={"x": "text"}).reason == "set in data.columns"
    assert column(pa.array(["1.5", "2"] * 50), kinds={"x": "number"}).kind == "number"


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        (["a", "b"] * 50, "number", "'x' is a number, and it holds 2 distinct texts.*such as 'a', 'b'"),
        ([1.5, 2.0] * 50, "integer", "'x' is an integer, and it holds numbers from 1.5 to 2"),
        ([1, 2] * 50, "boolean", "'x' is a boolean"),
        ([1_600_000_000] * ROWS, "datetime", "'x' is a datetime, and it holds whole numbers"),
        ([[1.0], [1.0, 2.0]] * 50, "array", "lists of 1 to 2 numbers"),
        ([1] * ROWS, "image", "'x' is an image"),
    ],
)
def test_a_kind_that_the_values_cannot_have_is_refused(values, kind, words):
    """The error has the column, what it holds, and examples."""
    with pytest.raises(DataError, match=words):
        column(pa.array(values), kinds={"x": kind})


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"features": ("x", "z")}, "names the columns 'z' in section data.*Columns it has: x, k, y"),
        ({"kinds": {"z": "text"}}, "names the columns 'z'"),
        ({"features": ("x", "x")}, "data.features lists 'x' twice"),
        ({"features": ("k",), "key": "k"}, "data.features names 'k', the key of the data"),
        ({"features": ("y",)}, "data.features names 'y', the label"),
        ({"kinds": {"y": "category"}}, "data.columns names 'y', the label"),
        ({"key": "y"}, "names 'y' as two of data.label, data.key"),
        ({"features": ("x",), "kinds": {"x": "drop"}}, "data.features lists 'x', and data.columns drops it"),
    ],
)
def test_declarations_that_do_not_fit_are_refused(declared, words):
    """A column that is not there, is named twice, or has two roles."""
    table = pa.table({"x": [1, 2], "k": [1, 2], "y": ["a", "b"]})
    with pytest.raises(DataError, match=words):
        infer(table, Declared("y", **declared))


def test_two_columns_of_one_name_are_refused():
    """Neither is taken in silence."""
    with pytest.raises(DataError, match="several columns named 'x'"):
        infer(pa.table([pa.array([1]), pa.array([2]), pa.array(["a"])], names=["x", "x", "y"]), Declared("y"))


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["Severe", "None", "Mild"], ("Mild", "None", "Severe")),
        ([True, False, True], (False, True)),
        ([3, 1, 2], (1, 2, 3)),
        ([2.0, 1.0, 2.0], (1, 2)),
        ([decimal.Decimal("2.0"), decimal.Decimal("1.0"), None], (1, 2)),
        (["7", "007", "1E2"], ("007", "1E2", "7")),
        (["é", "e\u0301", "é "], ("e\u0301", "é", "é ")),
        ([0.5, 1.0, 2.0], ()),
    ],
)
def test_classes_are_the_sorted_values_of_the_label(labels, classes):
    """Text, booleans or whole numbers; text that looks like a number stays text; a fraction is no class."""
    found = infer(pa.table({"x": [1, 2, 3], "y": labels}), Declared("y"))
    assert found.classes == classes and list(map(type, found.classes)) == list(map(type, classes))


def test_a_regression_has_no_classes():
    """Whole numbers of a regression are amounts."""
    assert infer(pa.table({"x": [1, 2], "y": [3, 4]}), Declared("y", task="regression")).classes == ()


def files(tmp_path, **splits):
    """A Parquet file for each split, of several row groups."""
    for name, table in splits.items():
        pq.write_table(table, tmp_path / f"{name}.parquet", row_group_size=64)
    return {name: tmp_path / f"{name}.parquet" for name in splits}


def test_a_schema_of_a_sample_is_completed_from_the_whole_train_split(tmp_path):
    """Kind, role, range, distinct values and classes that the first rows did not show."""
    values = {
        "when": ["2021-01-01"] * 100 + ["unknown"],
        "id": [f"C{i}" for i in range(100)] + ["C0"],
        "late": [None] * 100 + [7],
        "n": [*range(0, 1_000_000, 10_000), 7_000_000],
        "y": ["a", "b"] * 50 + ["c"],
    }
    whole = pa.table(values)
    declared = Declared("y")
    sample = infer(whole.slice(0, 100), declared)
    assert sample.kinds == {"when": "datetime", "n": "integer"}
    done = complete(sample, files(tmp_path, train=whole, validation=whole, test=whole), declared)
    assert done.kinds == {"when": "category", "id": "category", "late": "integer", "n": "integer"}
    assert done == infer(whole, declared) and done.classes == ("a", "b", "c")
    assert (done.features["n"].most, done.features["id"].distinct) == (7_000_000, 100)


def test_a_gap_in_any_split_makes_a_column_nullable(tmp_path):
    """NaN is a gap too. Kinds and classes are those of train alone."""
    train = pa.table({"a": [1.0, 2.0], "b": [1.0, 2.0], "c": ["u", "v"], "y": ["p", "q"]})
    test = pa.table({"a": [1.0, np.nan], "b": [1.0, 2.0], "c": [None, "w"], "y": ["p", "r"]})
    done = complete(infer(train, Declared("y")), files(tmp_path, train=train, test=test), Declared("y"))
    assert [one.nullable for one in done.columns] == [True, False, True, False]
    assert done.classes == ("p", "q") and done.features["c"].distinct == 2


@pytest.mark.parametrize(
    ("train", "test", "kind", "words"),
    [
        (
            [1.0, 2.0, 3.0],
            [1.0, np.inf, 1e39],
            "",
            "a number within the range of float32.*2 rows.*rows 1, 2,.*such as inf",
        ),
        (
            ["2021-01-01"] * 3,
            ["2021-01-02", "soon", "2021-02-30"],
            "",
            "a date or time.*rows 1, 2,.*such as 'soon'",
        ),
        (["08:30"] * 3, ["08:30", None, "2021-01-01"], "", "a time of day.*1 rows.*rows 2,"),
        (["1.5"] * 3, ["1.5", "1,5", None], "number", "a number.*rows 1,.*such as '1,5'"),
        ([1.0, 2.0, 3.0], [1.0, 2.5, None], "integer", "a whole number.*rows 1,.*such as 2.5"),
        ([1, 0, 1], [1, 0, 2], "boolean", "true or false.*rows 2,.*such as 2"),
        ([[1.0, 2.0]] * 3, [[1.0, 2.0], [1.0], None], "", "a list of 2 numbers.*rows 1,"),
        ([[1.0, 2.0]] * 3, [[1.0, 2.0], [np.nan, np.inf], None], "", "a list of 2 numbers.*rows 1,"),
    ],
)
def test_values_that_the_train_split_does_not_take_are_named(tmp_path, train, test, kind, words):
    """Before a model is trained: column, split, rows and an example. The same values in train are no error."""
    train, test = (pa.table({"x": pa.array(values), "y": ["p", "q", "p"]}) for values in (train, test))
    declared = Declared("y", kinds={"x": kind} if kind else {})
    done = complete(infer(train, declared), files(tmp_path, train=train, test=train), declared)
    assert done.columns[0].role == "feature"
    with pytest.raises(DataError, match=f"'x' must be {words}.*data.columns") as error:
        complete(infer(train, declared), files(tmp_path, train=train, validation=train, test=test), declared)
    assert "of the test split are not" in str(error.value)


def test_infinite_numbers_in_train_are_known():
    """The schema has them, so that the encoder knows the range."""
    found = infer(pa.table({"a": [1.0, np.inf, 1e39], "y": ["p", "q", "p"]}), Declared("y")).features["a"]
    assert (found.infinite, found.least, found.most) == (True, 1.0, 1.0)


def test_a_fixed_schema_keeps_its_kinds(tmp_path):
    """A loader that knows its columns is not contradicted; gaps, range and classes are measured."""
    table = pa.table({"k": [1, 2, 3], "a": [1, None, 3], "y": [0, 1, 1]})
    done = complete(Schema.of({"a": "category"}, "y", "k"), files(tmp_path, train=table))
    assert done.kinds == {"a": "category"} and done.features["a"].nullable and done.classes == (0, 1)


def test_distinct_values_are_counted_up_to_a_limit(monkeypatch):
    """Memory is bounded, and the reason says what was counted."""
    monkeypatch.setattr("mlops_lib.columns.facts.MAX_DISTINCT", 50)

    def parts(values):
        return pa.table(
            {"x": pa.chunked_array([values[at : at + 30] for at in range(0, 300, 30)]), "y": ["a"] * 300}
        )

    ids = infer(parts([f"v{i}" for i in range(300)]), Declared("y")).columns[0]
    assert (ids.role, ids.distinct) == (
        "ignored",
        60,
    ) and "distinct in the first 60 rows: left out" in ids.reason
    many = infer(parts([f"v{i // 2}" for i in range(300)]), Declared("y")).columns[0]
    assert many.role == "feature" and many.reason == "more than 60 distinct texts in 300 rows: category"


def test_a_schema_is_shown_as_a_table_and_kept_as_json():
    """A line for each column with its reason; the JSON gives the same schema again."""
    table = pa.table({"plan": ["a", "b"] * 50, "한글": [1.5, None] * 50, "y": LABEL})
    schema = infer(table, Declared("y"))
    assert Schema.from_json(schema.to_json()) == schema
    assert schema.table()[0] == {
        "column": "plan", "kind": "category", "role": "feature", "stored as": "string", "gaps": False, "distinct": 2,
        "reason": "2 distinct texts in 100 rows: category",
    }  # fmt: skip
    assert schema.summary() == "2 features: 1 category, 1 number"


def test_names_that_floats_would_merge_are_refused(tmp_path):
    """2**53 and 2**53 + 1 are one float, and integers with gaps are floats in a DataFrame."""
    ids = [2**53, 2**53 + 1, None] * 10
    declared = Declared("y", kinds={"x": "category"})
    table = pa.table({"x": ids, "y": ["a", "b"] * 15})
    pq.write_table(table, tmp_path / "train.parquet")
    splits = {"train": tmp_path / "train.parquet"}
    with pytest.raises(DataError, match="'x' is a category of integers beyond 2"):
        complete(infer(table, declared), splits, declared)
    whole = table.filter(table["x"].is_valid())
    pq.write_table(whole, tmp_path / "train.parquet")
    assert complete(infer(whole, declared), splits, declared).kinds == {"x": "category"}


@pytest.mark.parametrize(
    ("stored", "kind", "refused"),
    [("float32", "category", True), ("float64", "category", False), ("float32", "text", False)],
)
def test_a_category_of_float32_is_refused(tmp_path, stored, kind, refused):
    """0.3 is 0.30000001192092896 there, and a request with 0.3 was in no category, without a word."""
    doses = pa.array([0.25, 0.3, 2.0**-12, 3.0, None, float("inf")] * 10, stored).cast("float64")
    declared = Declared("y", kinds={"x": kind})
    table = pa.table({"x": doses, "y": ["a", "b"] * 30})
    pq.write_table(table, tmp_path / "train.parquet")
    splits = {"train": tmp_path / "train.parquet"}
    if not refused:
        assert complete(infer(table, declared), splits, declared).kinds == {"x": kind}
        return
    with pytest.raises(
        DataError, match=r"'x' is a category of float32 numbers: 0\.3 is 0\.30000001192092896 there"
    ):
        complete(infer(table, declared), splits, declared)
