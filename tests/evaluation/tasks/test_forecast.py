"""The forecast task: metrics, quantiles, what is known before a split, baselines, figures and the gate."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mean_pinball_loss

from mlops_lib import evaluation, plugins
from mlops_lib.columns.schema import Column, Schema
from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation import history, paired
from mlops_lib.evaluation.changed_rows import changed_rows
from mlops_lib.evaluation.forecast_cases import ForecastCases
from mlops_lib.evaluation.judged import JudgedRows
from mlops_lib.evaluation.metrics import UndefinedError, forecast, metric
from mlops_lib.evaluation.paired import forecast as paired_forecast
from mlops_lib.evaluation.paired import outcome

SCHEMA = Schema(
    (Column("가게", "category", "key"), Column("날짜", "datetime", "time"), Column("매출", "number", "label"))
)
QUANTILES = (0.1, 0.5, 0.9)


def rows_of(values, first="2024-01-01"):
    """Rows of series that begin on one day: name -> values."""
    frames = [
        pd.DataFrame({"가게": name, "날짜": pd.date_range(first, periods=len(own)).strftime("%Y-%m-%d"), "매출": own})
        for name, own in values.items()
    ]  # fmt: skip
    return history.Rows.of(pd.concat(frames), SCHEMA)


TRAIN = rows_of({"서울": [1.0, 3, 2, 4, 1, 5], "부산": [7.0] * 6})
VALIDATION = rows_of({"서울": [6.0, 2], "부산": [8.0, 9]}, "2024-01-07")
TEST = rows_of({"서울": [0.0, 0, 0, 0], "부산": [0.0], "대구": [5.0]}, "2024-01-09")
KNOWN = history.Rows.joined([TRAIN, VALIDATION])
FACTS = history.facts(TEST, TRAIN, KNOWN, 3)


def test_naive_forecasts_use_what_is_known_before_the_split():
    """The last value of each series, and that of the season; a new series gets the mean of the others."""
    assert FACTS["last_value"].tolist() == [2, 2, 2, 2, 9, 5.5]
    assert FACTS["seasonal_naive"].tolist() == [5, 6, 2, 5, 7, 5.5]
    assert FACTS["horizon"].tolist() == [1, 2, 3, 4, 1, 1]
    assert FACTS["time"][:2] == ["2024-01-09", "2024-01-10"] and FACTS["key"][4:] == ["부산", "대구"]


def test_naive_forecasts_do_not_see_the_rows_that_they_predict():
    """Other truth in the split, the same forecasts."""
    others = history.facts(TEST._replace(value=TEST.value + 100), TRAIN, KNOWN, 3)
    assert all(np.array_equal(FACTS[name], others[name], equal_nan=name == "scale") for name in FACTS)


def test_the_scale_is_the_change_over_a_season_in_the_train_split():
    """By hand; a series that does not change, or is new, has none."""
    np.testing.assert_allclose(FACTS["scale"], [np.mean([3, 2, 3])] * 4 + [np.nan] * 2)


@pytest.mark.slow
def test_metrics_by_hand():
    """MASE leaves out rows without a scale; sMAPE counts 0 for 0 as no error."""
    truth, predicted = [1.0, 2, 0, 4, 10, 0], [2.0, 2, 0, 2, 9, 0]
    found = report(truth, predicted)
    values = {name: score.value for name, score in found.metrics.items()}
    assert values == pytest.approx(
        {
            "rmse": 1.0,
            "mae": 4 / 6,
            "mase": np.mean([1, 0, 0, 2]) / (8 / 3),
            "wape": 4 / 17,
            "smape": np.mean([2 / 3, 0, 0, 2 * 2 / 6, 2 / 19, 0]),
        }
    )
    assert found.notes["mase"].startswith("2 of 6 rows are left out")
    assert found.directions == dict.fromkeys(values, False)


def test_rows_without_weight_are_not_said_to_lack_a_scale():
    """Four of the rows have a scale, whatever their weight."""
    truth = np.arange(6.0)
    found = evaluation.evaluate(
        "forecast", truth, truth + 1, split="test", facts=FACTS, weights=[1, 0, 0, 1, 1, 1]
    )
    assert found.notes["mase"].startswith("2 of 6 rows are left out")


def report(truth, predicted, baselines=(), settings=None, facts=FACTS):
    x = pd.DataFrame({"요일": np.arange(len(truth))})
    return evaluation.evaluate(
        "forecast", truth, predicted, split="test", facts=facts, settings=settings, train=(x, truth),
        test_x=iter([x[:4], x[4:]]), baseline_names=baselines,
    )  # fmt: skip


@pytest.mark.slow
def test_a_report_has_baselines_tables_and_figures():
    """Rows of the baselines come in parts."""
    truth = FACTS["last_value"]
    found = report(truth, truth + 1.0, ["last_value", "seasonal_naive", "ridge"])
    assert found.baselines["last_value"]["mae"].value == 0.0 < found.baselines["seasonal_naive"]["mae"].value
    assert set(found.figures) == {"series", "horizon"}
    assert all(figure.png.startswith(b"\x89PNG") for figure in found.figures.values())
    (table,) = found.tables.values()
    assert table["series"].tolist() == ["서울", "부산", "대구"] and table["mae"].tolist() == [1.0] * 3


@pytest.mark.slow
def test_metrics_without_a_value_say_why():
    """Only zeros, and no series with a scale."""
    facts = FACTS | {"scale": np.full(6, np.nan)}
    found = report(np.zeros(6), np.ones(6), facts=facts).metrics
    assert found["wape"].value is None and found["wape"].reason == "all true values are 0"
    assert found["mase"].value is None and "no series has a change over a season" in found["mase"].reason


def quantile_cases(truth, bands, weights=None):
    return ForecastCases.read(truth, bands, {}, QUANTILES, weights)


def test_quantiles_are_scored_as_scikit_learn_does():
    """The pinball loss of each, how many true values are between the outer ones; the median is the forecast."""
    rng = np.random.default_rng(0)
    truth, weights = rng.normal(size=200), rng.random(200)
    bands = np.sort(rng.normal(size=(200, 3)), axis=1)
    cases = quantile_cases(truth, bands, weights)
    losses = [
        mean_pinball_loss(truth, bands[:, at], alpha=level, sample_weight=weights)
        for at, level in enumerate(QUANTILES)
    ]
    assert forecast.pinball(cases) == pytest.approx(np.mean(losses))
    inside = (bands[:, 0] <= truth) & (truth <= bands[:, 2])
    assert forecast.coverage_error(cases) == pytest.approx(abs(np.average(inside, weights=weights) - 0.8))
    assert np.array_equal(cases.predicted, bands[:, 1])
    with pytest.raises(UndefinedError, match="one number for each row"):
        forecast.pinball(quantile_cases(truth, bands[:, 1]))


@pytest.mark.slow
def test_a_report_of_quantiles_shows_each_and_those_that_cross(forecast_settings):
    """A column for each level; other columns than levels are refused."""
    truth = np.array([1.0, 2, 3, 4, 5, 6])
    bands = np.column_stack([truth - 1, truth, np.append(truth[:5] + 1, 0)])
    found = report(truth, bands, settings=forecast_settings)
    assert found.metrics["coverage_error"].value == pytest.approx(abs(5 / 6 - 0.8))
    assert "a higher quantile is below a lower one in 1 of 6 rows" in found.notes["quantiles"]
    assert found.tables["Quantiles"]["quantile"].tolist() == list(QUANTILES)
    assert found.tables["Quantiles"]["true values at or below it"].tolist() == pytest.approx([0, 1, 5 / 6])
    assert found.figures["series"].png.startswith(b"\x89PNG")
    with pytest.raises(EvaluationError, match=r"y_pred has 2 columns, and evaluation\.quantiles names 3"):
        report(truth, bands[:, :2], settings=forecast_settings)


@pytest.fixture
def forecast_settings(tmp_path):
    from mlops_lib import config

    (tmp_path / "config.yaml").write_text(
        "data: {source: a.csv, label: y, split: {by: time, column: t}}\nmodel: {wrapper: sklearn, implementation: auto}\n"
        "evaluation: {task: forecast, metric: pinball, threshold: 1, quantiles: [0.1, 0.5, 0.9]}\n"
    )
    return config.load(tmp_path / "config.yaml")


@pytest.mark.parametrize(
    ("metric", "quantiles", "words"),
    [
        ("pinball", "[]", "pinball needs evaluation.quantiles"),
        ("mase", "[0.1, 0.9]", "with 0.5"),
        ("mase", "[0.9, 0.5]", "ascending"),
        ("mase", "[0.5, 1.0]", "between 0 and 1"),
        ("ndcg_at_k", "[]", "forecast has the metrics"),
        (
            "mase",
            "[], gate: {thresholds: {pinball: 3}}",
            r"thresholds\.pinball: pinball needs evaluation\.quantiles",
        ),
    ],
)
def test_settings_of_a_forecast_that_do_not_fit_are_refused(tmp_path, metric, quantiles, words):
    from mlops_lib import config
    from mlops_lib.errors import ConfigError

    (tmp_path / "config.yaml").write_text(
        "data: {source: a.csv, label: y}\nmodel: {wrapper: sklearn, implementation: auto}\n"
        f"evaluation: {{task: forecast, metric: {metric}, threshold: 1, quantiles: {quantiles}}}\n"
    )
    with pytest.raises(ConfigError, match=words):
        config.load(tmp_path / "config.yaml")


def judged(truth, predicted, facts, **more):
    ids = [str(row) for row in range(len(truth))]
    facts = dict(facts)
    return JudgedRows("forecast", ids, facts.pop("entity"), truth, predicted, facts=facts, **more)


@metric(higher_is_better=False, lowest=0)
def looped(cases):
    """MASE as a metric of one's own, which the gate computes on the rows of each resample."""
    return forecast.mase(cases)


