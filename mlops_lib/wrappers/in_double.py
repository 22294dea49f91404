"""A network that gives a row the same bits alone and in a batch.

A matrix product in float32 rounds differently for batches of different sizes. Computed in float64 and rounded to float32 at
the end, the differences vanish, so that the service repeats the predictions of the evaluation.
"""

import logging
from collections.abc import Callable
from typing import Any

import torch

log = logging.getLogger(__name__)

#: A network with more parameters stays in float32: the cost would show, and its last bits may depend on the batch.
MAX_PARAMETERS = 1_000_000


class InDouble(torch.nn.Module):
    """Computes in float64: float32 in, float32 out."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predictions of the module for x, float32 [rows, features]."""
        return self.module(x.double()).float()


def in_double(module: torch.nn.Module, x: torch.Tensor, trace: Callable[[Any], Any]) -> torch.nn.Module:
    """`module` in float64; `module` as it was if it is large, or does not compute the same in float64.

    Args:
        module: A trained network in evaluation mode; its parameters become float64.
        x: float32 [rows, features].
        trace: Exports a module, or raises an exception.
    """
    if sum(parameter.numel() for parameter in module.parameters()) > MAX_PARAMETERS:
        return module
    with torch.inference_mode():
        wanted = module(x)
    try:
        made = InDouble(module.double()).eval()
        trace(made)
        with torch.inference_mode():
            torch.testing.assert_close(made(x), wanted, rtol=1e-3, atol=1e-4, equal_nan=True)
    except Exception as error:  # a module's own code may raise anything
        log.info("the network stays in float32: %s", error)
        return module.float()
    return made
