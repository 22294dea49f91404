"""A small table, and models of known quality that are logged, registered, promoted and judged on it."""

import os
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

from mlops_lib import loaders, registry, tracking, wrappers
from mlops_lib.data_checks import declared
from mlops_lib.evaluation.report import EvaluationReport
from mlops_lib.registry.model_files import note_digest
from mlops_lib.settings import Settings
from mlops_lib.wrappers.interface import CLASSES_KEY
from tests.support.projects import Project
from tests.support.promoting import promote

NAME = "arena"
ROWS = 400
#: Processes and threads of a test see how often a model was asked.
ASKED = "ARENA_ASKED"


def table(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Two rows for each customer; the label is whether x is above a half, but for a tenth of the rows."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, rows).round(6)
    label = (x > 0.5) ^ (rng.random(rows) < 0.1)
    return pd.DataFrame(
        {
            "customer": np.arange(rows) // 2,
            "x": x,
            "plan": rng.choice(["basic", "gold"], rows, p=[0.7, 0.3]),
            "left": np.where(label, "yes", "no"),
        }
    )


class Scores(mlflow.pyfunc.PythonModel):
    """P(yes) is x, or 1 - x on a share of the rows.

    `at_load` and `at_predict`: what goes wrong then.
    """

    def __init__(self, wrong: float = 0.0, at_load: str = "", at_predict: str = "") -> None:
        self.wrong, self.at_load, self.at_predict = wrong, at_load, at_predict

    def load_context(self, context: Any) -> None:
        if self.at_load == "raise":
            raise RuntimeError("weights of another architecture")
        if self.at_load == "exit":
            raise SystemExit(3)

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        os.environ[ASKED] = str(int(os.environ.get(ASKED, "0")) + 1)
        x = model_input["x"].to_numpy(float)
        flipped = (x * 1e6).astype(int) % 1000 < 1000 * self.wrong
        found = np.where(flipped, 1 - x, x)
        if self.at_predict == "raise":
            raise KeyError("no such layer")
        if self.at_predict == "exit":
            raise SystemExit(4)
        if self.at_predict == "nan":
            found[3] = np.nan
        if self.at_predict == "few":
            return found[:-1]
        if self.at_predict == "numbers":
            return found * 100
        return found


class Arena:
    """A project with prepared rows, and an MLflow of its own."""

    def __init__(self, project: Project, rows: pd.DataFrame | None = None, **evaluation: Any) -> None:
        self.project = project.configure(
            data={"loader": "local", "source": "splits", "prepare": "", "label": "left", "key": "customer", "checks": {}},
            model={"name": NAME, "wrapper": "pyfunc", "implementation": "elsewhere", "params": {}},
            evaluation={"metric": "accuracy", "metrics": ["accuracy"], "threshold": 0.5, "baselines": [], **evaluation},
        )  # fmt: skip
        (project.root / "splits").mkdir()
        for split in ("train", "validation", "test"):
            found = table() if rows is None else rows
            found.to_csv(project.root / "splits" / f"{split}.csv", index=False)
        tracking.connect(self.settings)
        declared.write(self.settings, loaders.from_settings(self.settings), self.folder)

    @property
    def settings(self) -> Settings:
        return self.project.settings()

    @property
    def folder(self) -> Path:
        return loaders.prepared_folder(self.settings)

    def log(self, columns: tuple[str, ...] = ("x",), classes: tuple[str, ...] = (), **behaviour: Any) -> str:
        """Log a model; its run."""
        kinds = {"x": "double", "customer": "long"}
        schema = Schema([ColSpec(kinds.get(name, "string"), name) for name in columns])
        mlflow.set_experiment(self.settings.mlflow.experiment)
        with mlflow.start_run() as run:
            info = mlflow.pyfunc.log_model(
                name="model",
                python_model=Scores(**behaviour),
                signature=ModelSignature(schema, Schema([ColSpec("double")])),
                pip_requirements=[],
                metadata={CLASSES_KEY: list(classes)} if classes else None,
            )
        note_digest(run.info.run_id, Path(mlflow.artifacts.download_artifacts(info.model_uri)))
        return run.info.run_id

    def champion(self, run_id: str = "", **behaviour: Any) -> registry.ModelVersion:
        """A model at Production."""
        run_id = run_id or self.log(**behaviour)
        version = registry.Registry(self.settings).register(NAME, run_id, {})
        return promote(self.settings, NAME, version.version)

    def judge(self, run_id: str = "", dataset: Any = None, **behaviour: Any) -> EvaluationReport:
        """Judge a model as 03_evaluate does."""
        model = wrappers.load(wrappers.uri_of_run(run_id or self.log(**behaviour)))
        return model.evaluate(dataset or loaders.prepared(self.settings, self.folder), self.settings)