def long_series():
    """Truth of two series for 60 days, and the facts about the last 40."""
    rng = np.random.default_rng(1)
    values = {name: rng.normal(size).cumsum() for name, size in (("a", np.zeros(60)), ("b", np.zeros(60)))}
    train = rows_of({name: own[:20] for name, own in values.items()})
    test = rows_of({name: own[20:] for name, own in values.items()}, "2024-01-21")
    return test.value, history.facts(test, train, train, 1)


def test_the_gate_draws_blocks_of_time_with_all_series():
    """Six blocks of seven days or fewer; each metric equals itself on the drawn rows."""
    truth, facts = long_series()
    blocks = pd.Series(facts["entity"])
    assert blocks.nunique() == 6 and blocks[:40].tolist() == blocks[40:].tolist()
    assert blocks.value_counts().between(12, 14).all()
    rng = np.random.default_rng(2)
    sides = [judged(truth, truth + scale * rng.normal(size=80), facts) for scale in (0.1, 1.0)]
    names = ("mae", "rmse", "mase", "wape", "smape", f"{__name__}:looped")
    found = {one.metric: one for one in paired.compare(*sides, dict.fromkeys(names), resampled=100)}
    assert {one.outcome for one in found.values()} == {"better"} and found["mase"].entities == 6
    slow, fast = found[names[-1]], found["mase"]
    assert (slow.low, slow.high) == pytest.approx((fast.low, fast.high))


