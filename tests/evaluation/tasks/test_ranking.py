"""The ranking task: metrics, ties, groups without use, baselines, figures and the gate."""

from itertools import pairwise, permutations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import ndcg_score

from mlops_lib import evaluation
from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation import paired
from mlops_lib.evaluation.changed_rows import changed_rows
from mlops_lib.evaluation.judged import JudgedRows
from mlops_lib.evaluation.metrics import metric, ranking
from mlops_lib.evaluation.ranking_cases import RankingCases

BY_GROUP = {
    "ndcg_at_k": ranking.ndcg_by_group,
    "map_at_k": ranking.map_by_group,
    "mrr": ranking.mrr_by_group,
    "precision_at_k": ranking.precision_by_group,
    "recall_at_k": ranking.recall_by_group,
}
PLAIN = {  # of relevance in order, and k
    "ndcg_at_k": lambda r, k: _dcg(r, k) / _dcg(-np.sort(-r), k),
    "map_at_k": lambda r, k: (
        sum((r[: i + 1] > 0).mean() for i in range(min(k, len(r))) if r[i] > 0) / min((r > 0).sum(), k)
    ),
    "mrr": lambda r, k: 1 / (np.argmax(r > 0) + 1),
    "precision_at_k": lambda r, k: (r[:k] > 0).mean(),
    "recall_at_k": lambda r, k: (r[:k] > 0).sum() / (r > 0).sum(),
}


def _dcg(relevance, k):
    return float((relevance[:k] / np.log2(np.arange(len(relevance[:k])) + 2)).sum())


def groups_of(rng, groups, sizes=(2, 7), ties=True):
    """Relevance, scores and keys of groups, in a mixed order."""
    keys = np.repeat(np.arange(groups), rng.integers(*sizes, groups))
    truth = rng.integers(0, 3, len(keys)).astype(float)
    scores = rng.integers(0, 3, len(keys)).astype(float) if ties else rng.random(len(keys))
    order = rng.permutation(len(keys))
    return truth[order], scores[order], keys[order]


@pytest.mark.parametrize("name", BY_GROUP)
def test_equal_scores_count_as_the_mean_over_their_orders(name):
    """Each group's value is that of all orders that the scores allow, for any k."""
    rng = np.random.default_rng(1)
    for k in (1, 2, 3, 10):
        truth, scores, keys = groups_of(rng, 30)
        cases = RankingCases.read(truth, scores, keys, k)
        values = BY_GROUP[name](cases)
        for at, key in enumerate(cases.names):
            own, ranks = truth[keys == key], scores[keys == key]
            if not (own > 0).any():
                assert np.isnan(values[at])
                continue
            orders = [
                list(order)
                for order in permutations(range(len(own)))
                if all(ranks[a] >= ranks[b] for a, b in pairwise(order))
            ]
            wanted = np.mean([PLAIN[name](own[order], k) for order in orders])
            assert values[at] == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("ties", [True, False])
def test_metrics_equal_those_of_scikit_learn_and_torchmetrics(ties):
    """NDCG also with equal scores; the others have no order of them in torchmetrics."""
    import torch
    from torchmetrics.functional import retrieval

    truth, scores, keys = groups_of(np.random.default_rng(2), 60, (2, 30), ties)
    k = 5
    cases = RankingCases.read(truth, scores, keys, k)
    values = {name: by_group(cases) for name, by_group in BY_GROUP.items()}
    for at, key in enumerate(cases.names):
        own, ranks = truth[keys == key], scores[keys == key]
        if not (own > 0).any():
            continue
        assert values["ndcg_at_k"][at] == pytest.approx(ndcg_score([own], [ranks], k=k), abs=1e-12)
        if ties:
            continue
        sent = torch.tensor(ranks), torch.tensor(own > 0)
        wanted = {
            "mrr": retrieval.retrieval_reciprocal_rank(*sent),
            "precision_at_k": retrieval.retrieval_precision(*sent, top_k=k, adaptive_k=True),
            "recall_at_k": retrieval.retrieval_recall(*sent, top_k=k),
        }
        for name, value in wanted.items():
            assert values[name][at] == pytest.approx(float(value), abs=1e-6)
    all_rows = ranking.map_by_group(cases._replace(k=len(truth)))
    if not ties:
        for at, key in enumerate(cases.names):
            own, ranks = torch.tensor(truth[keys == key] > 0), torch.tensor(scores[keys == key])
            if own.any():
                wanted = float(retrieval.retrieval_average_precision(ranks, own))
                assert all_rows[at] == pytest.approx(wanted, abs=1e-6)


