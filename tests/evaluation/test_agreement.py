"""Agreement of a judge with people, against scikit-learn and scipy."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from mlops_lib.evaluation.agreement import agreement


def test_the_measures_are_those_of_the_libraries():
    """Share, quadratic kappa and Spearman equal theirs; the intervals hold the values."""
    random = np.random.default_rng(1)
    people = random.integers(1, 6, 60)
    judge = np.clip(people + random.integers(-1, 2, 60), 1, 5)
    same, kappa, rank = agreement(judge[:, None], people, [1, 2, 3, 4, 5])
    assert same.value == pytest.approx((judge == people).mean())
    assert kappa.value == pytest.approx(cohen_kappa_score(judge, people, weights="quadratic"))
    assert rank.value == pytest.approx(spearmanr(judge, people).statistic)
    for one in (same, kappa, rank):
        assert one.low < one.value < one.high and one.high - one.low < 0.4


def test_each_repeat_is_a_rating_of_its_own():
    """Of a scale with gaps too: no mean is rounded to a score. The correlation takes the means."""
    people, scale = np.array([1, 5, 10, 5]), [1, 5, 10]
    judge = np.array([[1, 5], [5, 5], [10, 10], [10, 1]])
    same, kappa, rank = agreement(judge, people, scale)
    pairs = judge.ravel(), people.repeat(2)
    assert same.value == pytest.approx(5 / 8)
    assert kappa.value == pytest.approx(cohen_kappa_score(*pairs, labels=scale, weights="quadratic"))
    assert rank.value == pytest.approx(spearmanr(judge.mean(axis=1), people).statistic)


def test_one_score_for_all_has_no_kappa():
    """Chance agreement is complete then: no value, and not 0 or 1."""
    same, kappa, rank = agreement([[3], [3], [3]], [3, 3, 3], [1, 2, 3])
    assert same.value == 1.0 and kappa.value is None and rank.value is None
