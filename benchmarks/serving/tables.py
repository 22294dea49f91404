"""Compare raw rows of a table with rows of numbers: one interleaved run, one row as JSON.

    python benchmarks/serving/tables.py /tmp/tables --rounds 3

The table has 20 columns: ten categories of text, eight numbers, a date and a boolean. Servers: `numbers` (this service, a
network on 20 numbers), `network` (the `tabular` network on the table), `auto` (the estimator `auto` on the table) and
`mlflow` (`mlflow models serve` with a ColumnTransformer and a gradient boosting of scikit-learn, on the table). FOLDER gets
the models on the first run.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

sys.path.insert(0, str(Path(__file__).parent))

from run import Server, compare, mlflow_serve, mlops, report  # beside this file

from mlops_lib import config, loaders, wrappers
from mlops_lib.registry import Decision, Registry

ROWS = 2_000
#: Wrapper, implementation and parameters of each model of this service.
MODELS = {
    "numbers": {"wrapper": "lightning", "params": {"hidden": [64, 32]}},
    "network": {"wrapper": "lightning", "implementation": "tabular"},
    "auto": {"wrapper": "sklearn", "implementation": "auto"},
}


def main() -> None:
    """Make the models that are missing, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument(
        "--only", default=",".join([*MODELS, "mlflow"]), help="names, with commas between them"
    )
    options = parser.parse_args()
    folder, only = options.folder.resolve(), options.only.split(",")
    folder.mkdir(parents=True, exist_ok=True)
    numbers, table = numbers_table(), mixed_table()
    frames = {name: numbers if name == "numbers" else table for name in MODELS}
    for name in MODELS:
        if name in only and not (folder / f"{name}.yaml").exists():
            make(folder, name, frames[name])
    if "mlflow" in only and not (folder / "mlflow.made").exists():
        make_pipeline(folder, table)
    rows = {name: frame.drop(columns="label").to_dict("records")[0] for name, frame in frames.items()}
    servers = [
        mlops(name, rows[name], MLOPS_CONFIG=str(folder / f"{name}.yaml")) for name in MODELS if name in only
    ]
    if "mlflow" in only:
        body = {"dataframe_records": [rows["auto"]]}
        servers.append(Server("mlflow", mlflow_serve("pipeline"), "/invocations", body, folder))
    with tempfile.TemporaryDirectory() as files:
        seen = compare(servers, folder, {}, Path(files), options.rounds, options.seconds, (1, 32))
    for name in ("network", "auto"):
        report(seen, name)


def numbers_table() -> pd.DataFrame:
    """Twenty numbers and a label."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({f"number {n}": rng.normal(size=ROWS).round(4) for n in range(20)})
    table["label"] = (table["number 0"] + rng.normal(size=ROWS) > 0).astype(int)
    return table


def mixed_table() -> pd.DataFrame:
    """Ten categories of 4 to 31 values, eight numbers, a date, a boolean, and a label."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            **{f"category {n}": rng.integers(0, 4 + 3 * n, ROWS) for n in range(10)},
            **{f"number {n}": rng.normal(size=ROWS).round(4) for n in range(8)},
        }
    )
    for n in range(10):
        table[f"category {n}"] = [f"value {value} of {n}" for value in table[f"category {n}"]]
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 1500, ROWS), unit="D")
    table["date"] = days.strftime("%Y-%m-%d")
    table["boolean"] = rng.random(ROWS) < 0.5
    known = table["category 0"].str.endswith("1 of 0") + table["number 0"]
    table["label"] = (known + rng.normal(size=ROWS) > 0.3).astype(int)
    return table


def make(folder: Path, name: str, frame: pd.DataFrame) -> None:
    """Train, register and promote a model of this service."""
    frame.to_parquet(folder / f"{name}.parquet")
    content = {
        "mlflow": {"tracking_uri": "sqlite:///mlflow.db", "experiment": "benchmark"},
        "data": {"source": f"{name}.parquet", "label": "label"},
        "model": {"name": name, **MODELS[name]},
        "train": {"max_epochs": 3},
        "evaluation": {"threshold": 0.0},
        "serving": {"cache": "cache"},
    }
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(content))
    settings = config.load(file)
    result = wrappers.from_settings(settings).train(loaders.from_settings(settings), settings)
    registry = Registry(settings)
    version = registry.register(name, result.run_id, {}).version
    registry.promote(name, version, "Production", Decision("forced", reason="a benchmark"))


def make_pipeline(folder: Path, frame: pd.DataFrame) -> None:
    """Log a pipeline of scikit-learn, as its documentation writes it for such a table, with MLflow alone."""
    import mlflow
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    features, label = frame.drop(columns="label"), frame["label"]
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False, max_categories=50)
    encode = make_column_transformer(
        (one_hot, make_column_selector(dtype_include=object)), remainder="passthrough"
    )
    pipeline = make_pipeline(encode, HistGradientBoostingClassifier(max_iter=100)).fit(features, label)
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.set_experiment("benchmark")
    with mlflow.start_run():
        mlflow.sklearn.log_model(
            pipeline,
            name="model",
            registered_model_name="pipeline",
            input_example=features.head(),
            pip_requirements=[],
            pyfunc_predict_fn="predict_proba",
            serialization_format="pickle",
        )
    (folder / "mlflow.made").touch()


if __name__ == "__main__":
    main()
