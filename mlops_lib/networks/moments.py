"""Mean, scale and quantiles of columns, batch by batch."""

import torch
from torch import Tensor

#: Rows that quantiles are taken of: the first ones of the shuffled batches.
MAX_ROWS = 50_000


class Moments:
    """Mean and standard deviation of columns, NaN left out."""

    def __init__(self) -> None:
        self.count = torch.zeros((), dtype=torch.long)
        self.total = torch.zeros((), dtype=torch.double)
        self.squares = torch.zeros((), dtype=torch.double)

    def add(self, batch: Tensor) -> None:
        """Take over the rows of a batch."""
        values = batch.double().nan_to_num(0.0)
        self.count = self.count + (~batch.isnan()).sum(0)
        self.total = self.total + values.sum(0)
        self.squares = self.squares + (values**2).sum(0)

    def mean_and_scale(self) -> tuple[Tensor, Tensor]:
        """A constant column gets scale 1, so that it becomes zero and nothing is divided by zero."""
        count = self.count.clamp(min=1)
        mean = self.total / count
        variance = (self.squares / count - mean**2).clamp(min=0)
        return mean, torch.where(variance > 1e-12, variance.sqrt(), torch.ones_like(variance))


class Sample:
    """The first rows, for quantiles."""

    def __init__(self) -> None:
        self.rows: list[Tensor] = []
        self.count = 0

    def add(self, batch: Tensor) -> None:
        """Keep the batch while there is room."""
        if self.count < MAX_ROWS:
            self.rows.append(batch)
            self.count += len(batch)

    def segments(self, pieces: int) -> tuple[Tensor, Tensor]:
        """Start and width of `pieces` parts with as many rows each, of each column;
        width infinite for an empty part."""
        found = torch.cat(self.rows).double()
        at = torch.linspace(0, 1, pieces + 1, dtype=torch.double)
        knots = found.nanquantile(at, dim=0).T.nan_to_num(0.0)
        width = knots.diff(dim=1)
        return knots[:, :-1], torch.where(width > 0, width, torch.full_like(width, torch.inf))
