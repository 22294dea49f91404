"""Two models on the same rows: outcomes, entities, slices, rows that a model failed on, agreement with sacrebleu."""

import dataclasses

import numpy as np
import pytest

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.judged import JudgedRows
from mlops_lib.evaluation.paired import compare, outcome, resamples
from mlops_lib.evaluation.paired.rows import complete
from mlops_lib.evaluation.report import Comparison


def judged(truth, predicted, entities=None, task="classification", **more) -> JudgedRows:
    ids = [f"row {number}" for number in range(len(truth))]
    more.setdefault("classes", [0, 1] if task == "classification" else ())
    return JudgedRows(task, ids, ids if entities is None else entities, truth, predicted, **more)


def one(challenger, champion, metric="accuracy", margin=None, **more) -> Comparison:
    return compare(challenger, champion, {metric: margin}, resampled=400, **more)[0]


def hits(rows, right) -> tuple[np.ndarray, np.ndarray]:
    """Truth of two classes, and predictions that are right on the first `right` rows."""
    truth = np.arange(rows) % 2
    return truth, np.where(np.arange(rows) < right, truth, 1 - truth).astype(float)


@pytest.mark.parametrize(
    ("low", "high", "margin", "expected"),
    [
        (0.001, 0.2, 0.0, "better"),
        (0.0, 0.2, 0.0, "not_worse"),
        (-0.01, 0.2, 0.01, "not_worse"),
        (-0.01, -0.005, 0.01, "not_worse"),
        (-0.02, -0.005, 0.01, "worse"),
        (-0.02, 0.0, 0.01, "undecided"),
        (0.0, 0.0, 0.0, "not_worse"),
    ],
)
def test_the_outcome_of_an_interval(low, high, margin, expected):
    """Better excludes 0; not worse reaches no further than the margin; worse excludes 0 below it."""
    assert outcome.outcome(low, high, margin) == expected


def test_a_better_and_a_worse_model_are_told_apart():
    """The difference is positive for the better model, for scores and for losses; McNemar's p goes with it."""
    truth, good = hits(400, 320)
    _, poor = hits(400, 240)
    found = one(judged(truth, good), judged(truth, poor))
    assert found.outcome == "better" and found.difference == pytest.approx(0.2) and found.mcnemar_p < 1e-6
    assert found.low > 0 and found.smallest_difference == pytest.approx((found.high - found.low) / 2)
    assert one(judged(truth, poor), judged(truth, good)).outcome == "worse"
    loss = one(judged(truth, good), judged(truth, poor), "log_loss")
    assert (
        loss.outcome == "better"
        and loss.difference > 0
        and loss.margin == pytest.approx(0.02 * loss.champion)
    )


def test_identical_predictions_are_not_worse_without_a_margin():
    """Nothing differs, so nothing is in doubt, on few rows too."""
    for rows in (1, 3, 200):
        truth, same = hits(rows, rows // 2)
        found = one(judged(truth, same), judged(truth, same), margin=0.0)
        assert (found.outcome, found.difference, found.low, found.high) == ("not_worse", 0.0, 0.0, 0.0)


def test_duplicated_rows_make_no_significance():
    """Rows twenty times over, as one entity each: the same interval as without the copies."""
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 2, 150)
    ours, theirs = rng.uniform(0, 1, (2, 150))
    places = np.repeat(np.arange(150), 20)
    keys = [str(place) for place in places]
    plain = one(judged(truth, ours), judged(truth, theirs), "roc_auc")
    copied = one(
        judged(truth[places], ours[places], keys), judged(truth[places], theirs[places], keys), "roc_auc"
    )
    assert (copied.low, copied.high) == pytest.approx((plain.low, plain.high), abs=1e-12)
    assert copied.entities == 150 and copied.rows == 3000
    apart = one(judged(truth[places], ours[places]), judged(truth[places], theirs[places]), "roc_auc")
    assert apart.high - apart.low < (plain.high - plain.low) / 3


@pytest.mark.parametrize("entities", [1, 5])
def test_few_entities_decide_nothing(entities):
    """A hundred rows of one customer are one observation."""
    truth, good = hits(100, 100)
    _, poor = hits(100, 0)
    keys = [str(row % entities) for row in range(100)]
    found = one(judged(truth, good, keys), judged(truth, poor, keys))
    assert found.outcome == "undecided" and "6 are needed" in found.reason and found.rows_needed >= 100


