"""The columns that are proposed for label, key and time, and those that give the label away."""

import datetime as dt
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mlops_lib.cli.init import hints, leaks, proposals
from mlops_lib.cli.init.table import Table
from mlops_lib.loaders.base import to_table

ROWS = 240
RANDOM = np.random.default_rng(0)


def table(is_ready_made=False, **columns) -> Table:
    """A table of 240 rows that was read whole."""
    frame = pd.DataFrame(columns)
    loader = SimpleNamespace(is_ready_made=is_ready_made)
    return Table(loader, "rows.csv", len(frame), to_table(frame))  # type: ignore[arg-type]


def numbers() -> np.ndarray:
    return RANDOM.normal(size=ROWS)


YES_NO = ["Yes", "No"] * (ROWS // 2)


@pytest.mark.parametrize(
    "name",
    ["target", "Label", "y", "class", "Churn", "is_churn", "churn_flag", "hasChurned", "default", "Survived", "outcome",
     "Species", "is_fraud", "Purchase", "이탈", "이탈여부", "이탈_여부", "연체여부", "정답", "CHURN YN"],
)  # fmt: skip
def test_a_usual_name_is_certain(name):
    """Wherever the column is, in any case, with words such as is_ and _flag around it."""
    found = proposals.label(table(**{"a": numbers(), name: YES_NO, "z": numbers()}))
    assert (found.value, found.certain) == (name, True)


@pytest.mark.parametrize(
    "name", ["yes", "classroom", "defaults_to", "labelled_by", "days", "outcome_date_id", "이탈일자"]
)
def test_another_name_is_not_certain(name):
    """A part of a usual name is none."""
    found = proposals.label(table(**{"a": numbers(), name: YES_NO}))
    assert (found.value, found.certain) == (name, False)


def test_two_usual_names_are_not_certain():
    """Both are candidates."""
    found = proposals.label(table(y=YES_NO, a=numbers(), target=YES_NO))
    assert not found.certain and {found.value, *found.others} >= {"y", "target"}


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        ({"price": numbers(), "left": YES_NO}, "left"),
        ({"left": YES_NO, "price": numbers()}, "price"),
        ({"left": YES_NO, "name": [f"n{i} x" for i in range(ROWS)]}, "left"),
        ({"a": numbers(), "row": range(ROWS)}, "row"),
    ],
)
def test_the_last_column_is_proposed_if_it_can_be_a_label(columns, name):
    """Few values or numbers; else the last column that has few values."""
    assert proposals.label(table(**columns)).value == name


