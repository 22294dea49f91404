"""The label must suit the task, and 01_get_data says so before a model is trained."""

import datetime as dt

import pandas as pd
import pytest

from mlops_lib import loaders
from mlops_lib.data_checks import declared
from mlops_lib.errors import DataError


@pytest.fixture
def write(stored):
    """Write a table, split by hash, whose label has some values; the rows of each split."""

    def written(values, task="classification", **evaluation):
        metric = {"classification": "accuracy", "regression": "r2", "multilabel": "micro_f1"}[task]
        stored.configure(
            data={"source": "label.parquet", "prepare": "", "label": "y", "key": "", "checks": {}},
            evaluation={"task": task, "metric": metric, "threshold": 0.1, "baselines": [], **evaluation},
        )
        frame = pd.DataFrame({"x": [i % 30 for i in range(len(values))], "y": values})
        frame.to_parquet(stored.root / "label.parquet")
        settings = stored.settings()
        return declared.write(settings, loaders.from_settings(settings), loaders.prepared_folder(settings))

    return written


@pytest.mark.parametrize("task", ["classification", "multilabel"])
def test_a_list_of_labels_is_an_error_with_the_columns_to_make(write, task):
    """Tags in one column: the error names column, row, value and the line of data.prepare, before a training."""
    values = [[], *[["cake", "tea"], ["tea"]] * 200]
    with pytest.raises(
        DataError,
        match=r"'y' holds lists.*\['(cake', ')?tea'\] in row \d.*rows\['(cake|tea)'\] = \[.*multilabel",
    ):
        write(values, task)


@pytest.mark.parametrize(
    "values",
    [
        [i * 1.25 for i in range(400)],
        list(range(400)),
        [i % 130 for i in range(400)],
        [float(i % 200) for i in range(400)],
        [-i for i in range(400)],
        [dt.datetime(2020, 1, 1) + dt.timedelta(days=i % 7) for i in range(400)],
        [f"a long remark of its own, number {i}, with words" for i in range(400)],
    ],
)
def test_an_amount_a_time_and_prose_are_no_classes(write, values):
    """A forgotten evaluation.task costs no training; the error names column, values and what to set."""
    with pytest.raises(DataError, match=r"'y'.* such as .*evaluation\.task: regression with a metric"):
        write(values)


@pytest.mark.parametrize(
    "values",
    [
        [i % 2 for i in range(400)],
        [i % 20 for i in range(400)],
        [100 + i % 30 for i in range(900)],
        [float(i % 3) for i in range(400)],
        ["yes", "no"] * 200,
        [True, False] * 200,
        [f"class {i % 40}" for i in range(2000)],
        [-1, 7] * 200,
    ],
)
def test_classes_of_any_kind_are_taken(write, values):
    """Text, booleans, and numbers that have rows enough."""
    assert sum(write(values).values()) == len(values)


def test_one_class_is_nothing_to_learn(write):
    """A label with one value is an error of the first step."""
    with pytest.raises(DataError, match=r"All rows of the train split are of class 'a' in column 'y'"):
        write(["a"] * 300)


def test_a_class_that_train_lacks_is_named(write):
    """One row of a class, in the test split alone; the user can choose to count it as wrong."""
    for position in range(300):  # until the row is in the validation or test split
        values = ["a", "b"] * 150
        values[position] = "d"
        try:
            write(values)
        except DataError as error:
            assert "'y' has classes in the" in str(error) and "'d' (rows: 1)" in str(error)
            assert sum(write(values, unknown_class="wrong").values()) == 300
            return
    pytest.fail("no row was outside the train split")


@pytest.mark.parametrize(
    "values", [["yes", "no"] * 200, [dt.datetime(2020, 1, 1 + i % 7) for i in range(400)]]
)
def test_a_regression_needs_numbers(write, values):
    """The other way round: a text or a time is nothing to regress on."""
    with pytest.raises(DataError, match=r"'y' holds .* such as .*evaluation\.task: classification"):
        write(values, task="regression")


def test_a_regression_of_texts_that_look_like_numbers_has_that_remedy(write):
    """Thousands with a comma are amounts, not classes."""
    with pytest.raises(
        DataError, match=r"'y' holds .* predicts numbers\. Store them as numbers in the source"
    ):
        write([f"{i},500" for i in range(1, 401)], task="regression")


@pytest.mark.parametrize("values", [[i * 1.25 for i in range(400)], list(range(400)), [0, 1] * 200])
def test_numbers_can_be_regressed_on(write, values):
    """Fractions, whole numbers, and zeros and ones."""
    assert sum(write(values, task="regression").values()) == 400


def test_a_table_without_a_feature_is_refused(stored):
    """Columns that tell nothing are left out; if none is left, the error says why for each."""
    stored.configure(data={"source": "t.csv", "prepare": "", "label": "y", "key": "", "checks": {}})
    pd.DataFrame({"id": range(400), "none": [None] * 400, "y": [0, 1] * 200}).to_csv(
        stored.root / "t.csv", index=False
    )
    settings = stored.settings()
    with pytest.raises(DataError, match=r"No column is left to learn from. id: .*none: .*data\.features"):
        declared.write(settings, loaders.from_settings(settings), loaders.prepared_folder(settings))
