"""Fit boosted trees with scikit-learn, and turn them into arrays."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from mlops_lib.estimators.table_model import ALL_LEAVES, MAX_LEAVES


class Recipe(NamedTuple):
    """Parameters of `HistGradientBoosting*`; `features` is the share of columns that a split chooses from."""

    leaves: int
    rate: float
    rounds: int
    features: float
    leaf_rows: int


#: Deep trees from few columns each (an average of many opinions), and shallow trees from most columns.
SMALL = (Recipe(31, 0.05, 400, 0.3, 2), Recipe(8, 0.05, 400, 0.7, 5))
MEDIUM = (Recipe(31, 0.05, 400, 0.3, 10), Recipe(8, 0.05, 400, 0.7, 20))
LARGE = (Recipe(MAX_LEAVES, 0.2, 250, 1.0, 20),)
PATIENCE = 30
#: Trees of a fit, where each round makes one for each class, and rows times classes that they learn from.
MAX_TREES, MAX_ROWS_CLASSES = 1_600, 2_000_000
MIN_ROUNDS, MAX_RATE = 50, 0.2


def bounded(recipes: tuple[Recipe, ...], scores: int) -> tuple[Recipe, ...]:
    """The recipes with fewer rounds of larger steps where many classes would make too many trees."""
    most = max(MIN_ROUNDS, MAX_TREES // scores)
    return tuple(
        one if one.rounds <= most
        else one._replace(rounds=most, rate=max(one.rate, min(MAX_RATE, one.rate * one.rounds / most)))
        for one in recipes
    )  # fmt: skip


def boosted(recipe: Recipe, n_classes: int, seed: int, rounds: int = 0) -> Any:
    """An estimator that is not fitted; with `rounds`, it makes this number, else it stops early."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if n_classes else HistGradientBoostingRegressor
    return kind(
        learning_rate=recipe.rate,
        max_leaf_nodes=recipe.leaves,
        max_iter=rounds or recipe.rounds,
        max_features=recipe.features,
        min_samples_leaf=recipe.leaf_rows,
        l2_regularization=3.0,
        early_stopping=not rounds,
        n_iter_no_change=PATIENCE,
        tol=0.0,
        random_state=seed,
    )


class Fitted(NamedTuple):
    """A fitted estimator, and the expanded rows that it is judged by."""

    estimator: Any
    judge: np.ndarray

    def staged(self) -> Iterator[np.ndarray]:
        """Scores [rows, scores] after each round; the same memory each time."""
        verb = "staged_decision_function" if hasattr(self.estimator, "classes_") else "staged_predict"
        for scores in getattr(self.estimator, verb)(self.judge):
            yield scores.reshape(len(self.judge), -1)

    def scores(self, rounds: int) -> np.ndarray:
        """Scores [rows, scores] after this number of rounds, or after the last one."""
        for scores in islice(self.staged(), rounds):
            found = scores
        return found.copy()


def to_arrays(estimators: list[tuple[Any, float]], columns: int, scores: int) -> dict[str, np.ndarray]:
    """Arrays for `mlops_lib.estimators.table_model.trees`, and the sum of the baselines as ``baseline``.

    Args:
        estimators: Fitted estimators and their weights in the sum.
        columns: Columns of the expanded rows.
        scores: Scores of a row.
    """
    # The trees of one score lie together, so that a sum over them runs along memory.
    flat = [
        _Flattened(round_[score].nodes, columns, weight)
        for score in range(scores)
        for one, weight in estimators
        for round_ in one._predictors
    ]
    baseline = sum(
        (weight * one._baseline_prediction.reshape(-1) for one, weight in estimators), np.zeros(scores)
    )
    return {
        "tree_feature": np.array([f for tree in flat for f in tree.feature], dtype=np.intp),
        "tree_threshold": np.array([t for tree in flat for t in tree.threshold], dtype=np.float64),
        "tree_mask": np.array([m for tree in flat for m in tree.mask], dtype=np.uint32),
        "tree_start": np.cumsum([0, *(len(tree.feature) for tree in flat)])[:-1],
        "tree_value": np.array([v for tree in flat for v in tree.value], dtype=np.float64),
        "leaf_start": np.cumsum([0, *(len(tree.value) for tree in flat)])[:-1],
        "baseline": baseline,
    }


class _Flattened:
    """The comparisons of one tree, and its leaves from left to right."""

    def __init__(self, nodes: np.ndarray, columns: int, weight: float) -> None:
        self.nodes, self.columns, self.weight = nodes, columns, weight
        self.feature: list[int] = []
        self.threshold: list[float] = []
        self.mask: list[int] = []
        self.value: list[float] = []
        self._add(0)
        if not self.feature:  # one leaf alone: a comparison that is never true
            self.feature, self.threshold, self.mask = [0], [np.inf], [int(ALL_LEAVES)]

    def _add(self, at: int) -> None:
        node = self.nodes[at]
        if node["is_leaf"]:
            self.value.append(node["value"] * self.weight)
            return
        own, first = len(self.feature), len(self.value)
        self.feature.append(int(node["feature_idx"]) + (0 if node["missing_go_to_left"] else self.columns))
        # Infinity as a threshold sends numbers to the left and gaps, which count as infinite here,
        # to the right.
        self.threshold.append(min(float(node["num_threshold"]), np.finfo(np.float64).max))
        self.mask.append(0)
        self._add(int(node["left"]))
        below = ((1 << len(self.value)) - 1) & ~((1 << first) - 1)
        self.mask[own] = int(ALL_LEAVES) & ~below
        self._add(int(node["right"]))
