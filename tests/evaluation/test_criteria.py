"""All criteria of `evaluation.gate`: each refuses with a reason, and what is in doubt refuses too."""

import dataclasses
import re

import numpy as np
import pytest

from mlops_lib import config, plugins
from mlops_lib.errors import ConfigError, EvaluationError
from mlops_lib.evaluation.gate import NO_CHAMPION, decide
from mlops_lib.evaluation.judged import Champion, JudgedRows
from mlops_lib.evaluation.report import Comparison, Criterion, EvaluationReport, Score, Verdict
from mlops_lib.evaluation.verdict_text import differences, headline

ROWS = 240
IDS = [f"row {number}" for number in range(ROWS)]
TRUTH = np.arange(ROWS) % 2
#: Right on 90 % and on 70 % of the rows, of each city alike.
GOOD = np.where(np.arange(ROWS) % 20 < 18, TRUTH, 1 - TRUTH).astype(float)
POOR = np.where(np.arange(ROWS) % 20 < 14, TRUTH, 1 - TRUTH).astype(float)
CITIES = np.where(np.arange(ROWS) < 160, "서울", "부산")


@pytest.fixture
def settings(tmp_path):
    def made(task="classification", metric="accuracy", **gate):
        gate = {"resamples": 400} | gate
        (tmp_path / "config.yaml").write_text(
            f"data: {{source: a.csv, label: y}}\nevaluation: {{task: {task}, metric: {metric}, threshold: 0.6, gate: {gate}}}\n"
        )
        return config.load(tmp_path / "config.yaml")

    return made


def scored(task, truth, predicted, settings=None) -> EvaluationReport:
    """A report without figures."""
    task = plugins.load("task", task)(settings)
    metrics = task.score(truth, predicted)
    return EvaluationReport(
        task=task.name, split="test", rows=len(truth), metrics=metrics, directions=dict(task.metrics)
    )


def rows(predicted, **more) -> JudgedRows:
    more = {"slices": {"city": CITIES}, "latency_s": [0.002] * 29 + [0.3]} | more
    return JudgedRows("classification", IDS, IDS, TRUTH, predicted, classes=[0, 1], **more)


def verdict(settings, predicted=GOOD, champion=None, candidate=None, **more) -> Verdict:
    report = scored("classification", TRUTH, predicted, settings)
    candidate = candidate or rows(predicted)
    return decide(report, "accuracy", 0.6, settings=settings, candidate=candidate, champion=champion, **more)


def champion(predicted=POOR, **more) -> Champion:
    return Champion("churn", 3, "run 3", "digest 3", rows(predicted), **more)


def test_the_first_version_is_decided_by_thresholds_alone(settings):
    """Without a champion nothing is compared, and the verdict says so; so it does when the comparison is off."""
    found = verdict(settings(thresholds={"log_loss": 10.0}))
    assert found.passed and found.note == NO_CHAMPION and found.outcome is None and not found.comparisons
    off = verdict(settings(champion=False), champion=champion())
    assert off.passed and "was not compared" in off.note and off.champion is None


def test_a_better_model_passes_and_a_worse_one_does_not(settings):
    """The verdict names the champion, the outcome, seed, resamples and confidence of the comparison."""
    asked = settings(require="better", slices={"city": "all"})
    found = verdict(asked, champion=champion(), fingerprint="f")
    assert found.passed and found.outcome == "better" and found.champion.version == 3
    assert (found.resamples, found.confidence, found.seed, found.fingerprint) == (400, 0.95, 0, "f")
    assert [one.slice for one in found.comparisons] == ["", "city=부산", "city=서울"]
    worse = verdict(asked, POOR, champion(GOOD))
    assert not worse.passed and worse.outcome == "worse" and len(worse.reasons) == 3
    assert worse.reasons[0].startswith(
        "accuracy is worse than version 3: 0.7000 against 0.9000, difference -0.2"
    )
    assert "accuracy on city=부산 is worse than version 3" in worse.reasons[1]


def test_not_worse_passes_unless_better_is_asked_for(settings):
    """Equal predictions are not worse."""
    assert verdict(settings(margins={"accuracy": 0.0}), champion=champion(GOOD)).passed
    found = verdict(settings(require="better"), champion=champion(GOOD))
    assert not found.passed and found.reasons[0].endswith("evaluation.gate.require asks for better.")


