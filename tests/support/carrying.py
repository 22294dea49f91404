"""A project whose estimator needs modules of its own, trained and registered in processes of its own."""

import os
import subprocess
import sys
from pathlib import Path

CONFIG = """
mlflow: {{tracking_uri: "sqlite:///{store}/mlflow.db", experiment: carrying}}
data: {{source: rows.csv, label: late, key: id}}
model: {{name: flights, wrapper: sklearn, implementation: "flightmodel:make"}}
evaluation: {{threshold: 0.0, baselines: []}}
"""
#: A module, which imports one beside it and a package with a submodule, relative imports and a file that it reads.
MODULES = {
    "flightmodel.py": """
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import make_pipeline
from xgboost import XGBClassifier

from helpers import FACTOR
from mymodel.lookups import offset


class Scale(TransformerMixin, BaseEstimator):
    def fit(self, rows, label=None):
        self.fitted_ = True
        return self

    def transform(self, rows):
        return np.asarray(rows, dtype=float)[:, :1] * FACTOR + offset()


class Constant(BaseEstimator):
    _estimator_type = "classifier"

    def fit(self, rows, label):
        self.classes_ = np.unique(label)
        self.inner_ = XGBClassifier(n_estimators=2).fit(rows, label == "yes")
        return self

    def predict_proba(self, rows):
        second = np.clip(rows[:, 0] / 1000, 0, 1)
        return np.column_stack([1 - second, second])


def make():
    return make_pipeline(Scale(), Constant())
""",
    "helpers.py": "FACTOR = 1.0\n",
    "unused.py": "raise RuntimeError('nobody imports this')\n",
    "mymodel/__init__.py": "",
    "mymodel/lookups.py": "from .deep.files import OFFSETS\n\n\ndef offset():\n    return OFFSETS['here']\n",
    "mymodel/deep/__init__.py": "",
    "mymodel/deep/files.py": """
import json
from pathlib import Path

OFFSETS = json.loads(Path(__file__).with_name("offsets.json").read_text())
""",
    "mymodel/deep/offsets.json": '{"here": 5}',
}
TRAIN = """
from mlops_lib import config, loaders, registry, wrappers
settings = config.load()
data = loaders.from_settings(settings)
data.write(loaders.prepared_folder(settings))
data = loaders.prepared(settings)
model = wrappers.from_settings(settings)
result = model.train(data, settings)
registry.Registry(settings).register("flights", result.run_id, {})
print(result.model_uri)
"""


def write(folder: Path, store: Path, modules: dict[str, str]) -> None:
    """A project with a table of 200 rows."""
    store.mkdir(parents=True, exist_ok=True)
    write_modules(folder, modules)
    (folder / "config.yaml").write_text(CONFIG.format(store=store))
    rows = [f"{number},{number % 100},{('no', 'yes')[number % 100 > 50]}" for number in range(200)]
    (folder / "rows.csv").write_text("\n".join(["id,delay,late", *rows]))


def write_modules(folder: Path, modules: dict[str, str]) -> Path:
    """Files with this content, by relative path."""
    for name, text in modules.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def python(
    script: str, folder: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a script in a folder."""
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def train(folder: Path) -> str:
    """Train, register, and return the model's address."""
    done = python(TRAIN, folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]
