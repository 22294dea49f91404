"""The feature job: writes each customer's features to the Parquet file that Feast reads.

``python -m examples.repurchase.feature_job``, then ``mlops features apply`` and
``mlops features materialize``.
"""

from pathlib import Path

import pandas as pd

from examples.repurchase.features import CUTOFF, customer_features
from mlops_lib import config
from mlops_lib.cli import app
from mlops_lib.settings import Settings


def write_features(settings: Settings) -> Path:
    """Compute the features at the cutoff and write them to the file of the feature repository."""
    purchases = pd.read_parquet(settings.path(settings.data.source))
    rows = customer_features(purchases).assign(event_timestamp=CUTOFF.tz_localize("UTC"))
    file = settings.path(settings.data.feature_store.repo) / "data" / "customers.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(file, index=False)
    return file


if __name__ == "__main__":
    app.guarded(lambda: print(write_features(config.load())))