def test_a_margin_of_another_metric_does_not_end_the_comparison_of_the_gates_own(settings):
    """A guard for calibration is one criterion more."""
    found = verdict(settings(margins={"brier": 2.0}), POOR, champion=champion(GOOD))
    assert [(one.metric, one.outcome) for one in found.comparisons] == [
        ("accuracy", "worse"),
        ("brier", "not_worse"),
    ]
    assert not found.passed


def test_undecided_does_not_pass(settings):
    """Two models that are right on other rows of few: the reason says how many rows would decide."""
    other = np.where((np.arange(ROWS) + 7) % 20 < 18, TRUTH, 1 - TRUTH).astype(float)
    found = verdict(settings(), champion=champion(other))
    assert not found.passed and found.outcome == "undecided"
    assert "rows would decide; there are 240" in found.reasons[0]


def test_every_threshold_must_hold(settings):
    """On all rows and in each slice; the slice that misses it is named."""
    one_city = np.where(CITIES == "부산", 1 - TRUTH, TRUTH).astype(float)
    asked = settings(
        thresholds={"f1": 0.95, "log_loss": 1.0},
        slices={"city": ["서울", "부산"]},
        slice_thresholds={"accuracy": 0.5},
    )
    found = verdict(asked, one_city)
    assert [reason.split(" is ")[0] for reason in found.reasons] == [
        "f1 0.6667", "log_loss 12.01", "On city=부산, accuracy 0"
    ]  # fmt: skip
    assert [one.metric for one in found.criteria if one.name == "slice_threshold"] == ["accuracy"] * 2


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        ({"min_rows": 241}, "has 240 rows; evaluation.gate.min_rows asks for 241"),
        ({"slices": {"city": "all"}, "min_slice_rows": 100}, "city=부산 80. Values in the rows: 부산, 서울."),
        ({"slices": {"city": ["제주"]}}, "city=제주 0"),
        ({"max_latency_ms": 50.0}, "A row takes 300 ms at the 95th percentile"),
    ],
)
def test_each_limit_refuses(settings, gate, reason):
    """The reason has the value and the setting."""
    candidate = rows(GOOD, latency_s=[0.002] * 28 + [0.3] * 2) if "max_latency_ms" in gate else None
    found = verdict(settings(**gate), candidate=candidate)
    assert not found.passed and len(found.reasons) == 1
    assert reason in found.reasons[0]


def test_rows_that_a_metric_leaves_out_are_none_of_min_rows(settings):
    """Two rows with a goal among 240 say little, though the metric covers both."""
    report = EvaluationReport(
        task="text", split="test", rows=240, directions={"goal_reached": True},
        metrics={"goal_reached": Score(value=1.0, scored=2, left_out=238)},
    )  # fmt: skip
    for least, passed in ((2, True), (3, False)):
        asked = settings("text", "goal_reached", min_rows=least, champion=False)
        found = decide(report, "goal_reached", 0.6, settings=asked)
        assert found.passed == passed
    reason = "goal_reached counts 2 of the 240 rows of split test; evaluation.gate.min_rows asks for 3."
    assert found.reasons == (reason,)


def test_rows_without_weight_make_no_slice_and_no_split_larger(settings):
    """80 rows of 부산, of which 10 have weight, are 10 rows to the metrics."""
    weights = np.where((CITIES == "부산") & (np.arange(ROWS) >= 170), 0.0, 1.0)
    asked = settings(slices={"city": "all"}, slice_thresholds={"accuracy": 0.5}, min_rows=171)
    found = verdict(asked, candidate=rows(GOOD, weights=weights))
    assert found.reasons == (
        "accuracy counts 170 of the 240 rows of split test; evaluation.gate.min_rows asks for 171.",
        "evaluation.gate.min_slice_rows asks for 30 rows with weight in each slice, and there are: "
        + "city=부산 10. Values in the rows: 부산, 서울.",
    )
    assert verdict(settings(slices={"city": "all"}, min_slice_rows=10, min_rows=170),
                   candidate=rows(GOOD, weights=weights)).passed  # fmt: skip


