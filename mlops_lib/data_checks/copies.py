"""Rows that are copies of other rows, and categories of the test split that the train split lacks."""

from typing import TYPE_CHECKING

import numpy as np

from mlops_lib.data_checks.separation import comparable

if TYPE_CHECKING:
    import pandas as pd

#: Fewest copies, and their least share of the test rows, that are worth a warning.
MIN_COPIES, MIN_SHARE = 5, 0.01
#: Least share of the rows that are a warning: copies with the key, and test rows of categories that train lacks.
MIN_DOUBLED, MIN_UNKNOWN = 0.3, 0.5
#: Rows of an average category of train, from which a new one in test is no matter of course.
ROWS_A_CATEGORY = 5
#: A table of few values has equal rows by chance. So many times as many as that are a warning.
TIMES_OF_CHANCE = 3


def warning(train: "pd.DataFrame", test: "pd.DataFrame", columns: list[str]) -> str:
    """What a person should know about test rows that equal a train row in all of `columns`; "" for no more than by chance.

    Only a row with a value that no different row has, such as an amount, tells copies from rows that happen to be equal:
    a table of a few values has such rows, above all if its columns depend on each other. The number by chance is that of
    independent columns. Rows with a key need no such look: the key tells whether two rows are of one entity.
    """
    if not len(train) or not len(test):
        return ""
    codes = np.stack([_codes(train[name], test[name]) for name in columns])
    of_train, of_test = codes[:, : len(train)], codes[:, len(train) :]
    rows = [row.tobytes() for row in np.ascontiguousarray(codes.T)]
    known, telling = set(rows[: len(train)]), _telling(rows)
    equal = [row for row in rows[len(train) :] if row in known]
    copies = sum(row in telling for row in equal)
    if copies < max(MIN_COPIES, MIN_SHARE * len(test)):
        return ""
    share = np.full(len(test), float(len(train)))
    for train_codes, test_codes in zip(of_train, of_test, strict=True):
        counts = np.bincount(train_codes, minlength=int(test_codes.max()) + 1)
        share *= counts[test_codes] / len(train)
    if copies <= TIMES_OF_CHANCE * np.minimum(share, 1.0).sum():
        return ""
    return (
        f"{len(equal):,} of {len(test):,} test rows equal a train row in all features and labels. If such rows are of one "
        "entity, scores of new entities are lower than the test score: set data.key to a column that tells entities apart, or "
        "leave one of the equal rows in the source."
    )


def doubled(train: "pd.DataFrame", key: str) -> list[str]:
    """What a person should know about rows that equal an earlier row in every column, the key among them."""
    if not len(train):
        return []
    codes = np.stack([_codes(train[name], train[name].iloc[:0]) for name in train.columns])
    copies = len(train) - len({row.tobytes() for row in np.ascontiguousarray(codes.T)})
    if copies < max(MIN_COPIES, MIN_DOUBLED * len(train)):
        return []
    return [
        (
            f"{copies:,} of {len(train):,} train rows equal an earlier one, their {key} too: is a file in the source twice, as a "
            "copy or in another format?"
        )
    ]


def unknown_values(train: "pd.Series", test: "pd.Series") -> list[str]:
    """What a person should know about a category of few values whose test rows mostly have others."""
    known, values = comparable(train.dropna()), comparable(test.dropna())
    if not len(values) or known.nunique() * ROWS_A_CATEGORY > len(known):
        return []
    new = values[~values.isin(known.unique())]
    if len(new) < max(MIN_COPIES, MIN_UNKNOWN * len(values)):
        return []
    return [
        (
            f"{len(new):,} of {len(values):,} test rows have a {train.name} that train lacks, such as {new.iloc[0]!r} beside {known.iloc[0]!r}: "
            "a model takes them for one unknown category. Are they written in another way?"
        )
    ]


def _telling(rows: list[bytes]) -> set[bytes]:
    """The rows that have, in any column, a value which no different row has."""
    different = list(dict.fromkeys(rows))
    codes = np.frombuffer(b"".join(different), np.int64).reshape(len(different), -1)
    is_own = np.zeros(len(different), dtype=bool)
    for column in codes.T:
        is_own |= np.bincount(column)[column] == 1
    return {different[at] for at in np.flatnonzero(is_own)}


def _codes(train: "pd.Series", test: "pd.Series") -> np.ndarray:
    """Numbers of the values, the same for equal ones; 0 for missing ones."""
    import pandas as pd

    both = comparable(pd.concat([train, test], ignore_index=True))
    return np.asarray(pd.factorize(both)[0] + 1, dtype=np.int64)
