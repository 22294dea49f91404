"""Random tables: a row that went through JSON is encoded like the row of the DataFrame."""

import math
import random
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_lib.columns.encode import encode_frame
from mlops_lib.columns.fit import fit
from mlops_lib.columns.infer import Declared, infer
from mlops_lib.columns.json_rows import example_rows
from serving.inference.json_values import encode_json
from serving.inference.matrix import MatrixModel
from serving.inference.schema import RequestSchema

TIMES = st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1))
#: Arrow type and values of a column.
COLUMNS = st.one_of(
    st.tuples(st.just(pa.int64()), st.just(st.integers(-(2**53), 2**53))),
    st.tuples(st.just(pa.int8()), st.just(st.integers(-128, 127))),
    st.tuples(st.just(pa.float64()), st.just(st.floats(-1e30, 1e30))),
    st.tuples(st.just(pa.bool_()), st.just(st.booleans())),
    st.tuples(st.just(pa.string()), st.just(st.text(max_size=5))),
    st.tuples(
        st.just(pa.string()), st.just(st.sampled_from(["7", "007", "NA", "None", "nan", "1E2", "예", " "]))
    ),
    st.tuples(st.just(pa.string()), st.just(TIMES.map(lambda when: when.date().isoformat()))),
    st.tuples(st.just(pa.timestamp("us")), st.just(TIMES)),
    st.tuples(st.just(pa.date32()), st.just(TIMES.map(datetime.date))),
    st.tuples(
        st.just(pa.decimal128(10, 2)), st.just(st.integers(-(10**8), 10**8).map(lambda n: Decimal(n) / 100))
    ),
    st.tuples(
        st.just(pa.list_(pa.float64())), st.just(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=2))
    ),
)


class Identity:
    """A model that answers with the matrix it gets."""

    straight_line, matrix_dtype = False, np.float64

    def __init__(self, encoder):
        self.encoder = encoder

    def predict(self, matrix):
        return matrix


@st.composite
def tables(draw):
    """A table of up to six columns with gaps, and the kinds that are set for some of them."""
    rows = draw(st.integers(2, 12))
    names = draw(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=6, unique=True))
    table, kinds = {}, {}
    for name in names:
        kind, values = draw(COLUMNS)
        gaps = draw(st.booleans())
        cells = draw(st.lists(st.none() | values if gaps else values, min_size=rows, max_size=rows))
        table[name] = pa.array(cells, kind)
        if draw(st.integers(0, 3)) == 0 and not pa.types.is_list(kind):
            kinds[name] = draw(st.sampled_from(["category", "text"]))
    return pa.table(table), kinds


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(tables(), st.randoms(use_true_random=False))
def test_a_row_of_json_is_encoded_like_the_row_of_the_frame(made, order: random.Random):
    """Every value of the source has one meaning, whichever way it comes, in whichever order its names are.

    The same holds for the rows that are logged as a model's input example.
    """
    table, kinds = made
    schema = infer(table, Declared(label="", kinds=kinds))
    frame = table.to_pandas()
    encoder = fit(schema, [frame])
    if not schema.features:
        return
    request = RequestSchema(None, source=schema)
    rows = []
    for row in table.to_pylist():
        shuffled = order.sample(sorted(row.items()), len(row))
        rows.append({n: float(v) if isinstance(v, Decimal) else v for n, v in shuffled if not _is_nan(v)})
    found = request.parse(encode_json({"inputs": rows}))
    matrix = MatrixModel(Identity(encoder), request.columns)(found.tuples())  # type: ignore[arg-type]
    np.testing.assert_array_equal(matrix, encode_frame(encoder, frame))
    logged = request.parse(encode_json({"inputs": example_rows(frame, schema)}))
    np.testing.assert_array_equal(encoder.encode(logged.tuples()), matrix)


def _is_nan(value):
    return isinstance(value, float) and math.isnan(value)


@pytest.mark.parametrize("zone", [0, 9])
def test_a_time_with_a_zone_is_the_same_moment(zone):
    """As the loader stores it: in UTC."""
    table = pa.table(
        {"when": pa.array([datetime(2021, 1, 1, 8), datetime(2021, 5, 1, 9)], pa.timestamp("us"))}
    )
    schema = infer(table, Declared(label=""))
    encoder, request = fit(schema, [table.to_pandas()]), RequestSchema(None, source=schema)
    text = (datetime(2021, 1, 1, 8) + timedelta(hours=zone)).isoformat() + f"+{zone:02d}:00"
    matrix = encoder.encode(request.parse(encode_json({"when": text})).tuples())
    np.testing.assert_array_equal(matrix, encode_frame(encoder, table.to_pandas())[:1])
