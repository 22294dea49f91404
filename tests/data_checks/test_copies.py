"""Test rows that are copies of train rows are counted, and equal rows of few values are not taken for copies."""

import numpy as np
import pandas as pd
import pytest

from mlops_lib.data_checks import copies, profile

FEATURES = ["amount", "city", "tags"]


def rows(count):
    """Rows of amounts, names with gaps, and lists."""
    random = np.random.default_rng(count)
    return pd.DataFrame(
        {
            "amount": random.normal(size=count),
            "city": random.choice(["서울", "부산", None], count),
            "tags": [[int(one)] for one in random.integers(0, 5, count)],
            "y": random.choice([0, 1], count),
        }
    )


def with_copies(count):
    """A train split of 500 rows, and a test split of 100 rows and so many copies of train rows."""
    train = rows(500)
    return train, pd.concat([rows(100), train[:count]], ignore_index=True)


def test_copies_are_a_warning_of_the_profile():
    """With their number, gaps and lists included, and the remedies. A key tells whether two rows are of one entity."""
    train, test = with_copies(40)
    (said,) = profile.warnings(train, test, FEATURES, "y")
    assert said.startswith("40 of 140 test rows equal a train row in all features and labels")
    assert "set data.key" in said
    keyed = train.assign(id=range(500)), test.assign(id=range(500, 640))
    assert profile.warnings(*keyed, FEATURES, "y", "id") == []


def test_rows_without_copies_are_no_warning():
    """Nor are a few copies, another label, or an empty split."""
    train, test = with_copies(2)
    names = [*FEATURES, "y"]
    assert copies.warning(train, test, names) == ""
    assert copies.warning(train, train.assign(y=2), names) == ""
    assert copies.warning(train, test[:0], names) == copies.warning(train[:0], test, names) == ""


@pytest.mark.parametrize("columns", [1, 3])
def test_equal_rows_of_few_values_are_chance(columns):
    """A table of three values a column has equal rows in both splits, and none is a copy."""
    random = np.random.default_rng(0)
    table = pd.DataFrame({f"c{at}": random.integers(0, 3, 600) for at in range(columns)})
    assert copies.warning(table[:400], table[400:], list(table)) == ""


def test_equal_rows_of_dependent_columns_are_chance():
    """Each district has its own region, price and size: equal rows are many more than of independent columns."""
    random = np.random.default_rng(0)
    districts = pd.DataFrame(random.integers(0, 8, (60, 5)), columns=["region", "price", "size", "age", "y"])
    table = districts.iloc[random.integers(0, 60, 900)].assign(rooms=random.integers(1, 4, 900))
    train, test = table[:700], table[700:]
    assert copies.warning(train, test, list(table)) == ""
    amounts = table.assign(paid=random.normal(size=900))
    both = pd.concat([amounts[700:], amounts[:40]])
    assert copies.warning(amounts[:700], both, list(amounts)).startswith("40 of 240 test rows")


def test_copies_are_a_warning_once_for_all_labels():
    """Copies agree in each label; rows that differ in one of them are none."""
    train, test = (frame.assign(z=range(len(frame))) for frame in with_copies(60))
    test["z"] = [*range(1000, 1100), *range(40), *range(2000, 2020)]
    labels = ["y", "z"]
    said = [profile.warnings(train, test, FEATURES, label, labels=labels) for label in labels]
    assert [one for one in said[0] if "equal a train row" in one] == said[0][-1:] == said[1][-1:]
    assert said[0][-1].startswith("40 of 160 test rows")


def test_rows_that_are_in_the_source_twice_are_a_warning():
    """With their key: a copy of a file. Not rows of one key that differ in any column, nor a few."""
    train, test = with_copies(0)
    keyed = train.assign(id=[f"c{n}" for n in range(500)], at=range(500))
    twice = pd.concat([keyed, keyed], ignore_index=True)
    (said,) = profile.warnings(twice, test.assign(id="t", at=0), FEATURES, "y", "id")
    assert said.startswith(
        "500 of 1,000 train rows equal an earlier one, their id too: is a file in the source twice"
    )
    for fine in (
        twice.assign(at=range(1_000)),
        pd.concat([keyed, keyed[:100]], ignore_index=True),
        keyed[:0],
    ):
        assert copies.doubled(fine, "id") == []


def test_categories_of_test_that_train_writes_in_another_way_are_a_warning():
    """A model takes all of them for one unknown category; new ids and a few new values are usual."""
    train, test = with_copies(0)
    kinds = {"city": "category"}
    english = test.assign(city=test["city"].map({"서울": "Seoul", "부산": "Busan"}))
    (said,) = profile.warnings(train, english, FEATURES, "y", kinds=kinds)
    assert "test rows have a city that train lacks, such as" in said and ("Busan" in said or "Seoul" in said)
    few = test.assign(city=[*["Seoul"] * 20, *test["city"][20:]])
    assert profile.warnings(train, few, FEATURES, "y", kinds=kinds) == []
    ids = pd.Series([f"c{n}" for n in range(100)], name="id")
    assert (
        copies.unknown_values(ids, ids + "x") == copies.unknown_values(train["city"], test["city"][:0]) == []
    )
