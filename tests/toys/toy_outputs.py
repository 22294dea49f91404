"""Networks whose forward gives more than one tensor, from the matrix of all features."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from toy_training import Scheduled


class SelfJudged(Scheduled):
    """An autoencoder: a code for each row, and the error of its reconstruction."""

    def __init__(self, n_features: int) -> None:
        super().__init__(n_features)
        self.encoder, self.decoder = nn.Linear(n_features, 2), nn.Linear(2, n_features)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = x.nan_to_num(0.0).clamp(-3, 3)
        code = self.encoder(x).tanh()
        return {"code": code, "error": ((self.decoder(code) - x) ** 2).mean(1)}

    def _loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return self(batch[0])["error"].mean()

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        self.log("val_loss", self._loss(batch), batch_size=len(batch[0]))


class Odd(Scheduled):
    """Gives something that is no answer."""

    def __init__(self, n_features: int, form: str) -> None:
        super().__init__(n_features)
        self.form = form

    def forward(self, x: Tensor) -> Any:
        found = super().forward(x.nan_to_num(0.0))
        if self.form == "drawn one":  # without the branches below, which fix the number of rows
            return torch.rand_like(found)
        if self.form == "beside one":
            return found.softmax(0)
        return {
            "one": found,
            "drawn": {"p": found, "q": torch.rand_like(found)},
            "beside": {"p": found, "q": found.softmax(0)},
            "scalar": {"p": found, "loss": found.mean()},
            "text": {"p": found, "name": "p"},
            "items": [{"p": one} for one in found],
            "strangers": [{"p": found[0]}, {"q": found[-1]}],
        }[self.form]


class Heads(Scheduled):
    """Yes or no, a class of three and a number, each from a head of its own."""

    def __init__(self, n_features: int) -> None:
        super().__init__(n_features)
        self.trunk = nn.Sequential(nn.Linear(n_features, 16), nn.ReLU())
        self.buys, self.plan, self.spent = nn.Linear(16, 1), nn.Linear(16, 3), nn.Linear(16, 1)

    def scores(self, x: Tensor) -> dict[str, Tensor]:
        found = self.trunk(x)
        return {
            "buys": self.buys(found).squeeze(-1),
            "plan": self.plan(found),
            "spent": self.spent(found).squeeze(-1),
        }

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        found = self.scores(x)
        return found | {"buys": found["buys"].sigmoid(), "plan": found["plan"].softmax(-1)}

    def _loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        found, (buys, plan, spent) = self.scores(batch[0]), batch[1].unbind(1)
        return (
            functional.binary_cross_entropy_with_logits(found["buys"], buys)
            + functional.cross_entropy(found["plan"], plan.long())
            + functional.mse_loss(found["spent"], spent)
        )

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        self.log("val_loss", self._loss(batch), batch_size=len(batch[0]))


class HeadsOfOtherForm(Heads):
    """A number as a column."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        found = super().forward(x)
        return found | {"spent": found["spent"].unsqueeze(-1)}


class HeadsWithoutPlan(Heads):
    """Lacks the output of a label."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {name: one for name, one in super().forward(x).items() if name != "plan"}
