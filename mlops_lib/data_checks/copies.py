"""Rows of the test split that are copies of rows of the train split."""

from typing import TYPE_CHECKING

import numpy as np

from mlops_lib.data_checks.separation import comparable

if TYPE_CHECKING:
    import pandas as pd

#: Fewest copies, and their least share of the test rows, that are worth a warning.
MIN_COPIES, MIN_SHARE = 5, 0.01
#: A table of few values has equal rows by chance. So many times as many as that are a warning.
TIMES_OF_CHANCE = 3


def warning(train: "pd.DataFrame", test: "pd.DataFrame", columns: list[str]) -> str:
    """What a person should know about test rows that equal a train row in all of `columns`; "" for no more than by chance.

    The number by chance is that of columns that are independent of each other. Rows with a key need no such look: the
    key tells whether two rows are of one entity.
    """
    if not len(train) or not len(test):
        return ""
    codes = np.stack([_codes(train[name], test[name]) for name in columns])
    of_train, of_test = codes[:, : len(train)], codes[:, len(train) :]
    known = {row.tobytes() for row in np.ascontiguousarray(of_train.T)}
    copies = sum(row.tobytes() in known for row in np.ascontiguousarray(of_test.T))
    if copies < max(MIN_COPIES, MIN_SHARE * len(test)):
        return ""
    share = np.full(len(test), float(len(train)))
    for train_codes, test_codes in zip(of_train, of_test, strict=True):
        counts = np.bincount(train_codes, minlength=int(test_codes.max()) + 1)
        share *= counts[test_codes] / len(train)
    if copies <= TIMES_OF_CHANCE * np.minimum(share, 1.0).sum():
        return ""
    return (
        f"{copies:,} of {len(test):,} test rows equal a train row in all features and the label, more than by chance of "
        "independent columns. If they are copies, test scores are too good: remove copies from the source, or set data.key "
        "to a column that copies share."
    )


def _codes(train: "pd.Series", test: "pd.Series") -> np.ndarray:
    """Numbers of the values, the same for equal ones; 0 for missing ones."""
    import pandas as pd

    both = comparable(pd.concat([train, test], ignore_index=True))
    return np.asarray(pd.factorize(both)[0] + 1)
