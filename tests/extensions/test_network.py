"""A new network is one file and one line."""

import pytest

from mlops_lib import loaders, wrappers

NETWORK = """
import lightning.pytorch as pl
import torch
from torch import nn

class Slope(pl.LightningModule):
    def __init__(self, n_features):
        super().__init__()
        self.layers = nn.Sequential(nn.BatchNorm1d(n_features), nn.Linear(n_features, 1))

    def forward(self, x):
        return self.layers(x).squeeze(-1).sigmoid()

    def training_step(self, batch, _):
        return nn.functional.binary_cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, _):
        self.log("val_loss", nn.functional.binary_cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.05)
"""


@pytest.mark.slow
def test_a_toy_network_trains_for_an_epoch_and_predicts(stored, extend):
    """The lightning wrapper fits it by its name in the table and loads the logged graph."""
    extend("network", "slope", "Slope", NETWORK)
    stored.configure(model={"implementation": "slope", "params": {}}, train={"max_epochs": 1})
    settings = stored.settings()
    loaders.from_settings(settings).write(loaders.prepared_folder(settings))
    dataset = loaders.prepared(settings)
    result = wrappers.from_settings(settings).train(dataset, settings)
    predictions = wrappers.load(result.model_uri).predict(dataset.load("test").head(4))
    assert predictions.shape == (4,) and ((predictions > 0) & (predictions < 1)).all()
