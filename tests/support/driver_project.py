"""A project on the repository that `feast init` makes: drivers, hourly statistics, on-demand features, push sources."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from tests.support.projects import ROOT, Project

DRIVERS = (1001, 1002, 1003, 1004, 1005)
#: Hours before now at which labelled rows are; half of the rows are at 0, where online values are those of training.
HOURS = (0, 0, 0, 5, 30, 200)

CONFIG = """
mlflow: {{tracking_uri: sqlite:///mlflow.db, experiment: drivers}}
data:
  loader: feature_store
  source: labels.parquet
  label: satisfied
  feature_store: {{repo: drivers/feature_repo, service: {service}}}
model: {{name: drivers, wrapper: sklearn, implementation: "sklearn.ensemble:HistGradientBoostingClassifier"}}
evaluation: {{threshold: 0.0, baselines: []}}
serving: {{stage: Staging, features: {{timeout_s: 20}}}}
"""


def make_repo(folder: Path) -> Path:
    """What ``feast init drivers`` makes below `folder`, untouched; by its function, since this process has Feast imported."""
    from feast.repo_operations import init_repo

    init_repo("drivers", "local", str(folder / "drivers"))
    return folder / "drivers/feature_repo"


def labelled_rows(rows: int = 600) -> pd.DataFrame:
    """Drivers at some times, with the request's two columns and a label."""
    random = np.random.default_rng(0)
    now = datetime.now(UTC).replace(microsecond=0)
    hours = random.choice(HOURS, rows)
    made = pd.DataFrame(
        {
            "driver_id": random.choice(DRIVERS, rows),
            "event_timestamp": [now - timedelta(hours=int(hour)) for hour in hours],
            "val_to_add": random.integers(0, 1000, rows),
            "val_to_add_2": random.integers(0, 1000, rows),
        }
    )
    return made.assign(satisfied=(made["val_to_add"] > made["val_to_add_2"]).astype(int))


def make(folder: Path, service: str = "driver_activity_v1") -> Project:
    """A project in `folder` that learns from a service of the repository."""
    make_repo(folder)
    labelled_rows().to_parquet(folder / "labels.parquet")
    (folder / "config.yaml").write_text(CONFIG.format(service=service))
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns(".ipynb_*"))
    return Project(folder)
