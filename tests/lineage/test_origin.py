"""The origin of a prepared dataset, in the words of its loader."""

import datetime as dt
import sqlite3

import pandas as pd
import pytest

from mlops_lib.loaders.files import LocalDataLoader
from mlops_lib.loaders.origin import ORIGIN_FILE, read_origin, write_origin
from mlops_lib.loaders.sql import SQLDataLoader


@pytest.fixture
def rows() -> pd.DataFrame:
    return pd.DataFrame({"id": range(60), "x": range(60), "y": [0, 1] * 30})


def test_a_database_names_its_query_and_its_values(project, rows, tmp_path):
    """Also a date; the file can be read back."""
    with sqlite3.connect(tmp_path / "orders.db") as store:
        rows.to_sql("orders", store, index=False)
    query = "SELECT * FROM orders WHERE x >= :least AND :day > '2026' ORDER BY id"
    loader = SQLDataLoader(
        f"sqlite:///{tmp_path}/orders.db", query=query, params={"least": 5, "day": dt.date(2026, 1, 2)},
        label="y", key="id",
    )  # fmt: skip
    write_origin(project.settings(), loader, tmp_path, limit=7)
    found = read_origin(tmp_path / ORIGIN_FILE)
    assert found["source"] == {
        "database": f"sqlite:///{tmp_path}/orders.db", "query": query, "params": {"least": 5, "day": "2026-01-02"}, "rows": 55,
    }  # fmt: skip
    assert found["limit"] == 7 and found["source_fingerprint"] == loader.fingerprint()


def test_a_folder_names_its_files_and_changes_no_fingerprint(project, rows, tmp_path):
    """The origin is beside the rows that `write` leaves, and is no row."""
    (tmp_path / "source").mkdir()
    for name in ("a.csv", "b.csv"):
        rows.to_csv(tmp_path / "source" / name, index=False)
    loader = LocalDataLoader(tmp_path / "source", label="y")
    assert loader.origin == {
        "path": f"{tmp_path}/source", "files": ["source/a.csv", "source/b.csv"], "number_of_files": 2,
    }  # fmt: skip
    loader.write(tmp_path / "data")
    before = LocalDataLoader(tmp_path / "data", label="y").fingerprint()
    write_origin(project.settings(), loader, tmp_path / "data", limit=0)
    prepared = LocalDataLoader(tmp_path / "data", label="y")
    assert prepared.fingerprint() == before and prepared.origin["source"] == dict(loader.origin)
