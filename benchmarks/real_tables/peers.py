"""Scores of the peers, each with its defaults, on the splits of `tables.py`;
runs in the peers' own environment.

`python benchmarks/real_tables/peers.py FOLDER [table ...]` prints one JSON line a fit. The peers
have no early stopping by default and so no use for validation rows: they are fitted on the train and
the validation split together.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scores import score
from tables import SEEDS, TABLES, Table


def catboost(x: pd.DataFrame, y: Any, test: pd.DataFrame, task: str, seed: int) -> np.ndarray:
    """CatBoost with its defaults; dates as seconds, since it takes none."""
    from catboost import CatBoostClassifier, CatBoostRegressor

    def prepared(frame: pd.DataFrame) -> pd.DataFrame:
        columns = {}
        for name in frame:
            column = frame[name]
            if not pd.api.types.is_numeric_dtype(x[name]):
                dates = pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)
                is_date = x[name].astype(str).str.match(r"\d{4}-\d\d-\d\d").all()
                column = (
                    dates.astype("int64") // 10**9 if is_date else column.astype(object).fillna("missing")
                )
            columns[name] = column
        return pd.DataFrame(columns)

    x, test = prepared(x), prepared(test)
    texts = [name for name in x if not pd.api.types.is_numeric_dtype(x[name])]
    kind = CatBoostClassifier if task == "classification" else CatBoostRegressor
    model = kind(random_seed=seed, verbose=0, allow_writing_files=False, cat_features=texts, thread_count=2)
    model.fit(x, y)
    return model.predict_proba(test) if task == "classification" else model.predict(test)


def skrub(x: pd.DataFrame, y: Any, test: pd.DataFrame, task: str, seed: int) -> np.ndarray:
    """skrub's default pipeline around scikit-learn's histogram gradient boosting."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from skrub import tabular_pipeline

    kind = HistGradientBoostingClassifier if task == "classification" else HistGradientBoostingRegressor
    model = tabular_pipeline(kind(random_state=seed)).fit(x, y)
    return model.predict_proba(test) if task == "classification" else model.predict(test)


def rows(folder: Path, table: Table, seed: int, *parts: str) -> tuple[pd.DataFrame, pd.Series]:
    """Features and label of the splits `parts`."""
    frame = pd.concat([pd.read_csv(folder / str(seed) / f"{part}.csv") for part in parts], ignore_index=True)
    return frame.drop(columns=table.label), frame[table.label]


def main(folder: Path, names: list[str]) -> None:
    """Fit each peer on each table and seed, and print its score."""
    for name in names:
        table = TABLES[name]
        for seed in SEEDS:
            x, y = rows(folder / name, table, seed, "train", "validation")
            test, truth = rows(folder / name, table, seed, "test")
            for peer in (skrub, catboost):
                start = time.process_time()
                predicted = peer(x, y, test, table.task, seed)
                line = {"table": name, "seed": seed, "model": peer.__name__, "score": score(truth, predicted)}
                print(json.dumps(line | {"cpu_s": round(time.process_time() - start, 1)}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(TABLES))
