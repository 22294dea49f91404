"""Rules of data.checks that YAML or a slip made of another type than the column."""

import datetime as dt
from decimal import Decimal

import pandas as pd
import pytest
import yaml

from mlops_lib.data_checks.readable import require_readable
from mlops_lib.data_checks.rules import failures
from mlops_lib.errors import DataError
from mlops_lib.settings import CheckSettings

DAY = pd.to_datetime(["2020-01-01", "2020-01-02"])


def checks(rule: str) -> CheckSettings:
    return CheckSettings.model_validate({"columns": {"a": yaml.safe_load(rule)}})


@pytest.mark.parametrize(
    ("rule", "column", "words"),
    [
        (
            "{values: [yes, no]}",
            ["yes", "no"],
            ["True, False", "as ['yes', 'no']", "yes, no, on, off", "in quotes"],
        ),
        ("{values: [on, maybe]}", ["on", "maybe"], ["True", "'on'", "in quotes"]),
        ("{values: [2020-01-01]}", ["2020-01-01"], ["as a date", "in quotes"]),
        ("{values: [7, 12]}", ["007", "012"], ["7, 12", "'007'", "in quotes"]),
        ("{values: [1.0]}", ["1.0"], ["1.0", "in quotes"]),
        ("{values: [0x10]}", ["0x10"], ["16", "in quotes"]),
        ("{values: ['1', '2']}", [1, 2], ["1, 2", "numbers", "without quotes"]),
        ("{values: ['true']}", [True, False], ["true", "booleans", "without quotes"]),
        ("{values: ['2020-01-01']}", DAY, ["dates", "without quotes"]),
        ("{values: [yes, 3]}", [1, 3, 2, None], None),
        ("{values: [0, 1]}", [True, False], None),
        ("{values: [1.5]}", [Decimal("1.5")], None),
        ("{values: [2020-01-01, 2020-01-02]}", DAY, None),
        ("{values: ['yes', 'no']}", ["yes", "no", None], None),
        ("{values: ['x']}", [None, None], None),
        ("{min: 0}", ["a", "b"], [".min limits numbers", "'a'"]),
        ("{max: 0}", DAY, [".max limits numbers"]),
        ("{min: 0}", [True, False], None),
        ("{min: 0}", [Decimal(1)], None),
    ],
)
def test_a_rule_of_another_type_is_one_line(rule, column, words):
    """200 rows that break a misread rule are one line, which says what to write."""
    frame = pd.DataFrame({"a": pd.Series(list(column) * 100)})
    if words is None:
        require_readable(frame, checks(rule))
        return
    with pytest.raises(DataError) as error:
        require_readable(frame, checks(rule))
    assert len(str(error.value).splitlines()) == 1 and str(error.value).startswith("data.checks.columns.a.")
    assert [word for word in words if word not in str(error.value)] == []


def test_dates_are_compared_with_times():
    """A date of config.yaml equals midnight of a column of times."""
    frame = pd.DataFrame({"a": pd.to_datetime(["2020-01-01 00:00", "2020-01-01 12:00", "2020-01-03 00:00"])})
    assert failures(frame, checks("{values: [2020-01-01, 2020-01-02]}"))["row"].tolist() == [1, 2]
    assert dt.date(2020, 1, 1) in checks("{values: [2020-01-01]}").columns["a"].values