def report(truth, predicted, keys, **more):
    return evaluation.evaluate("ranking", truth, predicted, split="test", facts={"key": keys}, **more)


def test_a_report_names_the_groups_that_are_left_out():
    """A group of one row, and one without a relevant row, say nothing about an order."""
    keys = ["하나", "둘", "둘", "셋", "셋", "셋"]
    found = report([1, 0, 2, 0, 0, 0], [1, 5, 3, 1, 2, 3], keys, train=([[0]], [0]), test_x=[[0]] * 6,
                   baseline_names=["constant"])  # fmt: skip
    assert found.metrics["mrr"].value == 0.5 and found.baselines["constant"]["mrr"].value == 0.75
    assert "1 of 3 groups are scored" in found.notes["groups"]
    assert "1 groups of one row and 1 without a relevant row are left out" in found.notes["groups"]
    (table,) = found.tables.values()
    assert table["group"].tolist() == ["둘"]
    assert set(found.figures) == {"places", "groups"}
    assert all(figure.png.startswith(b"\x89PNG") for figure in found.figures.values())


def test_without_a_group_to_rank_there_is_no_score():
    found = report([0, 0, 1], [1, 2, 3], ["a", "a", "b"])
    assert found.metrics["ndcg_at_k"].value is None and not found.figures
    assert found.metrics["ndcg_at_k"].reason == "no group has two rows, one of them relevant"


@pytest.mark.parametrize(
    ("truth", "predicted", "keys", "words"),
    [
        ([1, -2], [0, 0], ["a", "a"], "relevance is negative in row 1"),
        ([1, np.nan], [0, 0], ["a", "a"], "y_true is not finite in row 1"),
        ([1, 0], [0, np.inf], ["a", "a"], "y_pred is not finite in row 1"),
        ([1, 0], [[0, 0], [0, 0]], ["a", "a"], "gives 2 numbers for each row, and a ranking takes one score"),
        ([1, 0], [0, 0], ["a"], "1 groups for 2 rows"),
    ],
)
def test_rows_that_cannot_be_ranked_are_refused(truth, predicted, keys, words):
    with pytest.raises(EvaluationError, match=words):
        report(truth, predicted, keys)


def test_a_ranking_without_groups_names_the_setting():
    with pytest.raises(EvaluationError, match=r"set data\.key"):
        evaluation.evaluate("ranking", [1, 0], [0, 1], split="test")


@metric(lowest=0, highest=1)
def looped(cases):
    """NDCG as a metric of one's own, which the gate computes on the rows of each resample."""
    return ranking.ndcg_at_k(cases)


def judged(truth, predicted, keys, **more):
    ids = [str(row) for row in range(len(truth))]
    return JudgedRows("ranking", ids, [str(key) for key in keys], truth, predicted, **more)