def test_rows_that_a_metric_leaves_out_make_no_slice_larger(settings):
    """In one city five rows have a goal: a threshold on them says little, though the slice has 80 rows."""
    counts = (CITIES == "서울") | (np.arange(ROWS) < 165)
    judged = JudgedRows(
        "text", IDS, IDS, IDS, IDS, slices={"city": CITIES}, values={"goal_reached": np.where(counts, 1.0, None)},
        facts={"goal_reached counts": counts.tolist()},
    )  # fmt: skip
    report = EvaluationReport(
        task="text", split="test", rows=240, directions={"goal_reached": True},
        metrics={"goal_reached": Score(value=1.0, scored=165, left_out=75)},
    )  # fmt: skip
    for least, passed in ((5, True), (6, False)):
        gate = {"slices": {"city": "all"}, "slice_thresholds": {"goal_reached": 0.5}, "min_slice_rows": least}
        asked = settings("text", "goal_reached", champion=False, **gate)
        found = decide(report, "goal_reached", 0.6, settings=asked, candidate=judged)
        assert found.passed == passed
    reason = "goal_reached counts 5 of the 80 rows of city=부산; evaluation.gate.min_slice_rows asks for 6."
    assert found.reasons == (reason,)


@pytest.mark.parametrize(
    ("champion", "reason"),
    [
        (champion(problem="Its package is missing."), "compared with version 3 of 'churn'.*package is missing"),
        (dataclasses.replace(champion(), rows=None), "the champion's predictions are missing"),
        (dataclasses.replace(champion(), run_id="run 4"), "not compared with itself"),
        (dataclasses.replace(champion(), digest="digest 4"), "not compared with itself"),
        (champion(np.where(np.arange(ROWS) == 5, np.nan, POOR)), "not finite in row 5"),
        (dataclasses.replace(champion(), rows=dataclasses.replace(rows(POOR), ids=IDS[::-1])), "another order"),
        (dataclasses.replace(champion(), rows=dataclasses.replace(rows(POOR), truth=1 - TRUTH)), "different truth"),
    ],
)  # fmt: skip
def test_a_comparison_in_doubt_refuses(settings, champion, reason):
    """A good model does not pass while the champion cannot be asked, or not on the same rows."""
    found = verdict(settings(), champion=champion, run_id="run 4", digest="digest 4")
    assert not found.passed and len(found.reasons) == 1 and found.champion.version == 3
    assert re.search(reason, found.reasons[0])


def test_what_was_not_measured_refuses(settings):
    """Limits on latency and slices need the rows; without any the gate does not guess."""
    found = verdict(settings(max_latency_ms=50.0), candidate=rows(GOOD, latency_s=()))
    assert "latency of the rows was not measured" in found.reasons[0]
    report = scored("classification", TRUTH, GOOD)
    without = decide(report, "accuracy", 0.6, settings=settings(slices={"city": "all"}), champion=champion())
    assert len(without.reasons) == 2 and not without.passed
    fewer = scored("classification", TRUTH[:9], GOOD[:9])
    assert (
        "9 rows, and the predictions 240"
        in decide(fewer, "accuracy", 0.6, settings=settings(), candidate=rows(GOOD)).reasons[0]
    )


def test_rows_in_no_slice_are_counted(settings):
    """Their values are missing or not listed; with `all`, a missing value has a slice of its own."""
    cities = np.where(np.arange(ROWS) < 160, "서울", np.where(np.arange(ROWS) < 200, "missing", "부산"))
    candidate = rows(GOOD, slices={"city": cities})
    found = verdict(settings(slices={"city": ["서울", "부산"]}), candidate=candidate)
    assert "40 of 240 rows (16.7%) are in no slice of city: missing 40." in found.note and found.passed
    (smallest,) = [one for one in found.criteria if one.name == "slice_rows"]
    assert (smallest.slice, smallest.value) == ("city=부산", 40)
    some = verdict(settings(slices={"city": ["서울"]}), candidate=candidate, champion=champion())
    assert some.note == "80 of 240 rows (33.3%) are in no slice of city: missing 40, 부산 40."
    assert "no slice" not in verdict(settings(slices={"city": "all"}), candidate=candidate).note


