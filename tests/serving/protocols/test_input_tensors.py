"""Tensors that have the names of a network's inputs."""

import pytest

from mlops_lib.columns.schema import Column, Schema
from mlops_lib.network_inputs.spec import InputSpec
from serving.inference.source_fields import fields_of
from serving.protocols.input_tensors import columns_of
from serving.web.problems import Problem

SCHEMA = Schema(
    (
        Column("user_id", "category"),
        Column("age", "integer"),
        Column("price", "number"),
        Column("pixels", "array", width=4, shape=(2, 2)),
        Column("clicks", "sequence", shape=(-1,)),
    )
)
FIELDS = {field.name: field for field in fields_of(None, SCHEMA)}
INPUTS = {
    spec.name: spec
    for spec in (
        InputSpec("user", ("user_id",), "codes", "int64"),
        InputSpec("numbers", ("age", "price"), "matrix", "float32", (2,)),
        InputSpec("image", ("pixels",), "array", "float32", (1, 2, 2)),
        InputSpec("seen", ("clicks",), "sequence", "float32", (None,)),
        InputSpec("seen_lengths", ("clicks",), "lengths", "int64", of="seen"),
        InputSpec("seen_mask", ("clicks",), "mask", "bool", (None,), of="seen"),
    )
}


def columns(**tensors):
    return columns_of(tensors, INPUTS, FIELDS)


def test_inputs_become_columns():
    """Renamed, of several columns, in another shape, and padded with lengths or a mask."""
    assert columns(user=["a"], numbers=[[3, 1.5]]) == {"user_id": ["a"], "age": [3], "price": [1.5]}
    assert columns(image=[[[[1, 2], [3, 4]]]]) == {"pixels": [[[1, 2], [3, 4]]]}
    padded = [[1, 2, 0], [0, 0, 0]]
    assert columns(seen=padded, seen_lengths=[2, 0]) == {"clicks": [[1, 2], []]}
    assert columns(clicks=padded, seen_mask=[[True, True, False], [False] * 3]) == {"clicks": [[1, 2], []]}
    assert columns(user_id=["a"], clicks=padded[:1]) == {"user_id": ["a"], "clicks": padded[:1]}


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"user": ["a"], "user_id": ["a"]}, "'user_id' is there twice"),
        ({"numbers": [[3]]}, r"has the columns age, price: send \[rows, 2\]"),
        ({"image": [[1, 2, 3]]}, r"'image': a row is numbers of shape \[2, 2\]"),
        ({"seen_lengths": [1]}, "belongs to column 'clicks', which is not there"),
        ({"seen": [[1]], "seen_lengths": [2]}, "names the length 2, which is more"),
        ({"seen": [[1]], "seen_lengths": [None]}, "takes lengths from 0"),
        ({"seen": [[0, 1]], "seen_mask": [[False, True]]}, "padding is at the end"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tensors, words):
    """The refusal names the input."""
    with pytest.raises(Problem, match=words):
        columns(**tensors)
