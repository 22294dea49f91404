"""Training batches by a torch Dataset of the user's own."""

import inspect
from typing import Any

import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor
from torch.utils.data import IterableDataset

from mlops_lib import plugins
from mlops_lib.columns.encode import Encoder
from mlops_lib.errors import MlopsError, TrainingError
from mlops_lib.loaders.base import BaseDataLoader, Split
from mlops_lib.loaders.batches import EpochLoader, TensorBatches
from mlops_lib.network_inputs.encode import InputEncoder
from mlops_lib.settings import Settings
from mlops_lib.training.dataset_items import Items, Rows

SPLITS: tuple[Split, Split] = ("train", "validation")
#: Items of each split that are compared with the loader's rows before the training.
COMPARED = 32
#: Differences that rounding makes; other preprocessing makes larger ones.
RELATIVE, ABSOLUTE = 1e-4, 1e-6


def loaders(
    config: Settings, data_loader: BaseDataLoader, encoder: Encoder | InputEncoder, batch_size: int
) -> tuple[EpochLoader, EpochLoader]:
    """Shuffled training batches and validation batches of the dataset that ``train.dataset`` names.

    It is made for each split: its constructor has a parameter ``split``, and gets ``params`` and, if it has parameters of
    these names, ``rows`` (`Rows` of the split), ``loader``, ``encoder`` and ``seed``. Its item i is row i of the split.

    Raises:
        TrainingError: It cannot be made, or has more or fewer items than the split has rows.
    """
    train, validation = (
        EpochLoader(
            TensorBatches(
                (torch.arange(data_loader.count(split)),),
                batch_size,
                shuffle=split == "train",
                seed=config.train.seed,
                finish=_items(config, data_loader, encoder, split),
            ),
            config.train.num_workers or 0,
        )
        for split in SPLITS
    )
    return train, validation


