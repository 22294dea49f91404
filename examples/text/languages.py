"""The network: a text is the mean of the vectors of its runs of letters (fastText, Joulin et al. 2016)."""

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import nll_loss


class Languages(pl.LightningModule):
    """Probability of each language.

    Args:
        inputs: What `forward` takes; has the number of ids of the tokenizer.
        n_classes: Number of languages.
    """

    def __init__(self, inputs: dict, n_classes: int, width: int = 32, dropout: float = 0.3) -> None:
        super().__init__()
        self.vectors = nn.Embedding(inputs["text"].codes, width)
        nn.init.normal_(self.vectors.weight, std=0.1)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, n_classes))

    def forward(self, text: Tensor, text_mask: Tensor) -> Tensor:
        """float32 [rows, languages] of ids, int64 [rows, longest], and bool of the same shape."""
        present = text_mask.unsqueeze(-1)
        mean = (self.vectors(text) * present).sum(1) / present.sum(1).clamp(min=1)
        return self.head(mean).softmax(-1)

    def training_step(self, batch, _) -> Tensor:
        inputs, language = batch
        return nll_loss(self(**inputs).clamp(min=1e-9).log(), language)

    def validation_step(self, batch, _) -> None:
        self.log("val_loss", self.training_step(batch, _), batch_size=len(batch[1]))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)
