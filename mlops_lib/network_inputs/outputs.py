"""The answers of a network: one tensor, several by name, or any number of items for each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .spec import OutputSpec

#: Name of a network's only output, where it has none.
ONLY = ""


def named(answer: Any) -> Any:
    """A tuple of tensors as a dict of them; anything else, and a list, as it is."""
    if isinstance(answer, tuple):
        fields = getattr(answer, "_fields", None) or [f"output_{place}" for place in range(len(answer))]
        return dict(zip(fields, answer))  # noqa: B905 - torch.export does not know zip's strict
    return dict(answer.items()) if isinstance(answer, Mapping) else answer


def in_single(answer: Any) -> Any:
    """Float64 tensors, at any depth, as float32."""
    if isinstance(answer, Tensor):
        return answer.float() if answer.dtype == torch.float64 else answer
    if isinstance(answer, dict):
        return {name: in_single(one) for name, one in answer.items()}
    return [in_single(one) for one in answer] if isinstance(answer, list) else answer


def arrays(answer: Any) -> dict[str, np.ndarray]:
    """The outputs of some rows by name, each with an item a row.

    Args:
        answer: A tensor, a dict of tensors, or a list with a dict of tensors for each row.
    """
    if isinstance(answer, Tensor):
        return {ONLY: answer.numpy()}
    if isinstance(answer, Mapping):
        return {name: one.numpy() for name, one in answer.items()}
    names = answer[0] if answer else ()
    return {name: of_unlike_sizes([row[name].numpy() for row in answer]) for name in names}


def of_unlike_sizes(items: Sequence[np.ndarray]) -> np.ndarray:
    """An array of arrays, one for each row."""
    made = np.empty(len(items), dtype=object)
    for row, one in enumerate(items):
        made[row] = one
    return made


def joined(rows: int, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """An output of all rows from parts of them; an array of arrays where sizes differ.

    Args:
        parts: Numbers of rows, and the output of these.
    """
    shapes = {(one.dtype, one.shape[1:]) for _, one in parts}
    alike = len(shapes) == 1
    dtype, shape = next(iter(shapes)) if alike else (object, ())
    made = np.empty((rows, *shape), dtype=dtype)
    for chosen, one in parts:
        made[chosen] = one if alike else of_unlike_sizes(list(one))
    return made


def specs_of(found: np.ndarray | Mapping[str, np.ndarray]) -> tuple[OutputSpec, ...]:
    """The specs of outputs by name; none for one output without a name."""
    return tuple(_spec(name, one) for name, one in found.items()) if isinstance(found, Mapping) else ()


def by_row(found: np.ndarray | Mapping[str, np.ndarray]) -> Any:
    """Predictions, one a row: an array; of outputs by name, a dict of numbers and lists for each row."""
    if isinstance(found, Mapping):
        columns = [_items(one) for one in found.values()]
        return [dict(zip(found, row, strict=True)) for row in zip(*columns, strict=True)]
    return _items(found) if found.dtype == object else found


def _items(found: np.ndarray) -> list[Any]:
    return [np.asarray(one).tolist() for one in found] if found.dtype == object else found.tolist()


def _spec(name: str, found: np.ndarray) -> OutputSpec:
    if found.dtype != object:
        return OutputSpec(name, found.dtype.name, found.shape[1:])
    sizes = [set(size) for size in zip(*(one.shape for one in found), strict=True)]
    shape = tuple(size.pop() if len(size) == 1 else None for size in sizes)
    return OutputSpec(name, found[0].dtype.name if len(found) else "float32", shape)
