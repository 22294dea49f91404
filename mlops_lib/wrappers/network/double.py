"""A network that computes in float64, so that a row's float32 prediction does not
depend on the rows beside it.

Matrix products of other sizes add in another order. In float32 that changes the last bit of about one row in
ten; in float64 the change is below what a float32 result can show.
"""

import copy
import warnings

import torch
from torch import Tensor, nn

#: Parameters of the largest network for it: float64 halves the speed of a large one and doubles its memory.
MAX_PARAMETERS = 1_000_000
#: Values of the largest images for it, such as 3 x 104 x 104:
#: a convolution of float64 takes 5 to 15 times as long.
MAX_IMAGE_VALUES = 1 << 15


class InDouble(nn.Module):
    """Float32 in and out, float64 between."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.double()).float()


def in_double(network: nn.Module, example: Tensor) -> nn.Module:
    """`network` in float64; `network` itself if it is large, or if its code works in float32 alone."""
    if sum(parameter.numel() for parameter in network.parameters()) > MAX_PARAMETERS:
        return network
    double = InDouble(copy.deepcopy(network).double()).eval()
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted, found = network(example), double(example)
            torch.export.export(double, (example,), dynamic_shapes=[{0: torch.export.Dim.AUTO}])
        same = torch.allclose(wanted, found, rtol=1e-3, atol=1e-4, equal_nan=True)
    except Exception:  # the code of a user's network may raise anything
        return network
    return double if same else network
