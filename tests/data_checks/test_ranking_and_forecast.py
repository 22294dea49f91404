"""Rows that cannot be learned and judged as a ranking or a forecast are refused before the training."""

import numpy as np
import pandas as pd
import pytest
import yaml

from mlops_lib import config, loaders
from mlops_lib.data_checks import declared
from mlops_lib.errors import DataError

GROUPS = pd.DataFrame(
    {
        "질의": np.repeat(np.arange(40), 5),
        "일치": np.tile(np.arange(5.0), 40),
        "관련도": np.tile([0, 0, 1, 0, 2], 40),
    }
)
DAYS = pd.date_range("2024-01-01", periods=30)
SALES = pd.DataFrame(
    {
        "가게": np.repeat(["서울", "부산"], 30),
        "날짜": [*DAYS, *DAYS],
        "행사": np.arange(60) % 7,
        "매출": np.arange(60.0),
    }
)


def write(folder, rows, data, limit=0, **evaluation):
    """Write the dataset of a project, as 01_get_data does. Rows: a table, or a table for each split."""
    for name, table in rows.items() if isinstance(rows, dict) else [("rows", rows)]:
        (folder / "rows").mkdir(exist_ok=True)
        table.to_parquet(folder / "rows" / f"{name}.parquet")
    source = "rows" if isinstance(rows, dict) else "rows/rows.parquet"
    content = {
        "data": {"source": source, **data},
        "model": {"wrapper": "sklearn", "implementation": "auto"},
        "evaluation": {"threshold": 0.5, **evaluation},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(content, allow_unicode=True))
    settings = config.load(folder / "config.yaml")
    declared.write(settings, loaders.from_settings(settings), loaders.prepared_folder(settings), limit)
    return loaders.prepared(settings)


RANKED = {"label": "관련도", "key": "질의"}


def ranking(folder, rows, **data):
    return write(folder, rows, RANKED | data, task="ranking", metric="ndcg_at_k")


def test_a_group_stays_whole_in_one_split(tmp_path):
    """The split hashes the group; the relevance is a number, not a class."""
    dataset = ranking(tmp_path, GROUPS)
    groups = [set(dataset.load(split)["질의"]) for split in ("train", "validation", "test")]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 40
    assert dataset.schema.classes == ()


@pytest.mark.parametrize(
    ("change", "data", "words"),
    [
        ({}, {"key": ""}, "Set data.key to the column of the group"),
        ({"관련도": np.tile([0, 0, -1, 0, 2], 40)}, {}, "row 2 .*the relevance '관련도' is -1"),
        ({"관련도": np.tile(list("abcde"), 40)}, {}, "takes numbers: 0 for a row without use"),
        ({"관련도": 0}, {}, "No group of the train split has two rows or more, one of them relevant"),
        ({"질의": np.arange(200)}, {}, "No group of the train split has two rows"),
        ({"무게": 1.0}, {"weight": "무게"}, "counts all groups alike. Remove data.weight"),
        (
            {"때": np.arange(200)[::-1] % 7},
            {"split": {"by": "time", "column": "때"}},
            "groups have rows in 'validation' and in another split; the first is '질의' .* A group must be whole",
        ),
    ],
)
def test_rows_that_are_no_ranking_are_refused(tmp_path, change, data, words):
    with pytest.raises(DataError, match=words):
        ranking(tmp_path, GROUPS.assign(**change), **data)


def test_ready_made_splits_that_divide_a_group_are_refused(tmp_path):
    splits = {"train": GROUPS[:100], "validation": GROUPS[100:150], "test": GROUPS[98:]}
    with pytest.raises(DataError, match="'질의' 19, in 'train' too"):
        ranking(tmp_path, splits)


