"""Items of the platform and of a torch Dataset of the user's own, and batches of them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from mlops_lib.columns.encode import Encoder
from mlops_lib.errors import TrainingError
from mlops_lib.loaders.base import BaseDataLoader, Split
from mlops_lib.loaders.batches import Batch, Columns, Finish, finish_of, to_tensors
from mlops_lib.network_inputs.encode import InputEncoder
from mlops_lib.training.served_inputs import difference, expected, form, listed

if TYPE_CHECKING:
    import pandas as pd


class Rows(Dataset):
    """The items that the platform makes of rows: ``(inputs, y)``, or ``(inputs, y, weight)`` with ``data.weight``.

    Each access gives a copy: a dataset may change its items in place.

    Args:
        frame: The rows.
        data_loader, encoder: Decide columns and inputs.
        split: Of the rows.
    """

    def __init__(
        self,
        frame: "pd.DataFrame",
        data_loader: BaseDataLoader,
        encoder: Encoder | InputEncoder,
        split: Split,
    ) -> None:
        self._columns = to_tensors(frame, data_loader.schema, encoder, split)
        self._finish = finish_of(encoder)

    def __len__(self) -> int:
        return len(self._columns[0])

    def __getitem__(self, row: int) -> Batch:
        if not 0 <= row < len(self):
            raise IndexError(row)
        columns = tuple(one[row : row + 1] for one in self._columns)
        inputs, *others = self._finish(columns) if self._finish else columns
        if isinstance(inputs, dict):
            inputs = {name: one[0].clone() for name, one in inputs.items()}
        else:
            inputs = inputs[0].clone()
        return (inputs, *(one[0].clone() for one in others))


class Items(Finish):
    """Makes batches of the items of a dataset by their numbers.

    Args:
        dataset: Of the user's own.
        path: Its name in the settings.
        split: Of its items.
        encoder: Its inputs decide names and types.
        fields: Values of an item: inputs, y and perhaps weight.
    """

    def __init__(
        self, dataset: Any, path: str, split: Split, encoder: Encoder | InputEncoder, fields: int
    ) -> None:
        self.is_slow = True  # processes take turns, so that the batches do not depend on their number
        self._dataset, self.about, self._fields = dataset, f"train.dataset {path!r}", fields
        self._split, self._shapes = split, expected(encoder)
        is_matrix = not isinstance(encoder, InputEncoder) or encoder.inputs.is_one
        self._one = next(iter(self._shapes)) if is_matrix else ""
        self._y = torch.int64 if len(encoder.schema.classes) > 2 else torch.float32

    def __call__(self, columns: Columns) -> Batch:
        (numbers,) = columns
        inputs, (y, *weights) = self.collated(numbers.tolist())  # type: ignore[union-attr]
        others = (y.to(self._y), *(one.to(torch.float32) for one in weights))
        return (inputs[self._one] if self._one else inputs, *others)

    def collated(self, numbers: list[int]) -> tuple[dict[str, Tensor], list[Tensor]]:
        """The items of these numbers as one batch: the inputs by name, then y and perhaps weights.

        Raises:
            TrainingError: The dataset's code raises, or gives something else than the inputs of forward and labels.
        """
        collate = getattr(self._dataset, "collate_fn", None) or default_collate
        at, items = "", []
        try:
            for number in numbers:
                at = f"item {number}"
                items.append(self._dataset[number])
            at = at if len(items) == 1 else f"a batch of {len(items)} items"
            found = collate(items)
        except Exception as error:  # a user's code may raise anything
            unlike = "equal size" in str(error)
            hint = " Give it a method collate_fn that makes a batch of unlike items." if unlike else ""
            raise TrainingError(
                f"{self.about} fails in {at} of the {self._split} split: {type(error).__name__}: {error}.{hint}"
            ) from error
        if not isinstance(found, tuple | list) or len(found) != self._fields:
            weight = ", weight" if self._fields > 2 else ""
            values = f" of {len(found)} values" if isinstance(found, tuple | list) else ""
            raise self._wrong(f"{form(found)}{values}", f"items (inputs, y{weight})")
        inputs, *others = found
        if isinstance(inputs, Tensor) and self._one:
            inputs = {self._one: inputs}
        if not isinstance(inputs, Mapping) or set(inputs) != set(self._shapes):
            raise self._wrong(f"{form(inputs)} as inputs", listed(self._shapes))
        named = {name: _of_type(inputs[name], dtype) for name, (dtype, _) in self._shapes.items()}
        if wrong := difference(named, self._shapes):
            raise TrainingError(
                f"{self.about} gives {wrong} in the service, which makes it of the loader's columns."
            )
        for name, one in {**named, **dict(zip(("y", "weight"), others, strict=False))}.items():
            if not isinstance(one, Tensor) or not one.ndim or len(one) != len(numbers):
                raise self._wrong(
                    f"{name} as {form(one)} for {len(numbers)} items", "one value for each item"
                )
        return named, others

    def _wrong(self, found: str, wanted: str) -> TrainingError:
        return TrainingError(f"{self.about} gives {found}, and training needs {wanted}.")


def _of_type(value: Any, dtype: torch.dtype) -> Any:
    """Floats as float32 and integers as int64, where these are wanted: Python's floats become float64."""
    if isinstance(value, Tensor) and value.dtype != torch.bool and dtype in (torch.float32, torch.int64):
        return value.to(dtype) if value.is_floating_point() == dtype.is_floating_point else value
    return value
