"""Scores of the platform's two defaults on the splits of `tables.py`, through loader, encoder,
wrapper and MLflow.

`python benchmarks/real_tables/ours.py FOLDER [table ...]` prints one JSON line a fit, as `peers.py` does.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scores import score
from tables import SEEDS, TABLES, Table

from mlops_lib import config, loaders, wrappers

MODELS = {"auto": ("sklearn", "auto"), "network": ("lightning", "tabular")}


def settings_of(
    folder: Path, table: Table, seed: int, wrapper: str, implementation: str, project: Path
) -> Any:
    """Settings of a project whose source is the folder of ready-made splits."""
    file = project / "config.yaml"
    values = {
        "mlflow": {"tracking_uri": "sqlite:///mlflow.db", "experiment": "tables"},
        "data": {"source": str(folder.resolve()), "label": table.label},
        "model": {"name": "table", "wrapper": wrapper, "implementation": implementation},
        "train": {"seed": seed},
        "evaluation": {
            "task": table.task,
            "metric": "roc_auc" if table.task == "classification" else "r2",
            "threshold": 0.0,
            "baselines": [],
        },
    }
    file.write_text(json.dumps(values), encoding="utf-8")  # JSON is YAML
    return config.load(file)


def fit(folder: Path, table: Table, seed: int, name: str) -> dict[str, Any]:
    """Train one default on one split, and score it on the test rows."""
    with tempfile.TemporaryDirectory() as project:
        settings = settings_of(folder, table, seed, *MODELS[name], Path(project))
        loaders.from_settings(settings).write(loaders.prepared_folder(settings))
        dataset = loaders.prepared(settings)
        model = wrappers.from_settings(settings)
        start = time.process_time()
        model.train(dataset, settings)
        took = time.process_time() - start
        rows = dataset.load("test")
        predicted = np.asarray(model.predict(rows))
        if len(model.classes) == 2:
            predicted = np.stack([1 - predicted, predicted], axis=1)
        return {"score": score(rows[table.label].to_numpy(), predicted), "cpu_s": round(took, 1)}


def main(folder: Path, names: list[str]) -> None:
    """Fit both defaults on each table and seed."""
    for table in names:
        for seed in SEEDS:
            for model in MODELS:
                found = fit(folder / table / str(seed), TABLES[table], seed, model)
                print(
                    "RESULT", json.dumps({"table": table, "seed": seed, "model": model} | found), flush=True
                )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(TABLES))
