"""Compare two checkouts of this repository on each kind of model: one interleaved run, one row of numbers as JSON.

    git clone . /tmp/before && git -C /tmp/before checkout COMMIT
    python benchmarks/serving/kinds.py /tmp/kinds --beside /tmp/before --rounds 3

Kinds: `network` (of the platform), `estimator` (a gradient boosting of scikit-learn, by the platform's wrapper), `auto` (the
estimator of that name), and, logged with MLflow alone, `xgboost`, `pytorch` (a pickle) and `pyfunc`. `plain` is FastAPI by
hand with the network. FOLDER gets the models on the first run. A server and the processes that it starts share core 0; see
`run`. It prints the median at one connection, and requests/s with more, of both checkouts.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

sys.path.insert(0, str(Path(__file__).parent))

from make_model import FEATURES  # beside this file
from run import CONCURRENCIES, ROW, Server, compare, medians, mlops, pt2_of, uvicorn

from mlops_lib import config, loaders, wrappers
from mlops_lib.registry import Decision, Registry

#: Kinds that the platform trains.
TRAINED = {
    "network": {"wrapper": "lightning", "params": {"hidden": [64, 32], "members": 1, "pieces": 0}},
    "estimator": {
        "wrapper": "sklearn",
        "implementation": "sklearn.ensemble:HistGradientBoostingClassifier",
    },
    "auto": {"wrapper": "sklearn", "implementation": "auto"},
}
KINDS = (*TRAINED, "xgboost", "pytorch", "pyfunc")
PYFUNC = """
import mlflow, numpy as np

class Model(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input.to_numpy(dtype=float).sum(axis=1)

mlflow.models.set_model(Model())
"""


def main() -> None:
    """Make the models that are missing, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--beside", type=Path, help="another checkout of this repository, to compare with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--only", default=",".join(KINDS), help="kinds, with commas between them")
    options = parser.parse_args()
    folder, kinds = options.folder.resolve(), options.only.split(",")
    folder.mkdir(parents=True, exist_ok=True)
    rows = table()
    for kind in dict.fromkeys(["network", *kinds]):  # `plain` has the network
        if not (folder / f"{kind}.made").exists():
            make(folder, kind, rows)
            (folder / f"{kind}.made").touch()
    servers = [Server("plain", uvicorn("plain:app"))]
    for kind in kinds:
        name = {"MLOPS_CONFIG": str(folder / f"{kind}.yaml")}
        servers.append(mlops(kind, ROW, **name))
        if options.beside:
            servers.append(mlops(f"{kind} before", ROW, options.beside.resolve(), **name))
    environment = {"FEATURES": ",".join(FEATURES), "MODEL": pt2_of(folder, "network")}
    with tempfile.TemporaryDirectory() as files:
        seen = compare(servers, folder, environment, Path(files), options.rounds, options.seconds)
    report(seen, kinds)


def table() -> pd.DataFrame:
    """Numbers, and a label of two classes."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({name: rng.random(1000) * 10 for name in FEATURES})
    rows["label"] = (rows["frequency"] + rng.normal(size=1000) > 5).astype(int)
    return rows


def make(folder: Path, kind: str, rows: pd.DataFrame) -> None:
    """Train or log, register and promote a model."""
    rows.to_parquet(folder / "rows.parquet")
    content = {
        "mlflow": {"tracking_uri": "sqlite:///mlflow.db", "experiment": "benchmark"},
        "data": {"source": "rows.parquet", "label": "label"},
        "model": {"name": kind, **TRAINED.get(kind, {})},
        "train": {"max_epochs": 1},
        "evaluation": {"threshold": 0.0},
        "serving": {"cache": "cache", "poll_s": 120.0},
    }
    file = folder / f"{kind}.yaml"
    file.write_text(yaml.safe_dump(content))
    settings = config.load(file)
    registry = Registry(settings)
    if kind in TRAINED:
        result = wrappers.from_settings(settings).train(loaders.from_settings(settings), settings)
        registry.register(kind, result.run_id, {})
    else:
        log(folder, kind, rows)
    registry.promote(kind, 1, "Production", Decision("forced", reason="a benchmark"))


def log(folder: Path, kind: str, rows: pd.DataFrame) -> None:
    """Log a model with MLflow alone."""
    import mlflow
    import torch
    import xgboost
    from mlflow.models import infer_signature

    example = rows[list(FEATURES)].head()
    named = {"name": "model", "registered_model_name": kind, "pip_requirements": []}
    named |= {"signature": infer_signature(example, np.zeros(len(example), dtype=np.float32))}
    mlflow.set_experiment("benchmark")
    with mlflow.start_run():
        if kind == "xgboost":
            model = xgboost.XGBClassifier(n_estimators=50, n_jobs=1).fit(rows[list(FEATURES)], rows["label"])
            mlflow.xgboost.log_model(model, input_example=example, **named)
        elif kind == "pytorch":
            layers = torch.nn.Sequential(
                torch.nn.Linear(len(FEATURES), 64), torch.nn.ReLU(), torch.nn.Linear(64, 1)
            )
            mlflow.pytorch.log_model(layers, serialization_format="pickle", **named)
        else:
            source = folder / "model.py"
            source.write_text(PYFUNC)
            mlflow.pyfunc.log_model(python_model=str(source), **named)


def report(seen: dict, kinds: Sequence[str]) -> None:
    """Print a line for each kind: the figures of this checkout, of the other, and their difference."""
    middle = medians(seen)
    more = [c for c in CONCURRENCIES if c > 1]
    print(f"{'':12}{'c=1: us':>9}{'before':>9}{'more':>8}" + "".join(
        f"{f'c={c}: req/s':>16}{'before':>9}{'change':>9}" for c in more) + f"{'cpu us at c=1, before':>24}")  # fmt: skip
    for kind in ("plain", *kinds):
        if (kind, 1) not in middle:
            continue
        old = kind if kind == "plain" else f"{kind} before"
        now, before = middle[kind, 1], middle.get((old, 1))
        line = f"{kind:12}{now.median_ms * 1e3:9.0f}"
        line += (
            f"{before.median_ms * 1e3:9.0f}{(now.median_ms - before.median_ms) * 1e3:+8.0f}" if before else ""
        )
        for c in more:
            rate, was = middle[kind, c].rate, middle.get((old, c))
            line += f"{rate:16.0f}" + (f"{was.rate:9.0f}{rate / was.rate - 1:+9.0%}" if was else "")
        line += f"{now.cpu_us:16.0f}" + (f"{before.cpu_us:8.0f}" if before else "")
        print(line)
    for (name, c), rounds in seen.items():
        if failed := sum(figures.failures for figures in rounds):
            print(f"{name} at c={c}: {failed} answers were not 2xx")


if __name__ == "__main__":
    main()
