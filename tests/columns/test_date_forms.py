"""Dates in other forms than ISO: one meaning each, or none."""

from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mlops_lib.columns.date_forms import order_of, orders_of, parse
from mlops_lib.columns.dates import microseconds
from mlops_lib.columns.encode import BadValue, encode_frame
from mlops_lib.columns.fit import fit
from mlops_lib.columns.infer import Declared, infer
from mlops_lib.errors import DataError
from mlops_lib.loaders.files import LocalDataLoader
from mlops_lib.settings.data import SplitSettings

DAYS = pd.date_range("2012-01-01", periods=120, freq="3D")


@pytest.mark.parametrize(
    "text",
    ["2012/01/02", "2012.1.2", "02.01.2012", "2.1.2012", "Jan 2 2012", "Jan 2, 2012", "January 2, 2012", "2 Jan 2012",
     "2 january 2012", "02-Jan-2012", "2. Jan 2012", "JAN-02-2012", "2012-01-02",
     "2012-1-2", "2012년 1월 2일", "2012년 01월 02일", "2012. 1. 2.", "2012. 1. 2", "2012年1月2日", "2. Januar 2012", "2 janvier 2012",
     "2 de enero de 2012"],
)  # fmt: skip
def test_a_form_with_one_meaning_is_a_date(text):
    """The second of January, with and without a time."""
    day = datetime(2012, 1, 2)
    assert microseconds(text) == microseconds(day)
    assert microseconds(f"{text} 13:05") == microseconds(day.replace(hour=13, minute=5))


@pytest.mark.parametrize(
    ("time", "hour"),
    [
        ("오전 12:30", 0),
        ("오후 12:30", 12),
        ("오후 1:30", 13),
        ("12:30 AM", 0),
        ("12:30 PM", 12),
        ("1:30 pm", 13),
        ("1:30:00.250", 1),
        ("01:30Z", 1),
    ],
)
def test_times_after_the_date(time, hour):
    """Half days count from 12; microseconds and UTC are read."""
    found = parse(f"2012/01/02 {time}")
    assert (found.hour, found.minute) == (hour, 30)


@pytest.mark.parametrize(
    "text",
    ["", "2012", "2012/13/01", "31.02.2012", "2012/01-02", "01/02/2012", "1-2-2012", "01/02/12", "1.2.3", "192.168.1.2012",
     "Mai 2 2012", "Jan 2012", "2012/01/02 25:00", "2012년 13월 1일", "2012년", "2012. 1. 2. 오후 13:30", "2012/01/02 13:00 PM", "2012/01/02x", "version 2.1.2012"],
)  # fmt: skip
def test_other_texts_are_no_dates(text):
    """Neither days that do not exist, nor texts with two meanings, nor numbers with dots."""
    with pytest.raises(ValueError, match="."):
        microseconds(text)


def test_the_order_of_day_and_month_comes_from_all_texts():
    """A number above 12 tells; without one, both orders fit; with one on each side, none does."""
    assert orders_of(["01/02/2012", "31/01/2012"]) == {"day_first"}
    assert orders_of(["01/02/2012", "01/31/2012"]) == {"month_first"}
    assert orders_of(["01/02/2012", "03/04/2012"]) == {"day_first", "month_first"}
    assert orders_of(["31/01/2012", "01/31/2012"]) == set()
    assert order_of(["31-01-2012", None, np.nan]) == "day_first"
    assert order_of([]) == order_of(["x"]) == order_of(["2012-01-31"]) == ""


def schema_of(texts, **declared):
    rows = pa.table({"day": list(texts), "y": np.arange(len(texts)) / 7})
    return infer(rows, Declared("y", task="regression", **declared))


@pytest.mark.parametrize(
    "form", ["%Y/%m/%d", "%d.%m.%Y", "%b %d %Y", "%d/%m/%Y", "%m/%d/%Y", "%m-%d-%Y", "%d %B %Y"]
)
def test_every_form_is_encoded_as_iso_is(form):
    """The kind is found, and the matrix is the same to the last bit, one row at a time too."""
    frame = pd.DataFrame({"day": DAYS.strftime(form)})
    schema = schema_of(frame.day)
    assert schema.kinds == {"day": "datetime"}
    expected = encode_frame(
        fit(schema_of(DAYS.strftime("%Y-%m-%d")), [iso := pd.DataFrame({"day": DAYS.strftime("%Y-%m-%d")})]),
        iso,
    )
    encoder = fit(schema, [frame])
    assert np.array_equal(encode_frame(encoder, frame), expected)
    assert np.array_equal(np.vstack([encoder.encode([[text]]) for text in frame.day]), expected)


def test_dates_with_two_meanings_are_named_and_the_setting_decides():
    """Without a day above 12 the column is a category, whose reason names the setting; a wrong order is refused."""
    texts = ["01/02/2012", "03/04/2012", "05/06/2012"] * 10
    assert "set day_first or month_first in data.columns" in schema_of(texts).features["day"].reason
    with pytest.raises(DataError, match="set day_first or month_first"):
        schema_of(texts, kinds={"day": "datetime"})
    column = schema_of(texts, kinds={"day": "month_first"}).features["day"]
    assert (column.kind, column.date_order) == ("datetime", "month_first")
    with pytest.raises(DataError, match="dates with the month first, and not every value is one"):
        schema_of(["31/01/2012"] * 10, kinds={"day": "month_first"})


def test_a_value_of_the_other_order_is_refused():
    """The error shows the order."""
    frame = pd.DataFrame({"day": DAYS.strftime("%d/%m/%Y")})
    with pytest.raises(BadValue, match="a date or time, such as 31/01/2026, 2026-01-31"):
        fit(schema_of(frame.day), [frame]).encode([["01/31/2012"]])


@pytest.mark.parametrize("form", ["%Y/%m/%d", "%d.%m.%Y", "%b %d %Y", "%d/%m/%Y", "%m/%d/%Y"])
def test_a_split_by_time_takes_them(tmp_path, form):
    """The latest rows are the test split, whatever the form of the date."""
    frame = pd.DataFrame({"day": DAYS.strftime(form), "at": range(120), "y": np.arange(120) / 7})
    frame.sample(frac=1, random_state=0).to_csv(tmp_path / "a.csv", index=False)
    loader = LocalDataLoader(tmp_path / "a.csv", label="y", split=SplitSettings(by="time", column="day"))
    assert sorted(loader.load("test")["at"]) == list(range(90, 120))


def test_a_split_by_dates_with_two_meanings_names_the_setting(tmp_path):
    """The error names the row and `data.columns`, which then decides."""
    days = pd.date_range("2012-01-01", periods=12, freq="32D")[:10]
    texts = [f"{day.month:02}/{day.month % 3 + 1:02}/2012" for day in days]
    frame = pd.DataFrame({"day": texts, "at": range(10), "y": np.arange(10) / 7})
    frame.to_csv(tmp_path / "a.csv", index=False)
    split = SplitSettings(by="time", column="day")
    with pytest.raises(
        DataError, match=r"row 0 .*'day'.*set data.columns: \{day: day_first\} or month_first"
    ):
        LocalDataLoader(tmp_path / "a.csv", label="y", split=split).load("test")
    chosen = LocalDataLoader(tmp_path / "a.csv", label="y", split=split, kinds={"day": "month_first"})
    assert 9 in chosen.load("test")["at"].tolist()
