"""A served classifier of customers: texts with few values, a date, booleans, gaps, names in Korean."""

from pathlib import Path

import yaml

from mlops_lib import config, loaders, wrappers
from mlops_lib.registry import Registry
from mlops_lib.settings import Settings
from tests.support.churn import KEY, LABEL, customers
from tests.support.promoting import promote


def make(folder: Path) -> Settings:
    """A project whose registry has the model `churn`, version 1, at Production."""
    folder.mkdir(parents=True)
    customers().to_csv(folder / "customers.csv", index=False)
    content = {
        "mlflow": {"tracking_uri": "sqlite:///mlflow.db", "experiment": "churn"},
        "data": {"source": "customers.csv", "label": LABEL, "key": KEY},
        "model": {"name": "churn", "wrapper": "lightning", "implementation": "tabular"},
        "train": {"max_epochs": 1},
        "evaluation": {"threshold": 0.0},
        "serving": {"poll_s": 0.3, "cache": "cache", "challenger": ""},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(content, allow_unicode=True))
    settings = config.load(folder / "config.yaml")
    run_id = wrappers.from_settings(settings).train(loaders.from_settings(settings), settings).run_id
    tags = {
        "mlops.metric": "roc_auc", "mlops.score": "0.77123456", "mlops.gate": "passed",
        "mlops.outcome": "not worse", "mlops.champion": f"1 {run_id}",
    }  # fmt: skip
    promote(settings, "churn", Registry(settings).register("churn", run_id, tags).version)
    return settings
