"""Which models compute on the event loop: small ones without code, for rows whose size is known."""

import pandas as pd
import pyarrow as pa

from mlops_lib.columns.fit import fit
from mlops_lib.columns.infer import Declared, infer
from serving.inference import matrix
from serving.inference.matrix import MatrixModel

ROWS = pd.DataFrame({"amount": [1.5, 2.5], "city": ["Seoul", "Busan"], "when": ["2021-01-01", "2021-01-02"]})
ROW = (1.5, "Seoul", "2021-01-01")


class Sum:
    """A model that adds the numbers of its matrix."""

    straight_line, matrix_dtype = True, float

    def __init__(self, **kinds):
        schema = infer(pa.Table.from_pandas(ROWS), Declared(label="", kinds=kinds))
        self.encoder = fit(schema, [ROWS])

    def predict(self, rows):
        return rows.sum(axis=1)


def inline_rows(model, example):
    """Rows that are computed on the event loop."""
    return MatrixModel(model, list(ROWS)).inline_rows(example)


def test_a_model_with_an_encoder_computes_on_the_event_loop(monkeypatch):
    """Categories and dates are encoded there too, as many rows as the limit allows; unknown without an example."""
    monkeypatch.setattr(matrix, "INLINE_S", 1.0)
    assert inline_rows(Sum(), ROW) > 1
    assert inline_rows(Sum(), None) == 0


def test_a_column_of_texts_keeps_the_model_off_the_event_loop(monkeypatch):
    """The example says nothing about the length of the next text."""
    monkeypatch.setattr(matrix, "INLINE_S", 1.0)
    assert inline_rows(Sum(city="text"), ROW) == 0


def test_a_slow_model_is_not_measured_with_many_rows(monkeypatch):
    """One row that takes longer than the limit is enough to know: a large network would hold up its version's load."""
    monkeypatch.setattr(matrix, "INLINE_S", 0.0)
    model, seen = Sum(), set()
    monkeypatch.setattr(model, "predict", lambda rows: seen.add(len(rows)))
    assert inline_rows(model, ROW) == 0 and seen == {1}
