"""A project with three versions of a quick classifier: 1 at Production, 2 at Staging, and 3, which was never judged."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from mlops_lib import config, loaders, wrappers
from mlops_lib.registry import ModelVersion, Registry, register_run
from mlops_lib.settings import Settings
from tests.support.promoting import promote


def rows(seed: int = 0, count: int = 900) -> pd.DataFrame:
    """Customers with several rows each; `bought` follows from the two features, with noise."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {"user_id": np.arange(count) // 3, "visits": rng.normal(size=count), "age": rng.normal(size=count)}
    )
    logit = 1.5 * table["visits"] - 1.0 * table["age"] + rng.normal(size=count)
    return table.assign(bought=np.where(logit > 0, "yes", "no"))


def make(folder: Path) -> Settings:
    """The project in a new folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rows().to_csv(folder / "rows.csv", index=False)
    content: dict[str, Any] = {
        "mlflow": {"tracking_uri": "sqlite:///mlflow.db", "experiment": "compared"},
        "data": {"source": "rows.csv", "label": "bought", "key": "user_id"},
        "model": {
            "name": "buyers",
            "wrapper": "sklearn",
            "implementation": "sklearn.linear_model:LogisticRegression",
        },
        "evaluation": {"threshold": 0.0, "gate": {"resamples": 300, "champion": False}},
        "serving": {"prediction_log": "log", "poll_s": 60.0, "retry_s": 0.2, "cache": "cache"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    settings = config.load(folder / "config.yaml")
    loaders.from_settings(settings).write(loaders.prepared_folder(settings))
    add_version(settings, {"C": 0.0001})  # nearly constant
    add_version(settings, {"C": 1.0})
    add_version(settings, {"C": 2.0}, evaluated=False)
    promote(Registry(settings), "buyers", 1, "Production")
    return settings


def add_version(settings: Settings, params: dict[str, Any], evaluated: bool = True) -> ModelVersion:
    """Train, judge and register a version on the prepared data."""
    changed = settings.model_copy(update={"model": settings.model.model_copy(update={"params": params})})
    dataset = loaders.prepared(changed)
    model = wrappers.from_settings(changed)
    run_id = model.train(dataset, changed).run_id
    if not evaluated:
        return Registry(settings).register(settings.model.name, run_id, {})
    model.evaluate(dataset, changed)
    return register_run(changed, run_id)
