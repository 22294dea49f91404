"""Metrics of rankings: means over the groups that can be ranked (two rows or more, one of them relevant).

Rows with equal scores have no order, so each value is its mean over all orders of them (McSherry and Najork
2008, "Computing information retrieval performance measures efficiently in the presence of tied scores").
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlops_lib.evaluation.metrics.interface import UndefinedError, metric

if TYPE_CHECKING:
    from mlops_lib.evaluation.ranking_cases import RankingCases

#: Checked rows -> the value of each group, float64 [G]; NaN for a group that cannot be ranked.
ByGroup = Callable[["RankingCases"], np.ndarray]


@dataclass(frozen=True)
class _Ordered:
    """The rows of all groups, by group and then by score, the highest first; every array is [N].

    Attributes:
        groups, truth: Of each row.
        place: In its group, from 0; among equal scores in any order.
        first, size: First place of the rows with its score, and their number.
        block: Number of these rows in all groups.
    """

    groups: np.ndarray
    truth: np.ndarray
    place: np.ndarray
    block: np.ndarray
    first: np.ndarray
    size: np.ndarray

    @classmethod
    def of(cls, cases: "RankingCases") -> "_Ordered":
        order = np.lexsort((-cases.predicted, cases.groups))
        groups, scores = cases.groups[order], cases.predicted[order]
        new_group = np.append(True, groups[1:] != groups[:-1])
        block = np.cumsum(new_group | np.append(True, scores[1:] != scores[:-1])) - 1
        position = np.arange(len(order))
        place = position - np.maximum.accumulate(np.where(new_group, position, 0))
        start = np.flatnonzero(np.append(True, block[1:] != block[:-1]))
        return cls(groups, cases.truth[order], place, block, place[start][block], np.bincount(block)[block])

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum of a value of each row over its group, [G]."""
        return np.bincount(self.groups, values)

    def expected(self, of_place: np.ndarray) -> np.ndarray:
        """Mean of a value of each place over the places that the row may have, [N]."""
        return np.bincount(self.block, of_place)[self.block] / self.size


def ndcg_by_group(cases: "RankingCases") -> np.ndarray:
    """As sklearn.metrics.ndcg_score: the relevance itself is the gain, its discount log2(place + 1)."""
    rows = _Ordered.of(cases)
    discount = np.where(rows.place < cases.k, 1 / np.log2(rows.place + 2), 0.0)
    ideal = np.lexsort((-cases.truth, cases.groups))
    best = rows.sums(cases.truth[ideal] * discount)  # the groups are in the same order, and so are places
    return _of_ranked(cases, rows.sums(rows.truth * rows.expected(discount)), best)


def map_by_group(cases: "RankingCases") -> np.ndarray:
    """Mean, over the relevant rows (k at most), of the precision at their places among the first k."""
    rows = _Ordered.of(cases)
    relevant = (rows.truth > 0).astype(float)
    of_block = np.bincount(rows.block, relevant)[rows.block]
    seen = np.cumsum(relevant)
    before_group = (seen - relevant)[np.flatnonzero(rows.place == 0)][rows.groups]
    starts = np.flatnonzero(np.append(True, rows.block[1:] != rows.block[:-1]))
    before_block = (seen - relevant)[starts][rows.block] - before_group
    others = (rows.place - rows.first) * (of_block - 1) / np.maximum(rows.size - 1, 1)
    hits = of_block / rows.size * (before_block + 1 + others) / (rows.place + 1)
    return _of_ranked(
        cases, rows.sums(np.where(rows.place < cases.k, hits, 0.0)), np.minimum(rows.sums(relevant), cases.k)
    )


def mrr_by_group(cases: "RankingCases") -> np.ndarray:
    """One divided by the place of the first relevant row."""
    from scipy.special import gammaln

    rows = _Ordered.of(cases)
    of_block = np.bincount(rows.block, rows.truth > 0)[rows.block]
    has = np.where(of_block > 0, rows.first, np.iinfo(int).max)
    earliest = np.full(len(cases.names), np.iinfo(int).max)
    np.minimum.at(earliest, rows.groups, has)
    at = (rows.first == earliest[rows.groups]) & (rows.place - rows.first <= rows.size - of_block)
    n, r, j = rows.size[at], of_block[at], (rows.place - rows.first)[at]
    # The probability that none of j rows before is relevant, and that the next one is.
    none_before = np.exp(gammaln(n - j + 1) - gammaln(n - j - r + 1) - gammaln(n + 1) + gammaln(n - r + 1))
    chance = np.zeros(len(rows.place))
    chance[at] = none_before * r / (n - j)
    return _of_ranked(cases, rows.sums(chance / (rows.place + 1)), np.ones(len(cases.names)))


def precision_by_group(cases: "RankingCases") -> np.ndarray:
    """Share of the first k rows that are relevant; of all rows in a group with fewer."""
    rows = _Ordered.of(cases)
    counted = rows.expected((rows.place < cases.k).astype(float))
    sizes = np.minimum(np.bincount(rows.groups), cases.k)
    return _of_ranked(cases, rows.sums((rows.truth > 0) * counted), sizes)


def recall_by_group(cases: "RankingCases") -> np.ndarray:
    """Share of the relevant rows that are among the first k."""
    rows = _Ordered.of(cases)
    counted = rows.expected((rows.place < cases.k).astype(float))
    return _of_ranked(cases, rows.sums((rows.truth > 0) * counted), rows.sums(rows.truth > 0))


def mean_relevance(cases: "RankingCases") -> np.ndarray:
    """Mean relevance of the rows at each of the first k places, over the groups that have such a place,
    [k at most]."""
    rows = _Ordered.of(cases)
    mean = np.bincount(rows.block, rows.truth)[rows.block] / rows.size
    counted = cases.ranked[rows.groups] & (rows.place < cases.k)
    place = rows.place[counted]
    return np.bincount(place, mean[counted]) / np.bincount(place)


@metric(lowest=0, highest=1)
def ndcg_at_k(cases: "RankingCases") -> float:
    """Normalised discounted cumulative gain of the first k rows."""
    return _mean(ndcg_by_group(cases))


@metric(lowest=0, highest=1)
def map_at_k(cases: "RankingCases") -> float:
    """Mean average precision of the first k rows."""
    return _mean(map_by_group(cases))


@metric(lowest=0, highest=1)
def mrr(cases: "RankingCases") -> float:
    """Mean reciprocal rank."""
    return _mean(mrr_by_group(cases))


@metric(lowest=0, highest=1)
def precision_at_k(cases: "RankingCases") -> float:
    """Precision of the first k rows."""
    return _mean(precision_by_group(cases))


@metric(lowest=0, highest=1)
def recall_at_k(cases: "RankingCases") -> float:
    """Recall of the first k rows."""
    return _mean(recall_by_group(cases))


def _of_ranked(cases: "RankingCases", top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.divide(top, bottom, out=np.full(len(cases.names), np.nan), where=cases.ranked)


def _mean(values: np.ndarray) -> float:
    if np.isnan(values).all():
        raise UndefinedError("no group has two rows, one of them relevant")
    return float(np.nanmean(values))
