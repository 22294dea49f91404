"""Rows of the source as JSON: their forms, and refusals that name row, column, value and the value wanted."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec
from mlflow.types import Schema as Signature

from mlops_lib.columns.encode import BadValue
from mlops_lib.columns.schema import Column, Schema
from serving.features.statuses import EnrichedRows, Statuses
from serving.inference.schema import RequestSchema
from serving.web.problems import Problem, as_problem

SOURCE = Schema(
    (
        Column("고객", "category", "key"),
        Column("성별", "category"),
        Column("zip", "category"),
        Column("tenure", "integer"),
        Column("charges", "number", nullable=True),
        Column("Payment.Method [1]", "category", nullable=True),
        Column("senior", "boolean"),
        Column("signup", "datetime"),
        Column("emb", "array", width=2),
        Column("note", "text", "unused"),
        Column("Churn", "category", "label"),
    ),
    classes=("No", "Yes"),
)
STORED = {
    "성별": "string", "zip": "long", "tenure": "long", "charges": "double", "Payment.Method [1]": "string",
    "senior": "boolean", "signup": "datetime",
}  # fmt: skip
SIGNATURE = ModelSignature(
    Signature([*(ColSpec(kind, name) for name, kind in STORED.items()), ColSpec("string", "emb")])
)
ROW = {
    "성별": "남", "zip": 7, "tenure": 3, "charges": 1.5, "Payment.Method [1]": "계좌 이체", "senior": True,
    "signup": "2021-01-01", "emb": [1, 0.5],
}  # fmt: skip


def schema(**options) -> RequestSchema:
    """Of a model of these columns."""
    return RequestSchema(SIGNATURE, (), {"고객": ""}, SOURCE, **options)


def parsed(row, **options) -> list[dict]:
    """A row as the model's own DataFrame gets it."""
    return schema(**options).parse(json.dumps({"inputs": [row]}).encode()).dicts()


@pytest.mark.parametrize(
    ("column", "sent", "got"),
    [
        ("tenure", 3.0, 3),
        ("tenure", -(2**63), -(2**63)),
        ("charges", None, None),
        ("charges", 3, 3.0),
        ("charges", 1e-3, 0.001),
        ("Payment.Method [1]", None, None),
        ("zip", "7", 7),
        ("zip", 7.0, 7),
        ("signup", "2021-01-01T08:30:00", datetime(2021, 1, 1, 8, 30)),
        ("signup", "2021-01-01T08:30:00+09:00", datetime(2020, 12, 31, 23, 30)),
        ("signup", "2021-01-01 08:30:00.5Z", datetime(2021, 1, 1, 8, 30, 0, 500_000)),
        ("emb", [1, 2], [1, 2]),
    ],
)
def test_values_of_the_source_are_taken(column, sent, got):
    """3.0 for an integer, null where the training data had gaps, dates in each ISO form, numbers as text for a category."""
    (row,) = parsed({**ROW, column: sent})
    assert row[column] == got and type(row[column]) is type(got)
    assert list(row) == list(ROW), "the model's columns alone, in its order"


@pytest.mark.parametrize(
    ("column", "sent", "said"),
    [
        ("tenure", 3.5, "column 'tenure' is 3.5, and must be a whole number"),
        ("tenure", "3", "column 'tenure' is \"3\", and must be a whole number"),
        (
            "tenure",
            None,
            "column 'tenure' is null, and must be a whole number; the training data had no gaps",
        ),
        ("tenure", 2**63, "column 'tenure' is 9223372036854775808, and must be a whole number"),
        ("charges", "63.27", "column 'charges' is \"63.27\", and must be a number or null"),
        ("charges", True, "column 'charges' is true, and must be a number or null"),
        ("성별", 7, "column '성별' is 7, and must be text"),
        ("Payment.Method [1]", ["a"], "column 'Payment.Method [1]' is [\"a\"], and must be text or null"),
        ("senior", "yes", "column 'senior' is \"yes\", and must be true or false"),
        (
            "signup",
            "01/02/2021",
            "column 'signup' is \"01/02/2021\", and must be a date or time, such as 2026-01-31",
        ),
        ("signup", "2021-02-30", "column 'signup' is \"2021-02-30\""),
        ("signup", 1609459200, "column 'signup' is 1609459200"),
        ("emb", [1], "column 'emb' is [1], and must be a list of 2 numbers"),
        ("성별", {"a": "b" * 1000}, 'column \'성별\' is {"a":"bbb'),
    ],
)
@pytest.mark.parametrize("form", ["bare", "one", "second of two", "another protocol's"])
def test_a_value_that_does_not_fit_is_named(column, sent, said, form):
    """Row, column, value and the value wanted, in every form of a body."""
    bad, made = {**ROW, column: sent}, schema()
    body = {"bare": bad, "one": {"inputs": bad}, "second of two": {"inputs": [ROW, bad]}}
    with pytest.raises(Exception) as refused:
        if form in body:
            made.parse(json.dumps(body[form]).encode()).dicts()
        else:
            made.convert([ROW, bad]).dicts()
    problem = as_problem(refused.value, "")
    assert problem.code == "invalid_input" and len(problem.detail) < 400
    row = 1 if form in ("second of two", "another protocol's") else 0
    assert problem.detail.startswith(f"Row {row}: ") and said in problem.detail, problem.detail


