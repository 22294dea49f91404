"""Sequences of different lengths, one a row, with the operations of a tensor that batches need."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch


class Ragged:
    """An array of arrays, one for each row.

    Args:
        items: Objects [rows], each an array [length, ...].
    """

    def __init__(self, items: np.ndarray) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, chosen: slice | torch.Tensor) -> "Ragged":
        return Ragged(self.items[chosen if isinstance(chosen, slice) else chosen.numpy()])

    def split(self, sizes: Sequence[int]) -> list["Ragged"]:
        """Parts of so many rows."""
        return [Ragged(part) for part in np.split(self.items, np.cumsum(sizes)[:-1])]

    def tensor_split(self, parts: int) -> list["Ragged"]:
        """Parts of as many rows, give or take one."""
        return [Ragged(part) for part in np.array_split(self.items, parts)]

    def clone(self) -> "Ragged":
        """A copy."""
        return Ragged(self.items.copy())


Column: TypeAlias = torch.Tensor | Ragged


def joined(parts: Sequence[Column]) -> Column:
    """The rows of all parts, in order."""
    if isinstance(parts[0], Ragged):
        return Ragged(np.concatenate([part.items for part in parts if isinstance(part, Ragged)]))
    return torch.cat([part for part in parts if isinstance(part, torch.Tensor)])