def require_same_rows(
    config: Settings, data_loader: BaseDataLoader, encoder: Encoder | InputEncoder, *batches: EpochLoader
) -> None:
    """Compare some items of `loaders` with the loader's rows.

    Labels and weights must be equal; inputs too in the validation split, as the service will make them. Those of the train
    split may differ, as augmentation makes them.

    Raises:
        TrainingError: Some differ: names item, value and remedy.
    """
    with isolate_rng():
        for split, loader in zip(SPLITS, batches, strict=True):
            rows = Rows(data_loader.sample(split, COMPARED), data_loader, encoder, split)
            step = -(-data_loader.count(split) // COMPARED)  # as of `sample`
            own: Items = loader.dataset.finish  # type: ignore[attr-defined]
            for at in range(len(rows)):
                inputs, *others = rows[at]
                found, labels = own.collated([at * step])
                named = inputs if isinstance(inputs, dict) else dict.fromkeys(found, inputs)
                for name, one, wanted in zip(("label", "weight"), labels, others, strict=False):
                    if not _same(one[0], wanted):
                        raise TrainingError(
                            f"Item {at * step} of {own.about} for the {split} split has the {name} {_shown(one[0])}, and row "
                            f"{at * step} has {_shown(wanted)}. Item i must be row i, with its {name} as the platform encodes it: "
                            "rows[i] gives both."
                        )
                for name, wanted in named.items() if split == "validation" else ():
                    if not _same(found[name][0], wanted):
                        raise TrainingError(
                            f"Item {at * step} of {own.about} for the validation split has other values in {name!r} than the service "
                            f"makes of row {at * step}: {_shown(found[name][0])} instead of {_shown(wanted)}. The network would learn "
                            "from other inputs than it predicts from. Take the inputs of rows[i]; change those of the train split "
                            "alone; put preprocessing into forward, model.inputs, data.prepare or model.collate."
                        )
            own.collated(list(range(min(loader.dataset.batch_size, loader.dataset.rows))))  # type: ignore[attr-defined]
            if split == "validation":
                _require_rows_together(own, rows, step)


def _require_rows_together(own: Items, rows: Rows, step: int) -> None:
    """Check that a batch of items, each of which is its row, is made of these rows: a ``collate_fn`` may put them in another
    order, but not the inputs of one row beside the label of another.

    Raises:
        TrainingError: It is not: names place and values.
    """
    wanted = [rows[at] for at in range(len(rows))]
    found, labels = own.collated([at * step for at in range(len(rows))])
    for at in range(len(rows)):
        inputs = {name: one[at] for name, one in found.items()}
        others = [one[at] for one in labels]
        if not any(_is_row(inputs, others, *row) for row in wanted):
            shown = "  ".join(f"{name} {_shown(one)}" for name, one in inputs.items())
            raise TrainingError(
                f"{own.about} makes a batch of {len(rows)} items of the validation split whose place {at} is none of its rows: "
                f"{shown}, with {' and '.join(map(_shown, others))}. Each item alone is its row, so collate_fn mixes rows, or pads "
                "them unlike the service, which adds zeros at the end. Keep inputs and label of a row at one place."
            )


def _is_row(inputs: dict[str, Tensor], others: list[Tensor], wanted: Any, *more: Tensor) -> bool:
    """Whether inputs, label and weight are those of a row."""
    named = wanted if isinstance(wanted, dict) else dict.fromkeys(inputs, wanted)
    pairs = [*zip(others, more, strict=True), *((inputs[name], one) for name, one in named.items())]
    return all(_same(one, other) for one, other in pairs)


def _items(
    config: Settings, data_loader: BaseDataLoader, encoder: Encoder | InputEncoder, split: Split
) -> Items:
    path, params = config.train.dataset["class"], config.train.dataset["params"]
    kind = plugins.load("dataset", path)
    try:
        accepted = inspect.signature(kind).parameters
        if "split" not in accepted:
            raise TypeError(f"it has no parameter split, and takes {', '.join(accepted) or 'none'}")
        known: dict[str, Any] = {
            "split": split,
            "loader": data_loader,
            "encoder": encoder,
            "seed": config.train.seed,
        }
        if "rows" in accepted:
            known["rows"] = Rows(data_loader.load(split), data_loader, encoder, split)
        made = kind(**{name: one for name, one in known.items() if name in accepted} | params)
        if isinstance(made, IterableDataset) or not hasattr(made, "__getitem__"):
            raise TypeError(f"it makes a {type(made).__name__}, which has no items by number")
        count = len(made)
    except MlopsError:
        raise
    except Exception as error:  # a user's code may raise anything
        raise TrainingError(
            f"train.dataset {path!r} cannot be made for the {split} split: {type(error).__name__}: {error}."
        ) from error
    if count != (rows := data_loader.count(split)):
        raise TrainingError(
            f"train.dataset {path!r} has {count} items for the {split} split, which has {rows} rows. Item i must be row i. Leave "
            "rows out in data.prepare; for other items than rows, such as several of one row, set train.datamodule."
        )
    return Items(made, path, split, encoder, 3 if data_loader.schema.weight else 2)


def _same(found: Tensor, wanted: Tensor) -> bool:
    """Whether two values are equal, but for zeros after a sequence."""
    if found.ndim != wanted.ndim:
        return False
    shape = [max(sizes) for sizes in zip(found.shape, wanted.shape, strict=True)]
    padded = []
    for one in (found, wanted):
        padded.append(torch.zeros(shape, dtype=torch.float64))
        padded[-1][tuple(map(slice, one.shape))] = one.detach().double()
    return torch.allclose(*padded, RELATIVE, ABSOLUTE, equal_nan=True)


def _shown(value: Tensor) -> str:
    """A number; of more values their shape and the first."""
    flat = value.detach().reshape(-1)
    first = ", ".join(f"{one:.6g}" for one in flat[:4].tolist())
    return first if not value.ndim else f"{list(value.shape)} of {first}{', ...' if len(flat) > 4 else ''}"
