"""Check before and after training that a network's answer for a row does not depend on the rows beside it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mlops_lib.errors import TrainingError

#: Differences that rounding makes.
RELATIVE, ABSOLUTE = 1e-3, 1e-5


def require_row_wise(
    name: str, network: Callable[..., Any], given: Sequence[Tensor], trained: bool = False
) -> None:
    """Compare a network's answers for a batch with those for each of its rows alone, of the same sizes.

    Lists, as detectors give them, are not compared, nor are inputs that a collate function gives another first dimension.

    Args:
        name: Of the network, for the error.
        network: In eval mode.
        given: Its inputs in order, each [rows, ...].
        trained: A part that mixes rows may have a weight of zero before the training. After it, rounding may be as large as
            `RELATIVE` of the largest answer.

    Raises:
        TrainingError: It fails for one row, or its answers differ: ``03_evaluate`` judges batches, and callers send single rows.
    """
    rows = len(given[0])
    if any(len(one) != rows for one in given):
        return
    with torch.inference_mode():
        together = _named(network(*given))
        for row in range(rows):
            try:
                alone = _named(network(*(one[row : row + 1] for one in given)))
            except Exception as error:  # a user's code may raise anything
                raise TrainingError(
                    f"{name}.forward takes {rows} rows, and fails for one alone: {type(error).__name__}: {error}. Callers may send "
                    "one row: name the dimension, as in squeeze(-1)."
                ) from error
            for output, one in together.items():
                largest = (
                    one.double().abs().nan_to_num(0, 0, 0).max().item() if trained and one.numel() else 0.0
                )
                absolute = max(ABSOLUTE, RELATIVE * largest)
                _require_same(name, output, row, one[row], alone[output], absolute)


def _named(answer: Any) -> Mapping[str, Tensor]:
    if isinstance(answer, Tensor):
        return {"": answer}
    return answer if isinstance(answer, Mapping) else {}


def _require_same(name: str, output: str, row: int, beside: Tensor, alone: Tensor, absolute: float) -> None:
    which = f" in {output!r}" if output else ""
    if alone.ndim != beside.ndim + 1 or len(alone) != 1:
        raise TrainingError(
            f"{name}.forward gives {list(alone.shape)}{which} for one row, and must give {[1, *beside.shape]}, as for several rows. "
            "Callers may send one row: name the dimension, as in squeeze(-1)."
        )
    is_as_long = alone.shape[1:] == beside.shape  # it may be as long as the longest sequence of its batch
    if is_as_long and not torch.allclose(
        alone[0].double(), beside.double(), RELATIVE, absolute, equal_nan=True
    ):
        raise TrainingError(
            f"{name}.forward gives another answer{which} for row {row} of the train split alone ({_shown(alone)}) than beside others "
            f"({_shown(beside)}). Callers who send one row would get other answers than 03_evaluate judges. Recurrent layers and "
            "attention need batch_first=True; batch normalisation needs track_running_stats; a mean over dimension 0 mixes rows."
        )


def _shown(answer: Tensor) -> str:
    return ", ".join(f"{one:.6g}" for one in answer.reshape(-1)[:4].tolist())
