"""Hyper-parameter search. MLflow stores the trials, and Optuna proposes the next values from them.

A search is one parent run. A trial is a child run with its values and its score, and the training of the
trial is a child of that, with the model. Nothing is stored elsewhere. So a search can be resumed anywhere,
and its trials can run on machines that share nothing but MLflow.
"""

from mlops_lib.search.lifecycle import BEST_TAG, SPACE_TAG, OnTrial, begin, finish, run
from mlops_lib.search.proposals import suggest
from mlops_lib.search.space import as_config
from mlops_lib.search.trial import VALUES_TAG, Trial, attempt, best, trials

__all__ = [
    "BEST_TAG", "SPACE_TAG", "VALUES_TAG", "OnTrial", "Trial",
    "as_config", "attempt", "begin", "best", "finish", "run", "suggest", "trials",
]  # fmt: skip