def test_both_models_have_the_same_scale():
    """Stored rows of a champion may have that of another season."""
    truth, facts = long_series()
    champion = judged(truth, truth + 1, facts | {"scale": facts["scale"] * 9})
    (found,) = paired.compare(judged(truth, truth + 1, facts), champion, {"mase": None}, resampled=50)
    assert found.champion == found.challenger


def test_few_times_decide_nothing():
    """Five days are five blocks, and six are needed."""
    rows = rows_of({"a": [1.0] * 5}, "2024-02-01")
    facts = history.facts(rows, TRAIN, TRAIN, 1)
    sides = [judged(rows.value, rows.value + error, facts) for error in (0.0, 1.0)]
    (found,) = paired.compare(*sides, {"mae": None}, resampled=50)
    assert found.outcome == "undecided" and "5 entities, and 6 are needed" in found.reason


def test_dependent_blocks_widen_the_interval():
    """Errors that last for weeks make the interval wider, and errors of single days do not; without times nothing does."""
    rng = np.random.default_rng(3)
    grid = rows_of({"a": [0.0] * 60}, "2024-02-01")
    facts = history.facts(grid, TRAIN, TRAIN, 1)
    lasting = np.repeat(rng.normal(size=4), 15)

    def half(errors, **changed):
        sides = [judged(grid.value, grid.value + one, facts | changed) for one in (errors, np.zeros(60))]
        return paired.compare(*sides, {"mae": None}, resampled=200)[0].smallest_difference

    assert half(lasting) > 1.5 * half(lasting, horizon=[])
    single = rng.normal(size=60)
    assert half(single) == pytest.approx(half(single, horizon=[]), rel=0.1)