def test_few_differing_rows_are_no_proof():
    """Four rows that all favour one model have p = 0.125; the bootstrap alone would call it better."""
    truth, champion = hits(300, 296)
    found = one(judged(truth, truth.astype(float)), judged(truth, champion))
    assert found.low > 0 and found.mcnemar_p == pytest.approx(0.125)
    assert found.outcome == "not_worse" and "differ on 4 entities" in found.reason


def test_undecided_says_how_many_rows_would_decide():
    """The difference stays, and the interval shrinks with the square root of the rows."""
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 2, 200)
    ours, theirs = (np.clip(truth * 0.4 + rng.uniform(0, 0.6, 200), 0, 1) for _ in range(2))
    found = one(judged(truth, ours), judged(truth, theirs), "roc_auc", margin=0.001)
    assert found.outcome == "undecided" and found.rows_needed > 200
    assert outcome.rows_needed(0.0, -0.1, 0.1, 0.05, 200) == 800
    assert outcome.rows_needed(-0.02, -0.1, 0.06, 0.0, 200) == 3_200
    assert outcome.rows_needed(0.0, -0.1, 0.1, 0.0, 200) == outcome.MAX_ROWS


def test_a_resample_without_a_value_is_counted():
    """One positive row is missing from a third of the resamples; twenty are missing from none."""
    rng = np.random.default_rng(6)
    ours, theirs = rng.uniform(0, 1, (2, 400))
    rare = np.zeros(400, int)
    rare[:1] = 1
    found = one(judged(rare, ours), judged(rare, theirs), "roc_auc")
    assert found.outcome == "undecided" and 100 < found.undefined < 200 and found.low is None
    assert "no value on" in found.reason and 1_000 < found.rows_needed < 4_000
    rare[:20] = 1
    assert one(judged(rare, ours), judged(rare, theirs), "roc_auc").undefined == 0
    none = one(judged(np.zeros(400, int), ours), judged(np.zeros(400, int), theirs), "roc_auc")
    assert (
        none.outcome == "undecided" and none.champion is None and "all 400 rows are of class 0" in none.reason
    )


def test_slices_are_compared_on_their_own_rows():
    """Better in total and worse in one slice; each slice has the rows and scores of its own."""
    truth, _ = hits(600, 600)
    at = np.arange(600)
    ours = np.where(at < 100, 1 - truth, truth).astype(float)
    theirs = np.where((at < 100) | (at % 3 == 0), truth, 1 - truth).astype(float)
    groups = {"plan=a": np.flatnonzero(at < 100), "plan=b": np.flatnonzero(at >= 100)}
    total, small, large = compare(
        judged(truth, ours), judged(truth, theirs), {"accuracy": None}, groups, resampled=400
    )
    assert [found.slice for found in (total, small, large)] == ["", "plan=a", "plan=b"]
    assert (total.outcome, small.outcome, large.outcome) == ("better", "worse", "better")
    assert (small.champion, small.challenger, small.rows) == (1.0, 0.0, 100)


def test_a_row_that_a_model_failed_on_is_its_worst():
    """Certain of a wrong class, or off by the largest error of either model; for the model that failed alone."""
    truth, good = hits(200, 200)
    failing = judged(truth, [None if row < 50 else good[row] for row in range(200)])
    found = one(failing, judged(truth, good))
    assert found.challenger == 0.75 and found.champion == 1.0 and found.outcome == "worse"
    numbers = np.arange(200.0)
    named = judged(numbers, np.where(numbers < 50, np.nan, numbers + 1), task="regression",
                   errors=["time-out" if row < 50 else "" for row in range(200)])  # fmt: skip
    other = judged(numbers, numbers + np.where(numbers == 60, 9, 2), task="regression")
    found = one(named, other, "mae")
    assert found.challenger == pytest.approx((50 * 9 + 150) / 200)
    with pytest.raises(EvaluationError, match="failed on all 200 rows"):
        one(judged(truth, [None] * 200), judged(truth, good))


