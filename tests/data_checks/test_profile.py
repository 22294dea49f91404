"""The profile and the figure of a dataset take columns and labels of every kind."""

import datetime as dt
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from mlops_lib.data_checks import profile
from mlops_lib.data_checks.separation import scores
from mlops_lib.evaluation.figures import by_label

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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("label", ["yn", "float", "nbool", "dec"])
def test_columns_of_every_kind_are_drawn(label):
    """The figure shows the mean of an array, and counts other values that have no order."""
    frame = pd.DataFrame({**COLUMNS, "y": LABELS[label]})
    names = list(COLUMNS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for first in range(0, len(names), by_label.MAX_COLUMNS):
            by_label.distributions(frame, "y", names[first : first + by_label.MAX_COLUMNS])


def test_a_text_label_of_many_classes_is_separated_by_class():
    """A column that gives a class away is found whatever the spelling of the classes."""
    label = pd.Series([f"class {i % 30}" for i in range(600)])
    assert scores((label == "class 7").astype(float), label)["class 7"] == 1.0


RNG = np.random.default_rng(0)


@pytest.mark.parametrize("label", [np.arange(600) % 2, np.arange(600) % 3, RNG.normal(size=600)])
def test_a_random_column_does_not_tell_the_label(label):
    """Dates of every type have their order; a category of many values does not see its own label."""
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(RNG.integers(0, 250, 600), "D")
    frame = pd.DataFrame(
        {
            "date": days,
            "day": days.date,
            "text": days.strftime("%Y-%m-%d"),
            "many": [f"v{i}" for i in RNG.integers(0, 250, 600)],
            "number": RNG.integers(0, 250, 600),
            "one": "same",
            "y": label,
        }
    )
    found = profile.table(frame, "y", {"text": "datetime", "number": "category"}).iloc[:-1, -1]
    chance = 0.0 if "correlation" in found.name else 0.5
    assert found.between(chance, chance + 0.12).all(), found
    assert found[["date", "day"]].tolist() == [found["text"]] * 2


def test_a_column_that_cannot_be_scored_is_blank():
    """Free text and values that rarely repeat have NaN, never 0; distinct dates have a figure."""
    days = pd.Series(pd.date_range("2020", periods=N)).dt.strftime("%Y-%m-%d")
    frame = pd.DataFrame(
        {"date": days, "text": ["a b", "c d"] * (N // 2), "name": days + "x", "y": np.arange(N) >= N / 2}
    )
    found = profile.table(frame, "y", {"date": "datetime", "text": "text"}).iloc[:, -1]
    assert found["date"] == 1.0 and found[["text", "name", "y"]].isna().all()
    assert (
        len(
            profile.warnings(
                frame, frame.head(0), ["date", "text"], "y", kinds={"date": "datetime", "text": "text"}
            )
        )
        == 1
    )


def test_a_column_that_tells_one_class_of_several_is_no_leak():
    """The table has its best class; the warning needs all classes, whatever their order in the column."""
    kind = pd.Series(["Adelie", "Chinstrap", "Gentoo"] * 100)
    noise = RNG.normal(size=300)
    frame = pd.DataFrame(
        {
            "flipper": (kind == "Gentoo") * 20 + noise,
            "code": kind.map({"Adelie": 1, "Chinstrap": 2, "Gentoo": 0}),
            "amount": kind.map({"Adelie": 1, "Chinstrap": 2, "Gentoo": 0}) * 20 + noise,
            "word": kind.str.upper(),
            "y": kind,
        }
    )
    found = profile.table(frame, "y").iloc[:-1, -1]
    assert found.name == "alone tells one class from the rest (best ROC AUC)" and found.min() > 0.99
    said = profile.warnings(frame, frame.head(0), list(found.index), "y")
    assert [text.split()[0] for text in said] == ["code", "amount", "word"]
    assert "highest for" in said[0]


def drawn(label, **columns):
    """Axes by title, of one column of each kind."""
    frame = pd.DataFrame({**columns, "y": label})
    kinds = {"day": "datetime", "prose": "text"}
    figure = by_label.distributions(frame, "y", list(columns), kinds)
    return figure, {axes.get_title("left"): axes for axes in figure.axes if axes.get_title("left")}


@pytest.mark.parametrize("label", [np.arange(600) % 2, np.arange(600.0)])
def test_the_axes_of_the_figure_have_numbers_and_dates_have_years(label):
    """Every share starts at zero; a date is on a time axis; free text is left out, and named."""
    day = [str(dt.date(2020, 1, 1) + dt.timedelta(days=int(i))) for i in RNG.integers(0, 900, 600)]
    figure, axes = drawn(
        label, cat=["a", "b"] * 300, num=RNG.random(600), day=day, prose=["some words"] * 600
    )
    assert len(axes) == 3 and "Not drawn (free text or images): prose" in figure.get_suptitle()
    for one in axes.values():
        assert one.get_ylim()[0] <= 0 and any(text.get_text() for text in one.get_yticklabels())
    (dates,) = [one for title, one in axes.items() if title.startswith("day")]
    assert any("2021" in text.get_text() for text in dates.get_xticklabels())


@pytest.mark.parametrize("end", ["0001-01-01", "9999-12-31", "9999-12-31 23:59:59"])
@pytest.mark.parametrize("label", [np.arange(40) % 2, np.arange(40.0)])
def test_the_figure_takes_the_first_and_the_last_day_of_the_calendar(label, end):
    """Matplotlib's margin lay beyond them, where it has no dates: the notebook failed."""
    figure, _ = drawn(label, day=["2024-01-05" if i % 4 == 0 else end for i in range(40)])
    figure.draw_without_rendering()


def test_a_figure_says_how_many_features_and_classes_it_leaves_out():
    """Twelve features and five classes fit; the title counts the others, and is silent where there are none."""
    columns = {f"feature {i}": RNG.random(600) for i in range(14)}
    figure, axes = drawn(np.arange(600) % 8, **columns)
    assert len(axes) == 12 and len(figure.legends[0].get_texts()) == 5
    assert "The first 12 of 14 features\nThe first 5 of 8 values of y" in figure.get_suptitle()
    assert "The first" not in drawn(np.arange(600) % 5, num=RNG.random(600))[0].get_suptitle()


def test_a_figure_of_a_regression_has_the_mean_label_of_each_category():
    """Equal counts would hide that b has the larger amounts."""
    _, axes = drawn(np.tile([10.0, 30.0], 300) + np.arange(600) / 1000, cat=["a", "b"] * 300)
    assert np.allclose(axes["cat: mean y"].lines[0].get_ydata(), [10.3, 30.3], atol=0.1)


def test_few_numbers_of_a_regression_are_no_classes():
    """With the kind number, a label of five values is an amount: one correlation, and a mean by value in the figure."""
    label = np.arange(600) % 5
    frame = pd.DataFrame({"a": label * 2.0, "y": label})
    table = profile.table(frame, "y", {"a": "number", "y": "number"})
    assert table.loc["a", "alone orders the label (rank correlation)"] == pytest.approx(1.0)
    (warning,) = profile.warnings(frame, frame.head(0), ["a"], "y", kinds={"a": "number", "y": "number"})
    assert "classes" not in warning
    figure = by_label.distributions(frame, "y", ["a"], {"a": "number", "y": "number"})
    assert figure.axes[0].get_title(loc="left") == "a: mean y"
