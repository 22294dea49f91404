"""Networks whose forward gives more than one tensor, from the matrix of all features."""

from typing import Any

from torch import Tensor, nn
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
        return {
            "one": found,
            "scalar": {"p": found, "loss": found.mean()},
            "text": {"p": found, "name": "p"},
            "items": [{"p": one} for one in found],
            "strangers": [{"p": found[0]}, {"q": found[1]}],
        }[self.form]
