"""Numbers that stand for a missing value are a warning; ordinary large ones, and gaps, are none."""

from datetime import datetime
from decimal import Decimal

import pandas as pd
import pytest

from mlops_lib.data_checks import profile, stand_ins


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([3, 27, 0, 999, 999], "x is 999 in 2 of 5 rows, and from 0 to 27 in the others. If 999 means"),
        ([0.5, -999.0, 2.25, -999.0], "list '-999' in data.missing_values"),
        ([20, 30, -99, 60, -99, None], "x is -99 in 2 of 6 rows, and from 20 to 60"),
        ([0, 1, 99, 99], "from 0 to 1"),
        ([36.5, 99.9, 99.9, 37.1], "x is 99.9 in 2 of 4 rows"),
        ([5, -2147483648, -2147483648, 7], "x is -2147483648 in 2 of 4 rows"),
        ([Decimal("1.5"), Decimal(9999), Decimal(9999), Decimal(2)], "x is 9999 in 2 of 4 rows"),
        ([3, 27, 0, 999], ""),
        ([500, 999, 999, 0], ""),
        ([20, 61, 99, 99], ""),
        ([99, 99, 99], ""),
        ([98, 99, 99, 97], ""),
        ([float("nan")] * 3, ""),
        ([float("inf"), 1.0, 999.0, 999.0], "x is 999 in 2 of 4 rows, and from 1 to 1"),
        (["999", "999", "3"], ""),
        ([True, False, True], ""),
        ([], ""),
    ],
)
def test_a_number_far_from_all_others(values, said):
    found = stand_ins.warnings(pd.Series(values, name="x", dtype=None if values else float))
    assert len(found) == bool(said) and said in "".join(found)


DAY, END = datetime(2021, 3, 1), datetime(9999, 12, 31, 23, 59, 59)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["2021-03-01", "9999-12-31", "9999-12-31", "2022-05-01", None], "list '9999-12-31' in data.missing_values, or leave"),
        (["01/03/2021", "31/12/9999", "31/12/9999", "13/02/2021"], "x is 9999-12-31 in 2 of 4 rows, and from 2021-02-13 to 2021-03-01"),
        (["1900. 1. 1.", "2021. 3. 1.", "1900. 1. 1."], "list '1900. 1. 1.' in"),
        ([DAY, END, END], "means a missing value, leave those cells empty in the source"),
        ([DAY.date(), END.date(), END.date()], "x is 9999-12-31 in 2 of 3 rows"),
        (["2021-03-01", "9999-12-31"], ""),
        (["1900-01-01", "1900-01-01", "1950-06-01", "2003-02-01"], ""),
        (["00:00", "00:00", "08:30"], ""),
        (["1970-01-01"] * 3, ""),
        ([None, None], ""),
        ([], ""),
    ],
)  # fmt: skip
def test_a_date_far_from_all_others(values, said):
    column = pd.Series(values, name="x", dtype=None if values else object)
    found = stand_ins.warnings(column, "datetime")
    assert len(found) == bool(said) and said in "".join(found)


def test_of_two_stand_ins_one_is_named_after_the_other():
    column = pd.Series([999, 999, 1, 2, -999, -999], name="x")
    assert [one.split(" in ")[0] for one in stand_ins.warnings(column)] == ["x is -999"]
    assert [one.split(" in ")[0] for one in stand_ins.warnings(column[column > -999])] == ["x is 999"]


def test_the_profile_warns_of_features_and_the_label():
    ends = ["2021-03-01", "9999-12-31", "2021-04-01", "9999-12-31"] * 9
    frame = pd.DataFrame(
        {"pdays": [3, 999, 999, 7] * 9, "until": ends, "paid": [-9999.0, 12.5, -9999.0, 30.25] * 9}
    )
    found = " ".join(profile.warnings(frame, frame, ["pdays", "until"], "paid", kinds={"until": "datetime"}))
    assert "until is 9999-12-31 in 18 of 36 rows" in found
    assert "pdays is 999 in 18 of 36 rows" in found and "paid is -9999 in 18 of 36 rows" in found