def test_a_slice_of_one_class_has_no_ranking(settings):
    """ROC AUC has no value on a slice of one class: refused, for thresholds and comparisons."""
    by_class = dataclasses.replace(rows(GOOD), slices={"city": [str(label) for label in TRUTH]})
    other = dataclasses.replace(champion(), rows=dataclasses.replace(rows(POOR), slices=by_class.slices))
    asked = settings(slices={"city": ["0"]}, slice_thresholds={"roc_auc": 0.5}, margins={"roc_auc": 0.01})
    found = verdict(asked, candidate=by_class, champion=other)
    assert sum("no value on" in reason for reason in found.reasons) == 2


def test_criteria_that_name_nothing_are_errors(settings):
    """A slice that the rows lack and a metric that was not scored stop before a comparison."""
    with pytest.raises(
        EvaluationError, match=r"slices names 'plan', which the rows do not have\. They have: 'city'"
    ):
        verdict(settings(slices={"plan": "all"}))
    report = scored("classification", TRUTH, GOOD)
    with pytest.raises(EvaluationError, match="No metric 'own:metric' to decide on"):
        decide(report, "accuracy", 0.6, settings=settings(margins={"own:metric": 0.1}), candidate=rows(GOOD))


def test_the_metrics_of_the_gate_are_scored(settings):
    """`evaluation.metrics` need not repeat them."""
    asked = settings(thresholds={"f1": 0.5}, margins={"brier": 0.1})
    asked = asked.model_copy(
        update={"evaluation": asked.evaluation.model_copy(update={"metrics": ("log_loss",)})}
    )
    report = scored("classification", TRUTH, GOOD, asked)
    assert list(report.metrics) == ["log_loss", "accuracy", "f1", "brier"]


def test_cost_is_the_mean_of_the_rows(settings):
    """A call without a price makes the mean unknown, and an unknown cost refuses."""
    asked = settings(task="text", metric="exact_match", max_cost_usd=0.01)
    for costs, reason in (
        ([0.02] * 4, "costs 0.02 US dollars"),
        ([0.02, float("nan")] * 2, "was not measured"),
        ([], "was not measured"),
    ):
        answers = ["a", "b", "c", "d"]
        report = scored("text", answers, answers)
        given = JudgedRows("text", answers, answers, answers, answers, cost_usd=costs)
        (found,) = decide(report, "exact_match", 0.5, settings=asked, candidate=given).reasons
        assert reason in found


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ({"thresholds": {"auc": 0.5}}, r"thresholds\.auc: classification has the metrics roc_auc"),
        ({"thresholds": {"f1": 1.5}}, r"thresholds\.f1: no model reaches it, since f1 is 1 at most"),
        ({"slice_thresholds": {"brier": -1.0}, "slices": {"a": "all"}}, r"slice_thresholds\.brier: no model"),
        ({"margins": {"rmse": 0.5}}, r"margins\.rmse: classification has"),
        ({"margins": {"f1": -0.5}}, r"gate\.margins\.f1' has value -0\.5"),
        ({"thresholds": {"accuracy": 0.5}}, "evaluation.threshold is the threshold of evaluation.metric"),
        ({"slices": {"plan": [1]}}, "plan: the value 1 is no text. Put it in quotes"),
        ({"slices": {"plan": []}}, "plan: write all, or a list"),
        ({"slice_thresholds": {"f1": 0.5}}, "slices names none"),
        ({"max_cost_usd": 1.0}, "max_cost_usd: rows of task classification make no LLM calls"),
        ({"confidence": 0.99, "resamples": 400}, "confidence of 0.99 needs 1,000 at least"),
    ],
)
def test_the_configuration_refuses_criteria_that_cannot_hold(settings, gate, message):
    """Before training, with the key."""
    with pytest.raises(ConfigError, match=message):
        settings(**gate)