def test_columns_that_the_model_does_not_use_are_ignored():
    """Key, label and unused columns of the source, of any type; the log has them as they came."""
    extra = {"고객": "0001-가", "Churn": "Yes", "note": {"any": ["thing"]}}
    rows = schema().parse(json.dumps({**extra, **ROW}, ensure_ascii=False).encode())
    assert rows.dicts()[0].keys() == ROW.keys() and rows.given() == [{**ROW, **extra}]
    assert len(rows.tuples()[0]) == len(ROW) and rows.entity() == ("0001-가",)


def test_a_name_that_the_source_does_not_have_is_refused_with_the_nearest_one():
    """A slip is an error, unless serving.extra_columns is ignore."""
    slip = {**ROW, "Tenure ": 5}
    with pytest.raises(
        Problem, match="Row 0: the source of this model has no column 'Tenure '. Did you mean 'tenure'"
    ):
        parsed(slip)
    assert parsed(slip, strict=False) == parsed(ROW)
    with pytest.raises(Problem, match="has no column 'CHURN'. Did you mean 'Churn'"):
        parsed({**ROW, "CHURN": "No"})


def test_a_bare_list_of_rows_is_told_where_to_go():
    """A list is no row, and the message shows the body that is wanted."""
    with pytest.raises(
        Problem, match=r'A body is \{"inputs": \[row, ...\]\} or one row alone, and a list came'
    ):
        schema().parse(json.dumps([ROW]).encode())


@pytest.mark.parametrize(
    ("kind", "stored"),
    [
        ("number", "double"),
        ("number", "string"),
        ("integer", "int64"),
        ("boolean", "bool"),
        ("boolean", "int64"),
        ("datetime", "string"),
        ("datetime", "timestamp[us]"),
        ("datetime", "time64[us]"),
        ("category", "int64"),
        ("category", "bool"),
        ("category", "timestamp[us]"),
        ("category", "string"),
        ("text", "string"),
    ],
)
@pytest.mark.parametrize("name", ["x", 'x"'])
def test_a_text_that_means_a_missing_value_is_null(kind, stored, name):
    """What data.missing_values lists: in the model's frame, in its matrix and in the record; not where there are no gaps."""
    column = Column(name, kind, stored=stored, nullable=True, missing=("-", "없음"))
    made = RequestSchema(None, source=Schema((column,)))
    rows = made.parse(json.dumps({"inputs": [{name: "-"}, {name: "없음"}]}).encode())
    gaps = [{name: None}] * 2
    assert rows.dicts() == gaps and rows.given() == gaps and rows.tuples() == [(None,), (None,)]
    full = RequestSchema(None, source=Schema((replace(column, nullable=False),)))
    if kind != "datetime" and stored != "string":
        with pytest.raises(Exception, match="'-'|\"-\"|is no") as refused:
            full.parse(json.dumps({name: "-"}).encode()).dicts()
        assert "column" in as_problem(refused.value, "").detail
    with pytest.raises(Exception) as refused:
        made.parse(json.dumps({name: ["-"]}).encode()).dicts()
    assert f'column {name!r} is ["-"]' in as_problem(refused.value, "").detail


def test_a_row_may_leave_out_a_column_that_may_be_null():
    """JSON without a name and null mean the same; a column without gaps in training must be there."""
    short = {name: value for name, value in ROW.items() if name != "charges"}
    assert parsed(short) == parsed({**ROW, "charges": None})
    del short["tenure"]
    with pytest.raises(Problem, match="Row 0 has no column 'tenure', which must be a whole number"):
        parsed(short)


def test_all_columns_that_a_row_lacks_are_named():
    """One request is enough to learn of all of them, but not of those that may be null."""
    with pytest.raises(Problem, match=r"Row 0 has no columns .*'tenure' \(a whole number\)") as refused:
        parsed({"charges": 1.0})
    assert "'charges' (" not in str(refused.value)
    needed = [field.name for field in schema().model_fields.values() if not field.nullable]
    assert all(f"{name!r} (" in str(refused.value) for name in needed)


