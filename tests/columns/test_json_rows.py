"""The input example of a model of tables: rows of JSON that the service takes, and that have the encoding of the data."""

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from mlops_lib.columns.encode import encode_frame
from mlops_lib.columns.fit import fit
from mlops_lib.columns.infer import Declared, infer
from mlops_lib.columns.json_rows import example_rows
from serving.inference.schema import RequestSchema

DAY = datetime(2021, 3, 4)
#: Arrow type, values, kind set in data.columns ("": inferred), and the first value of the example.
COLUMNS = {
    "integer": (pa.int64(), [2**62, 5], "", 2**62),
    "integer with a gap": (pa.int64(), [3, None], "", 3),
    "number": (pa.float64(), [1.5, None], "", 1.5),
    "infinite": (pa.float64(), [float("inf"), 7.5], "", 7.5),
    "beyond float32": (pa.float64(), [1e300, 7.5], "", 1e300),
    "never finite": (pa.float64(), [float("-inf"), float("inf")], "", -(2 - 2**-23) * 2.0**127),
    "half": (pa.float32(), [0.5, 1.5], "", 0.5),
    "decimal": (pa.decimal128(10, 2), [Decimal("63.27"), Decimal(7)], "", 63.27),
    "decimal as category": (pa.decimal128(30, 20), [Decimal("1.00000000000000000001"), Decimal(7)], "category",
                            "1.00000000000000000001"),
    "boolean": (pa.bool_(), [True, False], "", True),
    "boolean with a gap": (pa.bool_(), [True, None], "", True),
    "boolean as number": (pa.bool_(), [True, False], "number", 1),
    "bits": (pa.int64(), [1, 0], "boolean", 1),
    "category": (pa.string(), ["007", None], "", "007"),
    "numbers as category": (pa.int64(), [7, None], "category", 7),
    "floats as category": (pa.float64(), [7.25, float("inf")], "category", 7.25),
    "infinity as category": (pa.float64(), [float("inf"), 7.25], "category", "inf"),
    "booleans as category": (pa.bool_(), [True, None], "category", True),
    "numbers in text": (pa.string(), ["63.27", "7"], "number", "63.27"),
    "dates in text": (pa.string(), ["2021-03-04", "2021-03-05"], "", "2021-03-04"),
    "date": (pa.date32(), [date(2021, 3, 4), None], "", "2021-03-04T00:00:00"),
    "timestamp": (pa.timestamp("us"), [DAY.replace(hour=8), None], "", "2021-03-04T08:00:00"),
    "nanoseconds": (pa.timestamp("ns"), [np.datetime64("2021-03-04T00:00:00.123456789"), None], "",
                    "2021-03-04T00:00:00.123456"),
    "zone": (pa.timestamp("us", "Asia/Seoul"), [DAY.replace(hour=8, tzinfo=UTC), None], "", "2021-03-04T08:00:00"),
    "timestamp as category": (pa.timestamp("us"), [DAY, None], "category", "2021-03-04T00:00:00"),
    "time of day": (pa.time64("us"), [time(8, 30), None], "", "08:30:00"),
    "duration": (pa.duration("us"), [timedelta(minutes=2), None], "", 120.0),
    "duration as category": (pa.duration("us"), [timedelta(minutes=2), timedelta(1)], "category", 120.0),
    "array": (pa.list_(pa.float64()), [[1.0, None], [2.0, 0.5]], "", [1.0, None]),
    "array of integers": (pa.list_(pa.int64()), [[1, 2], [3, 4]], "", [1, 2]),
    "prose": (pa.string(), ["A text of more than four words.", "Another text of as many words."], "text",
              "A text of more than four words."),
    "struct": (pa.struct({"a": pa.int64()}), [{"a": 1}, {"a": 2}], "category", {"a": 1}),
    "bytes": (pa.binary(), [b"\x01\xff", b"\x02"], "category", "01ff"),
}  # fmt: skip


@pytest.mark.parametrize(("stored", "values", "kind", "first"), COLUMNS.values(), ids=COLUMNS)
def test_each_kind_of_value_has_a_form_that_the_service_takes(stored, values, kind, first):
    """The JSON is strict, the service accepts it, and it is encoded to the same bits as the frame."""
    table = pa.table({"x": pa.array(values, stored)})
    schema = infer(table, Declared(label="", kinds={"x": kind} if kind else {}))
    frame = table.to_pandas()
    encoder = fit(schema, [frame])
    rows = example_rows(frame, schema)
    assert rows[0]["x"] == first and type(rows[0]["x"]) is type(first)
    body = json.dumps({"inputs": rows}, allow_nan=False).encode()
    taken = RequestSchema(None, source=schema).parse(body)
    expected = encode_frame(encoder, frame)
    np.testing.assert_array_equal(encoder.encode(taken.tuples()), expected)
    np.testing.assert_array_equal(encoder.encode([list(row.values()) for row in rows]), expected)