def test_the_gate_draws_whole_groups():
    """The vectorised metrics equal the metric on the drawn rows, where a group may come several times."""
    rng = np.random.default_rng(3)
    truth, scores, keys = groups_of(rng, 60)
    sides = judged(truth, scores + truth, keys), judged(truth, scores, keys)
    own = f"{__name__}:looped"
    found = paired.compare(*sides, {"ndcg_at_k": None, own: None, "mrr": None}, resampled=200)
    fast, slow, _ = found
    # A metric of one's own may use the groups without a relevant row, so its interval is for more of them.
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high), rel=1e-3) and slow.entities == 60
    assert fast.entities == RankingCases.read(truth, scores, keys).ranked.sum() < 60
    assert [one.outcome for one in found] == ["better"] * 3 and fast.margin == 0.01
    assert paired.compare(sides[1], sides[1], {"mrr": None})[0].outcome == "not_worse"


@pytest.mark.parametrize(("ranked", "expected"), [(5, "undecided"), (12, "better")])
def test_groups_without_a_relevant_row_are_no_evidence(ranked, expected):
    """Five groups decide nothing, however many there are in which no order is better."""
    truth, keys = np.zeros(300), np.arange(300) // 3
    truth[: 3 * ranked : 3] = 1
    best, worst = np.tile([2.0, 1, 0], 100), np.tile([0.0, 1, 2], 100)
    (found,) = paired.compare(judged(truth, best, keys), judged(truth, worst, keys), {"ndcg_at_k": None})
    assert found.outcome == expected and found.entities == ranked


def test_scores_of_another_scale_are_no_difference():
    """The order decides: the two models do not differ on any group."""
    truth, scores, keys = groups_of(np.random.default_rng(4), 40)
    sides = judged(truth, scores * 7 + 1, keys), judged(truth, scores, keys)
    (found,) = paired.compare(*sides, {"ndcg_at_k": None}, resampled=50)
    assert found.outcome == "not_worse" and found.difference == 0
    assert changed_rows(*sides, "ndcg_at_k", True)[1] == f"0 of {len(truth)} rows changed."


def test_a_row_without_a_prediction_is_placed_worst():
    """A relevant row comes last, another one first."""
    truth, keys = np.array([2.0, 1.0, 0.0, 0.0]), ["a"] * 4
    failed = judged(truth, [None, 3.0, None, 1.0], keys, errors=["no answer", "", "no answer", ""])
    good = judged(truth, [4.0, 3.0, 2.0, 1.0], keys)
    assert paired.scores(good, "mrr", {"": np.arange(4)}) == {"": 1.0}
    assert paired.scores(failed, "mrr", {"": np.arange(4)}) == {"": 0.5}
    table, sentence = changed_rows(failed, good, "mrr", True)
    assert sentence == "3 of 4 rows changed: 3 placed worse, 0 placed better."
    assert table.loc[0, "row"] == 0 and table.loc[0, "difference"] == -3


def test_a_baseline_learns_the_relevance():
    """`ridge` orders rows by the relevance that it predicts."""
    rng = np.random.default_rng(5)
    x = pd.DataFrame({"점수": rng.normal(size=300)})
    truth, keys = (x["점수"] > 0.5).astype(float).to_numpy(), np.arange(300) % 30
    found = report(truth, np.zeros(300), keys, train=(x, truth), test_x=x, baseline_names=["ridge"])
    assert found.baselines["ridge"]["mrr"].value == 1.0


def test_a_slice_with_parts_of_groups_is_refused():
    """The gate refuses with the first group that is cut; a slice of whole groups is compared."""
    truth, scores, keys = groups_of(np.random.default_rng(6), 40, (4, 5))
    sides = judged(truth, scores + truth, keys), judged(truth, scores, keys)
    whole, cut = np.flatnonzero(keys < 20), np.flatnonzero(np.arange(160) % 2)
    every, some = paired.compare(*sides, {"mrr": None}, {"region=north": whole}, resampled=50)
    ranked = RankingCases.read(truth, scores, keys).ranked
    assert (every.entities, some.entities) == (ranked.sum(), ranked[:20].sum())
    with pytest.raises(
        EvaluationError, match=r"groups have rows inside the slice and outside it; the first is '\d+'"
    ):
        paired.compare(*sides, {"mrr": None}, {"half=a": cut}, resampled=50)
