"""The inputs of forward as the service makes them, to compare batches of the user's own with."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mlops_lib.columns.encode import Encoder
from mlops_lib.network_inputs.encode import InputEncoder

#: Type and shape, without the rows, of each input.
Shapes = dict[str, tuple[Any, tuple[int | None, ...]]]


def expected(encoder: Encoder | InputEncoder) -> Shapes:
    """The inputs that the service makes of the loader's columns."""
    if isinstance(encoder, InputEncoder):
        return {spec.name: (getattr(torch, spec.dtype), spec.shape) for spec in encoder.inputs.specs}
    return {"x": (torch.float32, (len(encoder.outputs),))}


def difference(found: Mapping[str, Any], wanted: Shapes) -> str:
    """The first input that has another type or shape, as "'x' as float64 [16, 7], and forward gets ..."; "": none has."""
    for name, (dtype, shape) in wanted.items():
        one = found.get(name)
        if not isinstance(one, Tensor) or one.dtype != dtype or not _fits(tuple(one.shape[1:]), shape):
            return f"{name!r} as {form(one)}, and forward gets {listed({name: (dtype, shape)})}"
    return ""


def listed(wanted: Shapes) -> str:
    """The inputs with their types and shapes."""
    return ", ".join(
        f"{name} {str(dtype).removeprefix('torch.')} [{', '.join(['rows', *(str(one or 'any') for one in shape)])}]"
        for name, (dtype, shape) in wanted.items()
    )


def form(value: Any) -> str:
    """What a value is, for errors."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if isinstance(value, Mapping):
        return f"a dict of {', '.join(map(str, value))}"
    return "nothing" if value is None else f"a {type(value).__name__}"


def _fits(found: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(found) == len(wanted) and all(
        size in (None, one) for one, size in zip(found, wanted, strict=True)
    )