IDS = [f"{i:05}" for i in range(ROWS)]


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        ({"customerID": IDS, "a": numbers()}, "customerID"),
        ({"a": numbers(), "Id": range(ROWS)}, "Id"),
        ({"고객번호": IDS, "a": numbers()}, "고객번호"),
        ({"name": IDS, "order_id": IDS}, "order_id"),
        ({"name": IDS, "a": numbers()}, "name"),
        ({"user_id": [i // 4 for i in range(ROWS)], "a": numbers()}, "user_id"),
        ({"patient": [f"p{i // 4}" for i in range(ROWS)], "a": numbers()}, "patient"),
        ({"회원ID": [f"p{i // 4}" for i in range(ROWS)], "a": numbers()}, "회원ID"),
        ({"store_id": [i // 8 for i in range(ROWS)], "a": numbers()}, ""),
        ({"paid": range(0, 5 * ROWS, 5), "valid": YES_NO}, ""),
        ({"user_id": [None, *IDS[1:]], "a": numbers()}, ""),
        ({"flight": RANDOM.integers(1, 9999, ROWS), "a": numbers()}, ""),
        ({"id": [1.0 + i for i in range(ROWS)], "a": numbers()}, "id"),
        ({"id": [1.5 + i for i in range(ROWS)], "a": numbers()}, ""),
        ({"pay": [f"{i + 1:,},000" for i in range(ROWS)], "a": numbers()}, ""),
        ({"pay": [f"{i}.5" if i else "-" for i in range(ROWS)], "a": numbers()}, ""),
    ],
)
def test_a_key_identifies_rows_or_people(columns, name):
    """By values that are distinct in every row, or ids of customers and the like; never one with gaps, and no sizes."""
    assert proposals.key(table(**columns, y=YES_NO), "y").value == name


@pytest.mark.parametrize(
    "form",
    ["%Y/%m/%d", "%d.%m.%Y", "%m-%d-%y", "%Y%m%d", "%d %b %Y", "%B %d, %Y", "%Y년 %m월 %d일", "%Y/%m/%d %H:%M", "%Y. %m. %d."],
)  # fmt: skip
def test_dates_in_any_form_are_no_key(form):
    """Each row has another date, and a key would take the date from the features."""
    days = pd.date_range("2026-01-01", periods=ROWS).strftime(form)
    assert proposals.key(table(day=days, a=numbers(), y=YES_NO), "y").value == ""
    assert proposals.key(table(day=days, order_id=IDS, y=YES_NO), "y").value == "order_id"


def test_a_time_by_name_is_no_key():
    """Seconds since 1970 are distinct in every row, too."""
    assert proposals.key(table(timestamp=range(ROWS), a=numbers(), y=YES_NO), "y").value == ""


def test_a_proposal_gives_way_to_a_role_that_was_given():
    """The column has that role already."""
    rows = table(order_id=IDS, name=IDS, target=YES_NO, y=YES_NO)
    assert proposals.key(rows, "y", ("order_id",)).value == "name"
    assert proposals.label(rows, ("target",)).value == "y"


def test_the_folders_of_a_ready_made_split_decide():
    """No key decides the split, nor does the place of a row."""
    assert "its place decides" in proposals.key(table(a=numbers(), y=YES_NO), "y").reason
    assert "the folder or file it is in" in proposals.key(table(True, a=numbers(), y=YES_NO), "y").reason
    rows = table(True, user_id=[i // 4 for i in range(ROWS)], y=YES_NO)
    assert proposals.key(rows, "y").reason == "4.0 rows a value"


@pytest.mark.parametrize("token", ["NA", "N/A", "None", "null", "nan", "#N/A", "-", "없음"])
def test_texts_that_often_mean_missing_are_shown(token):
    """With their number, and with the setting that makes them missing."""
    (hint,) = hints.missing_values(table(city=[token, "Oslo", "Rome"] * (ROWS // 3), a=numbers(), y=YES_NO))
    assert hint.startswith(f"city has {token!r} in 80 rows") and "--set 'data.missing_values=[" in hint


def test_ordinary_texts_give_no_hint():
    """A name that begins so, an empty text, numbers."""
    assert (
        hints.missing_values(table(city=["Nancy", "", "Nantes"] * (ROWS // 3), a=numbers(), y=YES_NO)) == []
    )


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("date", True), ("timestamp", True), ("event_time", True), ("time_hour", True), ("created_at", True), ("날짜", True),
     ("주문일자", True), ("signup", False), ("birth_date", False), ("가입일", False), ("updated", False)],
)  # fmt: skip
def test_the_time_of_a_row_has_such_a_name(name, wanted):
    """Other dates are features."""
    days = pd.date_range("2026-01-01", periods=ROWS)
    found = proposals.time(table(**{name: days, "y": YES_NO}), "y", "")
    assert found.value == (name if wanted else "")


@pytest.mark.parametrize("hours", [[dt.time(8, 30)], ["08:30"], [None, "23:05:10"]])
def test_a_time_of_day_is_no_time_of_a_row(hours):
    """It has no latest rows; `mlops init` proposed it, and then refused it."""
    hours = hours * (ROWS // len(hours))
    assert proposals.time(table(time=hours, y=YES_NO), "y", "").value == ""
    days = pd.date_range("2026-01-01", periods=ROWS)
    assert proposals.time(table(time=hours, date=days, y=YES_NO), "y", "").value == "date"


def test_rows_of_one_entity_stay_together_whatever_the_time():
    """A repeated key wins over a time; a key that is distinct in every row does not."""
    days = pd.date_range("2026-01-01", periods=ROWS)
    rows = table(date=days, user_id=[i // 4 for i in range(ROWS)], order_id=IDS, y=YES_NO)
    assert proposals.time(rows, "y", "user_id").value == ""
    assert proposals.time(rows, "y", "order_id").value == "date"


def test_a_column_that_is_the_label_in_another_form_is_found():
    """The logarithm of a number, the code of a class, a reason that only one class has."""
    wage = np.exp(numbers())
    rows = table(wage=wage, logwage=np.log(wage), rank=-wage, near=wage + 0.01 * numbers(), other=numbers())
    assert set(leaks.find(rows, "wage", "regression")) == {"logwage", "rank"}
    code = np.array([1, 0] * (ROWS // 2))
    reason = np.where(code == 1, RANDOM.choice(["price", "service"], ROWS), None)
    rows = table(
        y=YES_NO, code=code, reason=reason, half=RANDOM.integers(0, 2, ROWS), who=IDS, one=["a"] * ROWS
    )
    assert set(leaks.find(rows, "y", "classification", ("who",))) == {"code", "reason"}


def test_few_rows_give_no_leak():
    """By chance a column may order ten rows."""
    rows = table(wage=np.arange(10.0), other=np.arange(10.0))
    assert leaks.find(rows, "wage", "regression") == {}