def test_openapi_shows_the_texts_that_mean_a_missing_value():
    """A number takes them as texts; a column of text names them."""
    given = {"nullable": True, "missing": ("n/a", "-999")}
    number = Column("x", "number", stored="double", **given)
    text, full = (
        Column("note", "text", stored="string", **given),
        Column("z", "number", stored="double", missing=("n/a",)),
    )
    made = RequestSchema(None, source=Schema((number, text, full))).json_schema()["Row"]["properties"]
    said = "; no value: null, '-999', 'n/a'"
    numbers = {"description": f"a number{said}", "anyOf": [{"type": "number"}, {"enum": ["-999", "n/a"]}]}
    assert made["x"]["anyOf"] == [numbers, {"type": "null"}]
    assert made["note"]["anyOf"] == [{"description": f"text{said}", "type": "string"}, {"type": "null"}]
    assert made["z"] == {"type": "number", "description": "a number"}


def test_a_number_beyond_floats_is_named_as_it_was_sent():
    """The column may have infinities in training, where the loader reads 1e400 as one; elsewhere it is refused."""
    row = {**ROW, "charges": schema().from_text("charges", "1e400")}
    with pytest.raises(Problem, match=r"column 'charges' is \"1e400\", and must be a number or null"):
        schema().convert([row])
    infinite = RequestSchema(None, source=Schema((Column("x", "number", stored="double", infinite=True),)))
    assert infinite.from_text("x", "-1e400") == float("-inf")
    assert "is -Infinity, and" in as_problem(BadValue(0, "x", float("-inf"), "a number"), "").detail


def test_openapi_shows_the_kinds():
    """Whole numbers are integers, dates and categories are described, and the source's other columns are there."""
    row = schema().json_schema()["Row"]
    assert row["properties"]["tenure"]["type"] == "integer"
    assert "31.01.2026" in row["properties"]["signup"]["description"]
    assert {"type": "null"} in row["properties"]["charges"]["anyOf"]
    assert row["properties"]["emb"]["minItems"] == 2 and row["additionalProperties"] is False
    assert {"고객", "Churn", "note"} <= row["properties"].keys() and "charges" not in row["required"]


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("성별", "NA", "NA"),
        ("성별", "007", "007"),
        ("tenure", "3", 3),
        ("tenure", "3.5", 3.5),
        ("charges", "N/A", None),
        ("charges", " ", None),
        ("senior", "TRUE", True),
        ("signup", "2021-01-01", "2021-01-01"),
        ("Churn", "Yes", "Yes"),
        ("charges", "", None),
        ("tenure", "3.0", 3.0),
        ("tenure", "1_000", "1_000"),
        ("charges", "1,5", "1,5"),
        ("zip", "7.0", 7.0),
        ("성별", "", None),
        ("charges", "1e400", "1e400"),
        ("charges", "-inf", float("-inf")),
    ],
)
def test_a_cell_of_a_csv_is_read_by_its_columns_kind(column, text, value):
    """As the loader reads it: "NA" is a category among texts and a gap among numbers."""
    assert schema().from_text(column, text) == value


@pytest.mark.parametrize(
    ("kind", "stored", "good", "bad"),
    [
        ("category", "string", "7", 7),
        ("category", "int32", 7, 7.5),
        ("category", "decimal128(10, 2)", 7.25, True),
        ("category", "bool", True, 7),
        ("category", "timestamp[us]", "2021-01-01", 7),
        ("text", "struct<a: int64>", {"a": 1}, None),
        ("number", "decimal128(10, 2)", 63.27, "63.27"),
        ("number", "string", "63.27", True),
        ("integer", "string", "7", 7.5),
        ("boolean", "int64", 1, 2),
        ("boolean", "bool", True, 1),
        ("datetime", "string", "2021-01-01", 2021),
        ("datetime", "time64[us]", "08:30", 830),
    ],
)
def test_the_type_of_the_stored_values_decides_which_json_values_a_kind_takes(kind, stored, good, bad):
    """A category of text takes text alone: 7 may be meant for "07"; one of numbers takes both."""
    made = RequestSchema(None, source=Schema((Column("x", kind, stored=stored),)))
    assert made.parse(json.dumps({"x": good}).encode()).given() == [{"x": good}]
    with pytest.raises(Problem, match="column 'x' is "):
        made.parse(json.dumps({"x": bad}).encode())


@pytest.mark.parametrize(
    ("stored", "got"), [("string", "2021-01-01"), ("timestamp[us]", datetime(2021, 1, 1))]
)
def test_dates_reach_the_models_own_frame_as_they_are_stored(stored, got):
    """A pipeline of the user's own learned from text where the source has text."""
    made = RequestSchema(None, source=Schema((Column("x", "datetime", stored=stored),)))
    assert made.parse(b'{"x": "2021-01-01"}').dicts() == [{"x": got}]


