"""Make a registry with a small network (`small`) and one of about 5 ms a row (`heavy`), both at Production.

python benchmarks/serving/make_model.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from mlops_lib import config, loaders, wrappers
from mlops_lib.registry import Decision, Registry

FEATURES = (
    "frequency",
    "recency_days",
    "tenure_days",
    "mean_amount",
    "total_amount",
    "quantity",
    "days_since_last",
)
HIDDEN = {"small": [64, 32], "heavy": [3600, 3600]}


def main() -> None:
    """Write FOLDER/<name>.yaml for each model, and the registry of both."""
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({name: rng.random(300) * 10 for name in FEATURES})
    rows["label"] = (rows["frequency"] > 5).astype(int)
    rows.to_parquet(folder / "rows.parquet")
    for name, hidden in HIDDEN.items():
        content = {
            "mlflow": {"tracking_uri": "sqlite:///mlflow.db", "experiment": "benchmark"},
            "data": {"source": "rows.parquet", "label": "label"},
            "model": {"name": name, "params": {"hidden": hidden, "members": 1, "pieces": 0}},
            "train": {"max_epochs": 1},
            "evaluation": {"threshold": 0.0},
            "serving": {"cache": "cache"},
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
        settings = config.load(folder / f"{name}.yaml")
        result = wrappers.from_settings(settings).train(loaders.from_settings(settings), settings)
        registry = Registry(settings)
        version = registry.register(name, result.run_id, {}).version
        registry.promote(name, version, "Production", Decision("forced", reason="a benchmark"))


if __name__ == "__main__":
    main()
