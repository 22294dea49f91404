"""Metrics of rankings on many resamples at once; see `paired.classification` for the form."""

from collections.abc import Callable

import numpy as np

from mlops_lib.evaluation.metrics.ranking import ByGroup
from mlops_lib.evaluation.paired.sums import Statistic, mean
from mlops_lib.evaluation.ranking_cases import RankingCases


def of_groups(by_group: ByGroup) -> Callable[[RankingCases], Statistic]:
    """The mean over the groups of each resample, which has all rows of a group or none."""

    def build(cases: RankingCases) -> Statistic:
        values = by_group(cases)[cases.groups]
        counted = np.zeros(len(values))
        counted[np.unique(cases.groups, return_index=True)[1]] = 1.0  # the first row stands for its group
        counted[np.isnan(values)] = 0.0
        return mean(np.nan_to_num(values), counted)

    return build
