"""A network behind one function of tensors in a fixed order, and a logged one opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..columns.part import BadValue
from . import outputs
from .encode import InputEncoder
from .spec import Inputs

#: File of a network in each format.
FILES = {"export": "network.pt2", "script": "network.ts", "pickle": "network.pt"}
#: Rows that go through a network at once.
BATCH_ROWS = 1_024


class NetworkCall(nn.Module):
    """Calls a network with its inputs in the order of `Inputs.specs`.

    Args:
        network: Takes them by name, in order or as one dict.
        inputs: Their names, and how it takes them.
        double: Its weights are float64: numbers are computed so, and the answer is float32.
    """

    def __init__(self, network: nn.Module, inputs: Inputs, double: bool = False) -> None:
        super().__init__()
        self.network, self.names, self.style, self.in_double = network, inputs.names, inputs.style, double

    def forward(self, *tensors: Tensor) -> Any:
        """The predictions: a tensor [rows, ...], a dict of such,
        or a list with a dict of tensors for each row."""
        if self.in_double:
            tensors = tuple(one.double() if one.is_floating_point() else one for one in tensors)
        if self.style == "positions":
            answer = self.network(*tensors)
        else:
            named = dict(zip(self.names, tensors))  # noqa: B905 - torch.export does not know zip's strict
            answer = self.network(named) if self.style == "batch" else self.network(**named)
        answer = outputs.named(answer)
        return outputs.in_single(answer) if self.in_double else answer


def load(folder: Path, inputs: Inputs) -> Callable[..., Any]:
    """The logged network in a folder, as a function of its tensors in order."""
    file = str(folder / FILES[inputs.format])
    if inputs.format == "export":
        return torch.export.load(file).module()
    if inputs.format == "script":
        return torch.jit.load(file, map_location="cpu").eval()
    network: Any = torch.load(file, weights_only=False, map_location="cpu")
    return NetworkCall(network.eval(), inputs, inputs.double)


def tensors_of(encoder: InputEncoder, prepared: Sequence[np.ndarray], extra: int = 0) -> tuple[Tensor, ...]:
    """The tensors of rows, in order."""
    return tuple(map(torch.from_numpy, encoder.padded(prepared, extra).values()))


def answers(
    call: Callable[..., Any],
    encoder: InputEncoder,
    prepared: Sequence[np.ndarray],
    most: int = BATCH_ROWS,
    extra: int = 0,
) -> np.ndarray | dict[str, np.ndarray]:
    """Predictions of all rows, at most `most` at once; of several outputs, by name.

    Args:
        extra: Padding more than the rows need.

    Raises:
        BadValue: An image cannot be decoded.
    """
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    with torch.inference_mode():
        for chosen in encoder.parts(prepared, encoder.most_rows(most)):
            try:
                given = tensors_of(encoder, [one[chosen] for one in prepared], extra)
            except BadValue as error:  # its row is one of this part
                raise BadValue(int(chosen[error.row]), error.column, error.value, error.wanted) from None
            for name, one in outputs.arrays(call(*given)).items():
                parts.setdefault(name, []).append((chosen, one))
    found = {name: outputs.joined(len(prepared[0]), some) for name, some in parts.items()}
    if not found:
        return np.empty(0, dtype=np.float32)
    return found.get(outputs.ONLY, found)  # type: ignore[return-value, arg-type]