def test_nan_is_no_prediction():
    """A NaN that nobody called an error stops the comparison."""
    truth, good = hits(50, 40)
    with pytest.raises(EvaluationError, match="not finite in row 3"):
        one(judged(truth, np.where(np.arange(50) == 3, np.nan, good)), judged(truth, good))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": ["row 1", "row 0", *(f"row {n}" for n in range(2, 20))]}, "in another order"),
        ({"ids": ["x", *(f"row {n}" for n in range(1, 20))]}, "differ in row 0"),
        ({"truth": np.ones(20)}, "different truth"),
        ({"weights": np.ones(20)}, "different weights"),
        ({"entities": ["k"] * 20}, "different keys"),
        ({"task": "regression"}, "task is 'classification'"),
    ],
)
def test_other_rows_are_refused(change, message):
    """Both models must have answered the same rows in the same order."""
    truth, good = hits(20, 15)
    rows = judged(truth, good)
    with pytest.raises(EvaluationError, match=message):
        one(rows, dataclasses.replace(rows, **change))
    fewer = judged(truth[:19], good[:19])
    with pytest.raises(EvaluationError, match="20 rows and the champion 19"):
        one(rows, fewer)


def test_a_class_that_the_champion_does_not_know_counts_as_wrong_for_it():
    """The new model has learned a third class; columns of another order are brought in line."""
    truth = np.array(["a", "b", "c"] * 40)
    sure = np.eye(3)[[0, 1, 2] * 40]
    ours = judged(truth, sure, classes=["a", "b", "c"])
    theirs = judged(truth, np.where(truth == "a", 1.0, 0.0), classes=["b", "a"])
    found = one(ours, theirs)
    assert (found.challenger, found.champion, found.outcome) == (1.0, pytest.approx(2 / 3), "better")
    gone = [None, None, None, *ours.predicted[3:]]  # rows without a prediction stay so
    assert one(dataclasses.replace(ours, predicted=gone), theirs).challenger == pytest.approx(117 / 120)


def test_blocks_do_not_change_the_resamples(monkeypatch):
    """Memory is bounded by blocks; seed and number of entities alone make the resamples, as sacrebleu draws them."""
    codes = resamples.codes(["b", "a", "b", "c"])
    assert codes.tolist() == [0, 1, 0, 2]
    whole = np.vstack(list(resamples.blocks(codes, 50, 1)))
    monkeypatch.setattr(resamples, "BLOCK_NUMBERS", 28)
    parts = list(resamples.blocks(codes, 50, 1))
    assert len(parts) == 8 and np.array_equal(np.vstack(parts), whole)
    drawn = np.random.default_rng(1).choice(3, size=(50, 3), replace=True)
    assert np.array_equal(whole[:, [0, 1, 3]], [np.bincount(row, minlength=3) for row in drawn])


@pytest.mark.parametrize("metric", ["bleu", "chrf"])
@pytest.mark.parametrize("lost", [0.2, 0.5])
def test_bleu_and_chrf_agree_with_sacrebleus_paired_bootstrap(metric, lost, monkeypatch):
    """The same resamples give sacrebleu's mean, interval and p; better exactly where it finds significance."""
    from sacrebleu.metrics import BLEU, CHRF
    from sacrebleu.significance import PairedTest, estimate_ci

    monkeypatch.setenv("SACREBLEU_SEED", "12")
    rng = np.random.default_rng(4)
    references = [" ".join(f"w{n}" for n in rng.integers(0, 50, 12)) for _ in range(80)]
    shortened = [
        [" ".join(w for w in text.split() if rng.random() > share) or "w" for text in references]
        for share in (0.2, lost)
    ]
    named = [("champion", shortened[1]), ("challenger", shortened[0])]
    theirs = PairedTest(named, {metric: {"bleu": BLEU, "chrf": CHRF}[metric]()}, [references], "bs", 500)()[1]
    (result,) = [found for key, found in theirs.items() if key != "System"]
    ours, champion = (
        judged(references, answers, task="text", values={metric: [1.0] * 80}) for answers in shortened
    )
    (found,) = compare(ours, champion, {metric: None}, resampled=500, seed=12)
    assert found.challenger == pytest.approx(result[1].score) and found.champion == pytest.approx(
        result[0].score
    )
    from mlops_lib.evaluation.paired.models import Model

    statistic = Model(ours, champion).statistic(metric, np.arange(80))
    drawn = np.concatenate([statistic(c) for c in resamples.blocks(np.arange(80), 500, 12)])
    assert estimate_ci(drawn) == pytest.approx((result[1].mean, result[1].ci), rel=1e-6)
    assert (found.outcome == "better") is bool(result[1].p_value < 0.05) is (lost == 0.5)