def test_values_of_the_feature_store_are_completed_cast_and_adopted():
    """A row with its key alone: the store's texts and times reach the model's frame, its matrix, and a challenger."""
    made = RequestSchema(SIGNATURE, ["성별", "signup"], {"고객": "object"}, SOURCE)
    sent = {name: value for name, value in ROW.items() if name not in ("성별", "signup")} | {"고객": "a"}
    rows = made.parse(json.dumps(sent).encode())
    assert rows.given() == [sent] and rows.entity() == ("a",)
    looked_up = {**ROW, "성별": "여", "signup": datetime(2021, 1, 1, tzinfo=UTC)}
    full = rows.with_features(EnrichedRows([looked_up], Statuses({})))
    assert full.dicts() == [{**looked_up, "signup": datetime(2021, 1, 1)}]
    assert full.tuples() == [tuple(looked_up.values())]
    adopted = schema().adopt(full)
    assert adopted.dicts() == full.dicts() and adopted.looked_up is full.looked_up
    with pytest.raises(Problem, match="Row 0 has no columns '성별'"):
        schema().adopt(rows)


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ({"inputs": 5, "x": 1}, [{"inputs": 5, "x": 1}]),
        ({"inputs": 5}, [{"inputs": 5, "x": None}]),
        ({"inputs": {"inputs": 5, "x": 1}}, [{"inputs": 5, "x": 1}]),
        ({"inputs": [{"inputs": 5}, {"inputs": 6}]}, [{"inputs": 5, "x": None}, {"inputs": 6, "x": None}]),
    ],
)
@pytest.mark.parametrize("other", ["x", 'x"'])
def test_a_column_may_be_called_inputs(body, rows, other):
    """As the key of the rows in a body: also beside a name for which a body is read in two steps."""
    columns = (Column("inputs", "integer"), Column(other, "number", nullable=True))
    made = RequestSchema(None, source=Schema(columns))
    body, rows = (json.loads(json.dumps(value).replace('"x"', json.dumps(other))) for value in (body, rows))
    assert made.parse(json.dumps(body).encode()).given() == rows


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"inputs": "five", "x": 1}, "Row 0: column 'inputs' is \"five\""),
        ({"inputs": [{"inputs": 1}, {"inputs": "five"}]}, "Row 1: column 'inputs' is \"five\""),
        ({"inputs": 5, "y": 1}, "no column 'y'"),
    ],
)
def test_a_bad_value_of_a_column_called_inputs_is_named(body, said):
    """In a row alone and in a list of rows."""
    columns = (Column("inputs", "integer"), Column("x", "number", nullable=True))
    with pytest.raises(Problem) as refused:
        RequestSchema(None, source=Schema(columns)).parse(json.dumps(body).encode())
    assert said in refused.value.detail


def test_a_value_may_be_the_text_inputs():
    """A row alone is not taken for rows in ``inputs``."""
    made = RequestSchema(None, source=Schema((Column("word", "text"),)))
    assert made.parse(b'{"word": "inputs"}').given() == [{"word": "inputs"}]


def test_a_byte_order_mark_is_named():
    """Editors and shells of Windows write it; JSON has none."""
    made = RequestSchema(None, source=Schema((Column("word", "text"),)))
    for body in (b'\xef\xbb\xbf{"word": "a"}', '{"word": "a"}'.encode("utf-16")):
        with pytest.raises(Problem, match="begins with a byte order mark: send UTF-8 without one") as refused:
            made.parse(body)
        assert refused.value.status == 400


def test_a_column_may_have_any_name():
    """Quotes, backslashes and line breaks, which msgspec's own field names cannot have."""
    name = 'Size\\(12")\n'
    made = RequestSchema(None, source=Schema((Column(name, "integer"), Column("x", "number", nullable=True))))
    for body, single in (([{name: 3}], False), ({name: 3}, True)):
        rows = made.parse(json.dumps({"inputs": body}).encode())
        assert rows.given() == [{name: 3, "x": None}] and rows.single is single
    assert made.parse(json.dumps({name: 3}).encode()).single
    with pytest.raises(Problem) as refused:
        made.parse(json.dumps({"inputs": [{name: 3}, {name: "3"}]}).encode())
    assert refused.value.detail.startswith(f'Row 1: column {name!r} is "3", and must be a whole number')
    for body, status in (
        (b"{", 400),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"inputs": []}', 422),
        (b'{"inputs": 3}', 422),
    ):
        with pytest.raises(Problem) as refused:
            made.parse(body)
        assert refused.value.status == status
    row = made.json_schema()["Row"]
    assert set(row["properties"]) == {name, "x"} and row["required"] == [name]
