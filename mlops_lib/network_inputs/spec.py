"""The description of a network's inputs: one record for training, export, the logged model and the service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

#: The form of an input: the kind of its columns decides, unless config.yaml does.
Form = Literal[
    "number",
    "codes",
    "parts",
    "matrix",
    "array",
    "image",
    "sequence",
    "tokens",
    "lengths",
    "mask",
    "collated",
]
#: Forms of as many items as a row has, and those of the tensors beside one.
RAGGED, BESIDE = ("sequence", "tokens"), ("lengths", "mask")
#: How a network takes its inputs: as arguments by name, in order, or all in one dict.
Style = Literal["names", "positions", "batch"]
#: How a network is logged: a graph of torch.export, TorchScript, or a pickle with the code that it needs.
Format = Literal["export", "script", "pickle"]


@dataclass(frozen=True)
class InputSpec:
    """One tensor that a network takes.

    Attributes:
        name: Of the parameter, or the key in the dict.
        columns: The columns that it is made of.
        form: How it is made of them.
        dtype: float32, int64 or bool; of images, float32 or uint8; of a collate function, what it gives.
        shape: Without the rows; None for a size that differs between batches.
        codes: Number of codes of a category, or of the ids of a tokenizer that gives their number; else 0.
        length: Most items of a sequence or of a text; 0: any number.
        of: The input whose lengths or mask it is.
        tokenizer: ``package.module:name``, or the name of a file.
        mean, std: Of each channel of an image with values from 0 to 1; empty: 0 and 1.
        resize: How an image gets its shape: squash, crop or pad.
        draft: A JPEG may be decoded at a half of its size or less while its sides stay so many
            times the input's; 2 in models that were logged without it.
    """

    name: str
    columns: tuple[str, ...]
    form: Form
    dtype: str
    shape: tuple[int | None, ...] = ()
    codes: int = 0
    length: int = 0
    of: str = ""
    tokenizer: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: str = ""
    draft: int = 2

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
        lists = ("columns", "shape", "mean", "std")
        return cls(**{**found, **{name: tuple(found.get(name, ())) for name in lists}})


@dataclass(frozen=True)
class OutputSpec:
    """One output of a network that gives several.

    Attributes:
        name: The key in the dict, the field of the named tuple, or ``output_0`` and up.
        dtype: Of its numbers.
        shape: Without the rows; None for a size that differs between rows.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] = ()

    def __str__(self) -> str:
        sizes = ["rows", *("any" if size is None else str(size) for size in self.shape)]
        return f"{self.name}: {self.dtype} [{', '.join(sizes)}]"

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> OutputSpec:
        """The output of `dataclasses.asdict`, after JSON."""
        return cls(**{**found, "shape": tuple(found["shape"])})


@dataclass(frozen=True)
class Inputs:
    """All inputs of a network, in order.

    Attributes:
        specs: One for each tensor.
        style: How the network takes them.
        by_length: Whether predictions are made of rows with sequences of one length at a time, because the network's
            answer for a row depends on its padding.
        collate: ``package.module:function`` that makes the tensors of rows; "": the columns do.
        format: How the network is logged.
        double: Whether a pickled network has float64 weights.
        outputs: What it gives, if that has names; empty for one tensor.
    """

    specs: tuple[InputSpec, ...]
    style: Style = "names"
    by_length: bool = False
    collate: str = ""
    format: Format = "export"
    double: bool = False
    outputs: tuple[OutputSpec, ...] = ()

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

    @property
    def modules(self) -> set[str]:
        """The modules whose code makes the tensors."""
        named = [self.collate, *(spec.tokenizer for spec in self.specs)]
        return {name.partition(":")[0] for name in named if ":" in name}

    @property
    def holds_code(self) -> bool:
        """Whether the model has code beside a graph."""
        return bool(self.modules) or self.format != "export"

    def to_dict(self) -> dict[str, Any]:
        """The inputs as values that JSON has."""
        return {**asdict(self), "specs": [asdict(spec) for spec in self.specs]}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Inputs:
        """The inputs of `to_dict`."""
        outputs = tuple(map(OutputSpec.from_dict, found.get("outputs", ())))
        return cls(**{**found, "specs": tuple(map(InputSpec.from_dict, found["specs"])), "outputs": outputs})
