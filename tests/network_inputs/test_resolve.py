"""The inputs of a network, from its forward, config.yaml and the columns."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from torch import Tensor

from mlops_lib.columns.fit import fit
from mlops_lib.columns.infer import Declared, infer
from mlops_lib.errors import TrainingError
from mlops_lib.network_inputs.encode import InputEncoder
from mlops_lib.network_inputs.resolve import plan
from mlops_lib.settings.model import InputSettings, ModelSettings

TABLE = pa.table(
    {
        "user": ["a", "b", None] * 10,
        "price": [1.5, None, 2.0] * 10,
        "age": [3, 4, 5] * 10,
        "pixels": [[[1.0, 2.0], [3.0, 4.0]]] * 30,
        "clicks": pa.array([[1, 2, 3], [], None] * 10),
        "y": [0, 1, 0] * 10,
    }
)
SCHEMA = infer(TABLE, Declared("y", kinds={"clicks": "sequence", "age": "integer"}))


def inputs_of(forward: Any, **given: Any) -> list[str] | None:
    """The inputs of a network with this forward; None for the matrix."""
    network = type("Net", (), {"forward": forward})
    made = plan(network, ModelSettings(inputs=given), SCHEMA)
    if made is None:
        return None
    encoder = made.encoder(fit(made.encoded_schema, [TABLE.to_pandas()]), TABLE.to_pandas(), Path())
    assert InputEncoder.from_dict(encoder.to_dict()).inputs == encoder.inputs
    return [f"{spec} {encoder.inputs.style}" for spec in encoder.inputs.specs]


USER, PRICE = "user: int64 [rows] names", "price: float32 [rows] names"
CLICKS = "clicks: float32 [rows, longest]"
FORWARDS: dict[str, tuple[Any, dict[str, Any], list[str]]] = {
    "names": (lambda self, user, price: 0, {}, [USER, PRICE]),
    "one column": (lambda self, user: 0, {}, [USER]),
    "keywords alone": (lambda self, *, user, price: 0, {}, [USER, PRICE]),
    "a default that is a column": (lambda self, user, price=None: 0, {}, [USER, PRICE]),
    "a default that is none": (lambda self, user, temperature=1.0: 0, {}, [USER]),
    "renamed": (lambda self, who, price: 0, {"who": "user"}, ["who: int64 [rows] names", PRICE]),
    "a matrix of columns": (
        lambda self, numbers: 0,
        {"numbers": ["price", "age", "user"]},
        ["numbers: float32 [rows, 3] names"],
    ),
    "an array": (lambda self, pixels: 0, {}, ["pixels: float32 [rows, 2, 2] names"]),
    "an array of another shape": (
        lambda self, x: 0,
        {"x": InputSettings(column="pixels", shape=[1, 2, 2], dtype="int64")},
        ["x: int64 [rows, 1, 2, 2] names"],
    ),
    "a sequence": (lambda self, clicks: 0, {}, [f"{CLICKS} names"]),
    "a sequence with lengths": (
        lambda self, clicks, clicks_lengths: 0,
        {},
        [f"{CLICKS} names", "clicks_lengths: int64 [rows] names"],
    ),
    "a sequence of one length": (
        lambda self, clicks, clicks_mask: 0,
        {"clicks": InputSettings(length=4)},
        ["clicks: float32 [rows, 4] names", "clicks_mask: bool [rows, 4] names"],
    ),
    "positions": (
        lambda self, *columns: 0,
        {"a": "user", "b": "price"},
        ["a: int64 [rows] positions", "b: float32 [rows] positions"],
    ),
    "a dict": (
        lambda self, batch: 0,
        {"user": "user", "clicks": "clicks"},
        [
            "user: int64 [rows] batch",
            f"{CLICKS} batch",
            "clicks_lengths: int64 [rows] batch",
            "clicks_mask: bool [rows, longest] batch",
        ],
    ),
    "any name": (
        lambda self, **inputs: 0,
        {"user": "user", "cost": "price"},
        [USER, "cost: float32 [rows] names"],
    ),
}


@pytest.mark.parametrize("name", FORWARDS)
def test_parameters_become_inputs(name):
    """Each way to write a forward gives its tensors, in order."""
    forward, given, wanted = FORWARDS[name]
    assert inputs_of(forward, **given) == wanted


def test_annotated_dicts_are_batches():
    """A parameter of any name that is annotated as a dict gets all features."""

    def typed(self: Any, features: dict[str, Tensor]) -> None: ...
    def mapping(self: Any, features: Mapping[str, Tensor]) -> None: ...
    def text(self: Any, features: "typing.Dict[str, Tensor]") -> None: ...  # noqa: F821

    for forward in (typed, mapping, text):
        found = inputs_of(forward)
        assert found and len(found) == 7 and all(one.endswith("batch") for one in found)


def test_a_forward_of_one_other_name_takes_the_matrix():
    """``forward(x)`` stays what it was, with or without options."""
    schema = SCHEMA.with_features(["user", "price", "pixels"])
    for forward in (lambda self, x: 0, lambda self, features: 0, lambda self, x, temperature=1: 0):
        assert plan(type("Net", (), {"forward": forward}), ModelSettings(), schema) is None


@pytest.mark.parametrize(
    ("forward", "given", "words"),
    [
        (lambda self, usr, item: 0, {}, r"takes 'usr', 'item', which are no feature.*\n.*\n  inputs:\n    usr: user"),
        (lambda self, x: 0, {}, r"takes one matrix, and column 'clicks' is a sequence.*model.inputs"),
        (lambda self, *columns: 0, {}, "order must be set in config.yaml"),
        (lambda self, user: 0, {"who": "user"}, r"model.inputs has 'who'.*no such parameter.*user"),
        (lambda self, user: 0, {"user": "usr"}, r"names the column 'usr', which is no feature\. Features: user"),
        (lambda self, user: 0, {"user": "y"}, r"'y', which is no feature: its role is label"),
        (lambda self, age: 0, {"age": InputSettings(form="codes")}, r"data.columns: \{age: category\}"),
        (lambda self, user: 0, {"user": InputSettings(length=3)}, "has length, and its form is codes"),
        (lambda self, both: 0, {"both": ["user", "clicks"]}, "a sequence, which needs an input of its own"),
        (lambda self, pixels: 0, {"pixels": InputSettings(shape=[3])}, r"shape \[3\].* 4 numbers in each row"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_an_error(forward, given, words):
    """It names the input or the column, and shows what to write."""
    with pytest.raises(TrainingError, match=f"(?s){words}"):
        inputs_of(forward, **given)


def test_a_network_without_forward_or_of_a_factory():
    """A function says which class it makes by its annotation."""
    import lightning.pytorch as pl

    class Net(pl.LightningModule):
        def forward(self, user: Tensor) -> Tensor: ...

    def annotated() -> Net: ...
    def other(): ...

    none = ModelSettings()
    made = plan(annotated, none, SCHEMA)
    assert made and list(made.wanted) == ["user"] and plan(other, none, SCHEMA) is None
    with pytest.raises(TrainingError, match="Annotate the function"):
        plan(other, ModelSettings(inputs={"user": "user"}), SCHEMA)
    with pytest.raises(TrainingError, match="has no forward"):
        plan(type("Empty", (pl.LightningModule,), {}), none, SCHEMA)