def test_slices_that_divide_a_group_are_refused(tmp_path):
    """A column with one value in each group is a slice; one with several is named with the first such group."""
    rows = GROUPS.assign(지역=np.repeat(np.arange(20), 10).astype(str), 색=np.tile(list("abcde"), 40))
    gate = {"slices": {"지역": "all"}}
    assert write(tmp_path, rows, RANKED, task="ranking", metric="ndcg_at_k", gate=gate).count("test")
    with pytest.raises(DataError, match=r"names '색', which divides \d+ groups .* '질의' \d+, with 5 values"):
        write(tmp_path, rows, RANKED, task="ranking", metric="ndcg_at_k", gate={"slices": {"색": "all"}})
    listed = rows.assign(색=np.where(rows["지역"].astype(int) < 10, "없음", rows["색"]))
    gate = {"slices": {"색": ["없음"]}}  # the others divide groups, and are in no slice
    assert write(tmp_path, listed, RANKED, task="ranking", metric="ndcg_at_k", gate=gate).count("test")
    with pytest.raises(DataError, match="names '색', which divides"):
        write(tmp_path, listed, RANKED, task="ranking", metric="ndcg_at_k", gate={"slices": {"색": ["a"]}})


IN_TIME = {"label": "매출", "key": "가게", "split": {"by": "time", "column": "날짜"}}


def forecast(folder, rows, limit=0, **data):
    return write(folder, rows, IN_TIME | data, limit, task="forecast", metric="mase")


def test_the_latest_times_are_the_test_split(tmp_path):
    """Of each series; a limit on rows leaves gaps, which are no error then."""
    dataset = forecast(tmp_path, SALES.sample(frac=1, random_state=0))
    times = [dataset.load(split)["날짜"] for split in ("train", "validation", "test")]
    assert times[0].max() < times[1].min() and times[1].max() < times[2].min()
    assert forecast(tmp_path, SALES, limit=8).count("train") == 8


@pytest.mark.parametrize("step", ["D", "B", "h", "MS", "ME", "W-MON", "number"])
def test_a_regular_step_has_no_gaps(tmp_path, step):
    """Working days and months too; a series may begin late and end early."""
    times = np.arange(30) if step == "number" else pd.date_range("2024-01-05", periods=30, freq=step)
    assert forecast(tmp_path, SALES.assign(날짜=[*times, *times])[5:55]).count("train") > 20


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Europe/London", "America/New_York", "Pacific/Auckland"])
@pytest.mark.parametrize("step", ["D", "h", "MS"])
def test_times_may_have_a_zone_with_summer_time(tmp_path, step, zone):
    """One day in spring has 23 hours."""
    times = pd.date_range(
        "2025-03-28" if "Auckland" in zone else "2025-03-05", periods=30, freq=step, tz=zone
    )
    both = pd.DataFrame({"날짜": times}).loc[[*range(30)] * 2, "날짜"].to_numpy(dtype=object)
    assert forecast(tmp_path, SALES.assign(날짜=both)).count("train") > 20


@pytest.mark.parametrize(
    ("rows", "data", "words"),
    [
        (SALES, {"split": {"by": "key"}, "key": ""}, "no column is the time"),
        (SALES, {"key": ""}, "30 rows have the time of another row; the first is '날짜' 2024-01-01.* Set data.key"),
        (
            pd.concat([SALES, SALES[40:41]]),
            {},
            "1 rows have the time of another row of '가게' '부산'; the first is '날짜' 2024-01-11",
        ),
        (SALES.drop(index=33), {}, "1 series have gaps; the first is '가게' '부산', .* '날짜' 2024-01-04"),
        (
            SALES.drop(index=[3, 4, 33, 34]),
            {},
            "no regular step.* the longest is from 2024-01-03 to 2024-01-06",
        ),
        (
            SALES.assign(날짜=[*np.delete(np.arange(31), 4)] * 2),
            {},
            "no regular step.* the longest is from 3 to 5",
        ),
        (SALES.assign(매출="많음").assign(매출=lambda t: t["매출"] + t.index.astype(str)), {}, "predicts numbers"),
        (SALES.assign(요일=SALES.index % 7), {"label": ["매출", "행사"]}, "predicts one number for each row. For several horizons"),
    ],
)  # fmt: skip
def test_rows_that_are_no_series_are_refused(tmp_path, rows, data, words):
    with pytest.raises(DataError, match=words):
        forecast(tmp_path, rows, **data)


def test_ready_made_splits_in_another_order_than_time_are_refused(tmp_path):
    rows = SALES.sort_values("날짜", ignore_index=True)
    parts = [rows[start : start + 20] for start in (0, 20, 40)]
    splits = dict(zip(("train", "test", "validation"), parts, strict=True))
    with pytest.raises(
        DataError, match="The test split begins at '날짜' 2024-01-11, and the validation split ends at"
    ):
        forecast(tmp_path, splits)
