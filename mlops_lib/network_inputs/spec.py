"""The description of a network's inputs: one record for training, export, the logged model and the service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

#: The form of an input: the kind of its columns decides, unless config.yaml does.
Form = Literal["number", "codes", "parts", "matrix", "array", "sequence", "lengths", "mask"]
#: Forms whose tensors are made beside a sequence.
BESIDE = ("lengths", "mask")
#: How a network takes its inputs: as arguments by name, in order, or all in one dict.
Style = Literal["names", "positions", "batch"]


@dataclass(frozen=True)
class InputSpec:
    """One tensor that a network takes.

    Attributes:
        name: Of the parameter, or the key in the dict.
        columns: The columns that it is made of.
        form: How it is made of them.
        dtype: float32, int64 or bool.
        shape: Without the rows; None for a size that differs between batches.
        codes: Number of codes of a category; else 0.
        length: Most items of a sequence; 0: any number.
    """

    name: str
    columns: tuple[str, ...]
    form: Form
    dtype: str
    shape: tuple[int | None, ...] = ()
    codes: int = 0
    length: int = 0

    @property
    def is_free(self) -> bool:
        """Whether a size differs between batches."""
        return None in self.shape

    def __str__(self) -> str:
        sizes = ["rows", *("longest" if size is None else str(size) for size in self.shape)]
        return f"{self.name}: {self.dtype} [{', '.join(sizes)}]"

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> InputSpec:
        """The input of `dataclasses.asdict`, after JSON."""
        return cls(**{**found, "columns": tuple(found["columns"]), "shape": tuple(found["shape"])})


@dataclass(frozen=True)
class Inputs:
    """All inputs of a network, in order.

    Attributes:
        specs: One for each tensor.
        style: How the network takes them.
        by_length: Whether predictions are made of rows with sequences of one length at a time, because the network's
            answer for a row depends on its padding.
    """

    specs: tuple[InputSpec, ...]
    style: Style = "names"
    by_length: bool = False

    @property
    def names(self) -> list[str]:
        """The names, in order."""
        return [spec.name for spec in self.specs]

    @property
    def by_name(self) -> dict[str, InputSpec]:
        """The inputs by name: the argument ``inputs`` of a network's constructor."""
        return {spec.name: spec for spec in self.specs}

    @property
    def is_one(self) -> bool:
        """Whether a batch has one tensor, and no dict."""
        return len(self.specs) == 1 and self.style != "batch"

    def to_dict(self) -> dict[str, Any]:
        """The inputs as values that JSON has."""
        return {
            "inputs": [asdict(spec) for spec in self.specs],
            "style": self.style,
            "by_length": self.by_length,
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Inputs:
        """The inputs of `to_dict`."""
        specs = tuple(map(InputSpec.from_dict, found["inputs"]))
        return cls(specs, found["style"], found["by_length"])
