"""What it costs to read other protocols' rows, without a service."""

import json
import time

import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

from serving.inference.schema import RequestSchema
from serving.protocols import mlflow_bodies, tensors
from serving.web.problems import Problem


def schema(columns: int) -> RequestSchema:
    """Of a model that takes numbers."""
    return RequestSchema(ModelSignature(Schema([ColSpec("double", f"c{n}") for n in range(columns)])))


@pytest.mark.slow
def test_a_cell_of_a_csv_costs_the_same_however_many_columns_there_are():
    """A hundred times the columns, a hundred times the work, not ten thousand times: the event loop waits for it."""

    def seconds(columns: int) -> float:
        wide, cells = schema(columns), 40_000
        names = ",".join(f"c{n}" for n in range(columns))
        body = "\n".join([names] + [",".join(["1.5"] * columns)] * (cells // columns)).encode()
        began = time.process_time()
        assert len(mlflow_bodies.from_csv(body, wide, 100_000)) == cells // columns
        return time.process_time() - began

    assert min(seconds(400) for _ in range(3)) < 5 * min(seconds(4) for _ in range(3))


MANY = [[1.5]] * 9


@pytest.mark.parametrize(
    "body",
    [
        {"instances": MANY},
        {"dataframe_records": [{"c0": 1.5}] * 9},
        {"dataframe_split": {"columns": ["c0"], "data": MANY}},
        {"inputs": {"c0": [1.5] * 9}},
        {"inputs": MANY},
    ],
    ids=["instances", "records", "split", "columns", "inputs"],
)
def test_more_rows_than_are_taken_are_refused_before_they_are_made(body):
    """Eight megabytes of short rows would be hundreds of megabytes of dicts; as many as are taken are."""
    with pytest.raises(Problem) as refused:
        mlflow_bodies.from_json(json.dumps(body).encode(), schema(1), 8)
    assert refused.value.code == "too_many_rows"
    assert len(mlflow_bodies.from_json(json.dumps(body).encode(), schema(1), 9).rows) == 9


def test_a_csv_or_a_tensor_of_more_rows_than_are_taken_is_refused_before_they_are_made():
    """The same for a CSV, whose empty lines are no rows, and for the Open Inference Protocol."""
    body = b"c0\n" + b"1.5\n\n" * 9
    assert len(mlflow_bodies.from_csv(body, schema(1), 9)) == 9
    tensor = tensors.Tensor("c0", [9], "FP64", [1.5] * 9)
    assert len(tensors.rows_of([tensor], memoryview(b""), schema(1), 9)) == 9
    for read in (
        lambda: mlflow_bodies.from_csv(body, schema(1), 8),
        lambda: tensors.rows_of([tensor], memoryview(b""), schema(1), 8),
    ):
        with pytest.raises(Problem) as refused:
            read()
        assert refused.value.code == "too_many_rows"
