"""The profile and the figure of a dataset take columns and labels of every kind."""

import datetime as dt
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from mlops_lib.data_checks import profile
from mlops_lib.evaluation.figures import overview

N = 60
COLUMNS = {
    "emb": [[float(i), 2.0] for i in range(N)],
    "ragged": [[1.0] * (i % 3) for i in range(N)],
    "arr": [np.arange(3.0) + i for i in range(N)],
    "dict": [{"a": i} for i in range(N)],
    "bytes": [b"x%d" % i for i in range(N)],
    "dec": [Decimal(i) / 4 for i in range(N)],
    "date": [dt.date(2020, 1, 1 + i % 28) for i in range(N)],
    "time": [dt.time(i % 24) for i in range(N)],
    "ts": pd.date_range("2020", periods=N),
    "tz": pd.date_range("2020", periods=N, tz="UTC"),
    "td": pd.to_timedelta(range(N), unit="s"),
    "mixed": [i if i % 2 else f"t{i}" for i in range(N)],
    "none": [None] * N,
    "nan": [np.nan] * N,
    "inf": [np.inf if i % 5 == 0 else 1.0 * i for i in range(N)],
    "allinf": [np.inf] * N,
    "bool": [i % 2 == 0 for i in range(N)],
    "nbool": pd.array([True, None] * (N // 2), dtype="boolean"),
    "Int": pd.array([1, None] * (N // 2), dtype="Int64"),
    "cat": pd.Categorical(["a", "b"] * (N // 2)),
    "catint": pd.Categorical([1, 2] * (N // 2)),
    "string": pd.array(["a", None] * (N // 2), dtype="string"),
    "big": [2**62 + i for i in range(N)],
    "uint": np.arange(N, dtype="uint64") + 2**63,
    "cplx": [complex(i, 1) for i in range(N)],
    "set": [{1, 2}] * N,
    "tuple": [(1, 2)] * N,
    "longtext": ["x" * 10000] * N,
    "dollar": ["$a_b^{$"] * N,
    "some_none_list": [None if i % 2 else [1.0] for i in range(N)],
}
LABELS = {
    "yn": ["Yes", "No"] * (N // 2),
    "bool": [True, False] * (N // 2),
    "int": [0, 1] * (N // 2),
    "float": np.linspace(0, 1, N),
    "many": [f"c{i % 30}" for i in range(N)],
    "dec": [Decimal(i) for i in range(N)],
    "nbool": pd.array([True, False] * (N // 2), dtype="boolean"),
    "cat": pd.Categorical(["a", "b"] * (N // 2)),
    "str": pd.array(["a", "b"] * (N // 2), dtype="string"),
    "one": [1] * N,
}


@pytest.mark.parametrize("label", LABELS)
def test_columns_of_every_kind_are_profiled(label):
    """Lists, dictionaries, bytes, times, infinities, gaps: a line in the table, and no error or warning."""
    frame = pd.DataFrame({**COLUMNS, "y": LABELS[label]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = profile.table(frame, "y")
        assert list(table.index) == list(frame)
        assert table.loc[["emb", "arr", "ragged"], "type"].tolist() == ["array"] * 3
        for key in COLUMNS:
            profile.warnings(frame, frame, list(COLUMNS) if key == "emb" else [], "y", key)


@pytest.mark.parametrize("label", ["yn", "float", "nbool", "dec"])
def test_columns_of_every_kind_are_drawn(label):
    """The figure shows the mean of an array, and counts other values that have no order."""
    frame = pd.DataFrame({**COLUMNS, "y": LABELS[label]})
    names = list(COLUMNS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for first in range(0, len(names), overview.MAX_COLUMNS):
            overview.distributions(frame, "y", names[first : first + overview.MAX_COLUMNS])


def test_a_text_label_of_many_classes_is_separated_by_class():
    """A column that gives a class away is found whatever the spelling of the classes."""
    label = pd.Series([f"class {i % 30}" for i in range(600)])
    assert profile.separation((label == "class 7").astype(float), label) == 1.0