def test_a_metric_of_the_users_own_is_computed_on_each_resample(tmp_path, monkeypatch):
    """A plain function of checked rows needs no vectorised form; one that fails is named."""
    (tmp_path / "resampled_metrics.py").write_text(
        "def missed(cases):\n    return (cases.probabilities[cases.codes == 1, 1] < 0.5).mean()\n"
        "missed.higher_is_better = False\n"
        "def broken(cases):\n    raise ZeroDivisionError('none')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    truth, good = hits(200, 160)
    _, poor = hits(200, 100)
    found = one(judged(truth, good), judged(truth, poor), "resampled_metrics:missed")
    assert found.outcome == "better" and found.champion == pytest.approx(0.5)
    with pytest.raises(EvaluationError, match=r"broken' failed: ZeroDivisionError: none"):
        one(judged(truth, good), judged(truth, poor), "resampled_metrics:broken")


def test_weights_count():
    """A model that is right on the rows with weight is better, whatever it does on the others."""
    truth, good = hits(200, 100)
    weights = np.where(np.arange(200) < 100, 1.0, 0.01)
    found = one(judged(truth, good, weights=weights), judged(truth, 1 - good, weights=weights))
    assert found.challenger == pytest.approx(100 / 101) and found.outcome == "better"


def test_rows_without_weight_are_no_entities():
    """Five entities with weight decide nothing, however many there are without; six do."""
    truth, good = hits(200, 200)
    for counted, outcomes in ((5, {"undecided"}), (12, {"better"})):
        weights = (np.arange(200) < counted).astype(float)
        found = one(judged(truth, good, weights=weights), judged(truth, 1 - good, weights=weights), "brier")
        assert {found.outcome} == outcomes and found.entities == counted


def test_mcnemars_test_counts_the_rows_with_weight():
    """The models differ on six rows with weight, and on all others."""
    truth, good = hits(40, 40)
    weights = np.r_[np.ones(20), np.zeros(20)]
    poor = np.where((np.arange(40) < 6) | (np.arange(40) >= 20), 1 - good, good)
    found = one(judged(truth, good, weights=weights), judged(truth, poor, weights=weights))
    assert found.mcnemar_p == pytest.approx(2 / 2**6)


@pytest.mark.slow
def test_a_resample_without_weight_has_no_value():
    """scikit-learn raises an error on rows without weight; the comparison leaves such a resample out."""
    truth = np.arange(100.0)
    weights = (truth < 8).astype(float)
    good, poor = (
        judged(truth, truth + off, task="regression", weights=weights) for off in (1.0, np.arange(100) + 2.0)
    )
    found = one(good, poor, "median_absolute_error")
    assert found.outcome == "better" and found.entities == 8


@pytest.mark.slow
@pytest.mark.parametrize("draw", ["classification", "regression", "text"])
def test_equally_good_models_are_seldom_called_better(draw):
    """`benchmarks/gate.py` counts 1,000 pairs; 60 must not have more than chance allows at 2.5 % each."""
    from benchmarks import gate

    found = [
        gate.contest(getattr(gate, draw)(np.random.default_rng([1, pair])), pair, resampled=300).outcome
        for pair in range(60)
    ]
    assert found.count("better") <= 5 and found.count("worse") <= 5


@pytest.mark.parametrize(
    ("task", "worst"), [("multilabel", [[0.0, 1.0], [0.5, 0.5]]), ("multioutput", [[1.75, 0.75], [0.5, 0.5]])]
)
def test_a_missing_prediction_of_several_labels_is_the_worst(task, worst):
    """The opposite of each label; or each number off by the label's largest error."""
    same = {"task": task, "ids": ["1", "2"], "entities": ["1", "2"], "truth": [[1, 0], [0, 1]]}
    failed = JudgedRows(**same, predicted=[None, [0.5, 0.5]], errors=["time-out", ""])
    other = JudgedRows(**same, predicted=[[0.25, 0.75], [0.5, 0.5]])
    assert complete(failed, other)[0].tolist() == worst


def test_models_without_a_common_class_are_not_compared():
    """Each would be wrong on all rows of the other's classes, and the challenger always better."""
    truth = np.array(["a", "b"] * 20)
    ours = judged(truth, np.where(truth == "b", 0.9, 0.1), classes=["a", "b"])
    theirs = dataclasses.replace(ours, classes=["yes", "no"])
    with pytest.raises(
        EvaluationError,
        match="the classes 'a', 'b', and the champion 'yes', 'no': none in common.*rename them in data.prepare.*gate.champion: false",
    ):
        one(ours, theirs)