@pytest.mark.parametrize(
    ("wider", "expected"), [(1.0, 1.0), (2.0, 2.0 * 3.1824 / 2.1314), (9.0, 9.0 * 12.7062 / 2.1314)]
)
def test_dependent_blocks_have_fewer_degrees_of_freedom(wider, expected):
    """16 blocks whose interval is 2 times wider are worth 4 independent ones: Student's t of 3 instead of 15; 2 at the least."""
    assert outcome.of_dependent(wider, 16, 0.95) == pytest.approx(expected, rel=1e-4)


def test_the_wider_interval_has_student_s_t_of_fewer_blocks(monkeypatch):
    """Of 60 times and 7 or 8 blocks, with a widening of 1.5."""
    monkeypatch.setattr(paired_forecast, "widening", lambda *_: 1.5)
    grid = rows_of({"a": [0.0] * 60}, "2024-02-01")
    facts = history.facts(grid, TRAIN, TRAIN, 1)
    errors = np.random.default_rng(3).normal(size=60)

    def found(**changed):
        sides = [judged(grid.value, grid.value + one, facts | changed) for one in (errors, np.zeros(60))]
        return paired.compare(*sides, {"mae": None}, resampled=200)[0]

    wide = found()
    monkeypatch.setattr(paired_forecast, "widening", lambda *_: 1.0)
    usual = found()
    wanted = outcome.of_dependent(1.5, usual.entities, 0.95)
    assert wide.difference - wide.low == pytest.approx(wanted * (usual.difference - usual.low))
    assert wanted > 1.6