def test_the_verdict_reads_well(settings):
    """Decision, outcome and tables; Korean values align, and signs of Markdown are text."""
    asked = settings(slices={"city": "all"}, min_rows=100)
    text = str(found := verdict(asked, champion=champion()))
    first, criteria, comparisons = text.split("\n\n")
    assert (
        first
        == "passed: accuracy 0.9000, and the gate asks for at least 0.6. Better than version 3 at Production."
    )
    assert "min rows              all        240    100    yes" in criteria
    assert "slice rows            city=부산  80     30     yes" in criteria
    assert [line.split()[-1] for line in comparisons.splitlines()[1:]] == ["better"] * 3
    assert "95% interval" in comparisons and "| accuracy | city=부산 (80) |" in found._repr_markdown_()
    awkward = np.where(CITIES == "부산", "a|b_*", "[c]")
    odd = [dataclasses.replace(rows(p), slices={"city": awkward}) for p in (GOOD, POOR)]
    shown = verdict(asked, candidate=odd[0], champion=dataclasses.replace(champion(), rows=odd[1]))
    assert r"city=a\|b\_\* (80)" in shown._repr_markdown_() and r"\[c]" in shown._repr_markdown_()
    assert Verdict.model_validate_json(found.model_dump_json()) == found


def test_the_tables_show_the_digits_that_decide(settings):
    """A value beside its limit, and a confidence that rounds to 100 %."""
    found = verdict(settings(confidence=0.995, resamples=4_000), champion=champion())
    assert "99.5% interval" in str(found) and "100% interval" not in str(found)
    near = Criterion(name="latency", value=100.004, limit=100, passed=False)
    missing = Criterion(name="latency", limit=1234.5, passed=False)
    shown = str(found.model_copy(update={"criteria": (near, missing)}))
    assert [line.split()[2:] for line in shown.splitlines() if line.startswith("latency")] == [
        ["100.004", "100", "no"], ["1,234", "no"],
    ]  # fmt: skip


def test_a_refused_verdict_opens_with_the_reason(settings):
    """The score that holds comes after it; the headline of a run has threshold and outcome."""
    worse = verdict(settings(), POOR, champion(GOOD))
    assert str(worse).startswith("refused: accuracy is worse than version 3")
    assert worse._repr_markdown_().startswith("**Refused**:\n\n- accuracy is worse than version 3")
    assert "the gate asks for at least 0.6. Worse than version 3 at Production." in str(worse)
    assert headline(worse) == "refused (threshold 0.6; worse than version 3 at Production)"
    assert headline(verdict(settings())).startswith("passed (threshold 0.6; no version is at Production")
    missed = verdict(settings(), 1 - GOOD)
    assert headline(missed).startswith("refused (threshold 0.6 missed; no version")
    broken = Champion("churn", 3, "run 3", problem="it does not load.")
    assert headline(verdict(settings(), champion=broken)) == (
        "refused (threshold 0.6; not compared with version 3 at Production)"
    )


@pytest.mark.parametrize(
    ("low", "difference", "high", "margin", "shown"),
    [
        (0.00003, 0.00031, 0.0006, 0.005, ("+0.00031", "+0.00003 to +0.0006", "0.005")),
        (-0.00004, 0.0008, 0.0018, 0.005, ("+0.0008", "-0.00004 to +0.0018", "0.005")),
        (-0.005004, -0.00051, 0.001, 0.005, ("-0.00051", "-0.005004 to +0.001", "0.005")),
        (-1234.5, 0.0, 20.25, 0.0, ("0", "-1,234 to +20", "0")),
        (None, 0.1, None, 0.01, ("+0.1", "", "0.01")),
    ],
)  # fmt: skip
def test_a_difference_has_the_digits_that_show_the_outcome(low, difference, high, margin, shown):
    """The sign of each end, and the lower end beside the margin."""
    one = Comparison(
        metric="brier", margin=margin, rows=9, entities=9, difference=difference, low=low, high=high,
        champion=0.1, challenger=0.1, outcome="not_worse",
    )  # fmt: skip
    assert differences(one) == shown


def test_many_slices_are_shortened(settings):
    """The lines that matter: all rows, and slices that refuse."""
    groups = [str(row % 40) for row in range(ROWS)]
    ours, theirs = (dataclasses.replace(rows(GOOD), slices={"city": groups}) for _ in range(2))
    asked = settings(slices={"city": "all"}, min_slice_rows=6, slice_thresholds={"accuracy": 0.9})
    text = str(verdict(asked, candidate=ours, champion=dataclasses.replace(champion(), rows=theirs)))
    assert "40 slices that hold are not shown." in text and len(text.splitlines()) < 30
