"""Export of recurrent layers for sequences of any length."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

#: The operators of `torch.nn.LSTM`, `GRU` and `RNN` for padded sequences.
OPERATORS = tuple(getattr(torch.ops.aten, name).input for name in ("lstm", "gru", "rnn_tanh", "rnn_relu"))


@contextmanager
def any_length() -> Iterator[None]:
    """Export recurrent layers within the block as operators of torch, for any length.

    torch.export finds the shape of their result by a loop over the steps of the example:
    it would fix the length.
    """
    kernels = [dict(one.py_kernels) for one in OPERATORS]
    try:
        for one in OPERATORS:
            one.py_kernels.update(dict.fromkeys(one.py_kernels, _shaped))
            one._dispatch_cache.clear()
        yield
    finally:
        for one, old in zip(OPERATORS, kernels, strict=True):
            one.py_kernels.update(old)
            one._dispatch_cache.clear()


def _shaped(x: Tensor, states: Tensor | Sequence[Tensor], *more: Any) -> tuple[Tensor, ...]:
    """Output and states, without values. `more` are the other arguments of ``aten.lstm.input``."""
    own = [states] if isinstance(states, Tensor) else states
    _weights, _has_biases, _layers, _dropout, _train, bidirectional, _batch_first = more
    output = x.new_empty((*x.shape[:-1], own[0].shape[-1] * (2 if bidirectional else 1)))
    return (output, *map(torch.empty_like, own))