def test_no_interval_becomes_narrower(forecast_settings):
    """The champion covers exactly the promised share of the rows, and less or more of them in each resample."""
    days = 1_000
    grid = rows_of({"a": [0.0] * days}, "2024-02-01")
    facts = history.facts(grid, TRAIN, TRAIN, 1)
    slow = np.convolve(np.random.default_rng(4).normal(size=days + 19), np.ones(20), "valid")
    outside = np.where(
        slow >= np.sort(slow)[-days // 5], 9.0, 0.0
    )  # for weeks, so that the interval is widened
    bands = np.array([-1.0, 0.0, 1.0])

    def ends(**changed):
        sides = [
            judged(grid.value, bands + off[:, None], facts | changed) for off in (np.zeros(days), outside)
        ]
        found = paired.compare(*sides, {"coverage_error": None}, resampled=200, settings=forecast_settings)[0]
        return found.difference, found.low, found.high

    difference, low, high = ends(horizon=[])
    assert not low <= difference <= high
    _, lower, higher = ends()
    assert lower <= low and higher >= high and (lower, higher) != (low, high)


def test_a_comparison_without_a_value_says_why():
    """A service does not know the train split, so there is no MASE."""
    truth, facts = long_series()
    facts = {"entity": facts["entity"]}
    (found,) = paired.compare(
        *(judged(truth, truth + e, facts) for e in (0, 1)), {"mase": None}, resampled=50
    )
    assert found.outcome == "undecided" and "or the train split is not known" in found.reason


def test_weights_count_in_tables_and_in_the_figure_of_steps():
    """A row of weight 0 has no part in them."""
    truth, facts = np.zeros(4), {"key": ["a", "a", "b", "b"], "time": list("1212"), "horizon": [1, 2, 1, 2]}
    task = plugins.load("task", "forecast")(None, weights=[1.0, 1.0, 1.0, 0.0])
    task.facts = facts
    found = task.details(truth, [1.0, 2.0, 3.0, 99.0])
    table = found["tables"]["Series with the largest errors, 20 at most"].set_index("series")
    assert table["mae"].to_dict() == {"a": 1.5, "b": 3.0} and table["rows"].tolist() == [2, 2]
    figures = task.figures(truth, [1.0, 2.0, 3.0, 99.0], {})
    (line,) = figures["horizon"].axes[0].lines
    assert line.get_ydata().tolist() == [2.0, 2.0]


def test_a_row_without_a_forecast_is_off_by_the_largest_error():
    """Of one number and of quantiles; the rows that changed are counted so too."""
    truth, facts = long_series()
    one = judged(truth, [None, *truth[1:]], facts, errors=["no answer", *[""] * 79])
    two = judged(truth, truth + 2.0, facts)
    assert paired.scores(one, "mae", {"": np.arange(80)}) == {"": 0.0}
    assert paired.compare(one, two, {"mae": None}, resampled=50)[0].challenger == pytest.approx(2 / 80)
    table, sentence = changed_rows(one, two, "mae", False)
    assert sentence.startswith("79 of 80 rows changed: 0 further off, 79 closer")
    assert table["key"][0] == "a 2024-01-22"
    bands = np.column_stack([truth - 1, truth, truth + 1])
    bands[5] += 3
    three = judged(truth, [None, *bands[1:]], facts, errors=["no answer", *[""] * 79])
    assert paired.rows.complete(three, three)[0].shape == (80, 3)
    four = judged(truth, truth + 9.0, facts)
    assert np.allclose(paired.rows.complete(three, four)[0][0], truth[0] + 9)
    assert paired.rows.complete(one, judged(truth, bands, facts))[0][0] == truth[0] + 4
    assert changed_rows(three, judged(truth, bands, facts), "mae", False)[1].startswith(
        "1 of 80 rows changed"
    )


def test_times_are_dates_or_numbers():
    """Timestamps, texts in other forms, and numbers of steps."""
    frame = pd.DataFrame({"t": [3, 1, 2], "y": [1.0, 2, 3]})
    schema = Schema((Column("t", "integer", "time"), Column("y", "number", "label")))
    assert history.Rows.of(frame, schema).shown.tolist() == ["3", "1", "2"]
    frame["t"] = ["01/03/2024", "02/03/2024", "03/03/2024"]
    schema = Schema((Column("t", "datetime", "time", date_order="day_first"), Column("y", "number", "label")))
    assert history.Rows.of(frame, schema).shown.tolist() == ["2024-03-01", "2024-03-02", "2024-03-03"]
    frame["t"] = pd.to_datetime(["2024-03-01 12:00", "2024-03-01 13:00", "2024-03-01 14:00"])
    assert history.Rows.of(frame, schema).shown[0] == "2024-03-01T12:00:00"
