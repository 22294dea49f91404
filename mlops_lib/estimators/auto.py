"""The estimator ``auto``: boosted trees and a piecewise-linear model, weighted by how well each predicts held-out rows.

Small tables are cross-validated, so that every row is held out once; of a larger one, the validation split is held out.
The learners are then fitted once more on all rows. See docs/decisions/0506-the-auto-estimator.md.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlops_lib.estimators import basis, linear_model, table_model, trees

#: Tables with more rows are not cross-validated.
MAX_CROSS_VALIDATED = 20_000
SMALL_ROWS = 3_000
FOLDS = 5
#: Learners below this weight are left out.
MIN_WEIGHT = 0.02

Split = tuple[np.ndarray, np.ndarray]


def fit(
    matrix: np.ndarray,
    labels: np.ndarray,
    codes: Sequence[int],
    n_classes: int,
    *,
    weights: np.ndarray | None = None,
    held_out: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> "tuple[table_model.TableModel, dict[str, Any]]":
    """A fitted model and facts about it for people.

    Args:
        matrix: Encoded rows [rows, outputs].
        labels: Class codes 0 to n_classes - 1, or values.
        codes: Codes of each output; 0: a number.
        n_classes: 0: regression.
        weights: Weight of each row; None: 1.
        held_out: Whether a row is of the validation split. A large table's learners are chosen by these rows.
        groups: Rows of one group are held out together.
        seed: Decides folds and trees.
    """
    import sklearn.ensemble  # noqa: F401 - its libraries must be loaded before they can be limited
    from threadpoolctl import threadpool_limits

    # Threads that wait for each other cost a small table most of its time.
    with threadpool_limits(limits=1 if len(matrix) <= MAX_CROSS_VALIDATED else None):
        return _Fit(matrix, labels, codes, n_classes, weights, seed).run(
            _splits(labels, n_classes, held_out, groups, seed)
        )


def _splits(
    labels: np.ndarray, n_classes: int, held_out: np.ndarray | None, groups: np.ndarray | None, seed: int
) -> list[Split]:
    """Row numbers to learn from and row numbers held out, once or for each fold."""
    rows = len(labels)
    if rows > MAX_CROSS_VALIDATED:
        if held_out is None or not held_out.any():
            held_out = np.random.default_rng(seed).random(rows) < 0.15
        return [(np.flatnonzero(~held_out), np.flatnonzero(held_out))]
    fold = _folds(labels, n_classes, groups, seed)
    return [(np.flatnonzero(fold != one), np.flatnonzero(fold == one)) for one in range(fold.max() + 1)]


def _folds(labels: np.ndarray, n_classes: int, groups: np.ndarray | None, seed: int) -> np.ndarray:
    """Fold of each row; -1: held out in none, since it is the only one of its class."""
    random = np.random.default_rng(seed)
    if groups is not None:
        _, group = np.unique(groups, return_inverse=True)
        if group.max() + 1 < len(labels):
            return (random.permutation(group.max() + 1) % min(FOLDS, group.max() + 1))[group]
    fold = np.full(len(labels), -1)
    start = 0
    for one in range(max(n_classes, 1)):
        members = np.flatnonzero(labels == one) if n_classes else np.arange(len(labels))
        if len(members) > 1:
            fold[random.permutation(members)] = (start + np.arange(len(members))) % FOLDS
            start += len(members)
    return fold if fold.max() > 0 else np.arange(len(labels)) % FOLDS


class _Fit:
    def __init__(
        self,
        matrix: np.ndarray,
        labels: np.ndarray,
        codes: Sequence[int],
        n_classes: int,
        weights: np.ndarray | None,
        seed: int,
    ) -> None:
        self.matrix, self.codes, self.n_classes, self.seed = matrix, codes, n_classes, seed
        self.weights = np.ones(len(matrix)) if weights is None else weights / weights.mean()
        self.scores = n_classes if n_classes > 2 else 1
        self.mean, self.scale = 0.0, 1.0
        if not n_classes:
            self.mean = float(np.average(labels, weights=self.weights))
            self.scale = float(np.sqrt(np.average((labels - self.mean) ** 2, weights=self.weights))) or 1.0
        self.labels = labels.astype(np.intp) if n_classes else (labels - self.mean) / self.scale
        one_hot = (
            (self.labels[:, None] == np.arange(self.scores)) if self.scores > 1 else self.labels[:, None]
        )
        self.targets = one_hot.astype(np.float64)
        rows = len(matrix)
        small, medium = rows < SMALL_ROWS, rows <= MAX_CROSS_VALIDATED
        self.recipes = trees.SMALL if small else trees.MEDIUM if medium else trees.LARGE

    def run(self, splits: list[Split]) -> "tuple[table_model.TableModel, dict[str, Any]]":
        if self.recipes is trees.LARGE and not self.n_classes:
            return self._run_on_residuals(splits[0])
        held = np.concatenate([b for _, b in splits])
        curves: list[list[list[np.ndarray]]] = [[] for _ in self.recipes]
        bases = []
        for a, b in splits:
            arrays, learn, judge = self._expanded(a, b)
            for at, recipe in enumerate(self.recipes):
                curves[at].append(self._curve(recipe, learn, judge, a, b))
            parts = basis.fit_segments(learn, arrays)
            bases.append((table_model.segments(learn, parts), table_model.segments(judge, parts)))
        candidates, rounds = [], []
        for curve in curves:
            best = self._best_round(curve, splits)
            rounds.append(best + 1)
            candidates.append(np.concatenate([one[min(best, len(one) - 1)] for one in curve]))
        penalty, scores = self._best_penalty(bases, splits, held)
        candidates.append(scores)
        del bases, curves
        chosen = self._weights(np.stack(candidates), held)
        return self._final(chosen, rounds, penalty, candidates, held)

    def _run_on_residuals(self, split: Split) -> "tuple[table_model.TableModel, dict[str, Any]]":
        """A large regression: trees learn the error of the linear model, which many rows keep from overfitting."""
        a, b = split
        arrays, learn, judge = self._expanded(a, b)
        parts = basis.fit_segments(learn, arrays)
        both = table_model.segments(learn, parts), table_model.segments(judge, parts)
        penalty, scores = self._best_penalty([both], [split], b)
        coefficients, intercept = self._linear(both[0], a, penalty)
        labels = self.labels
        self.labels = labels.copy()
        self.labels[a] -= (both[0] @ coefficients.T + intercept)[:, 0]
        self.labels[b] -= scores[:, 0]
        curve = self._curve(self.recipes[0], learn, judge, a, b)
        best = self._best_round([curve], [split])
        self.labels = labels
        return self._final(np.ones(2), [best + 1], penalty, [curve[best], scores], b)

    def _expanded(self, a: np.ndarray, b: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        arrays = basis.fit_expansion(self.matrix[a], self.targets[a], self.weights[a], self.codes)
        learn = table_model.expand(self.matrix[a], arrays)
        learn = basis.cross_fitted(learn, self.matrix[a], self.targets[a], self.weights[a], arrays, self.seed)
        return arrays, learn, table_model.expand(self.matrix[b], arrays)

    def _curve(self, recipe: trees.Recipe, learn: Any, judge: Any, a: Any, b: Any) -> list[np.ndarray]:
        """Scores of the held-out rows after each round."""
        estimator = trees.boosted(recipe, self.n_classes, self.seed)
        labels, weights = self.labels, self.weights
        if (
            len(np.unique(labels[b])) < self.n_classes or len(b) < 10
        ):  # the estimator cannot judge these rows itself
            estimator.set_params(early_stopping=False)
            estimator.fit(learn, labels[a], weights[a])
        else:
            estimator.fit(
                learn, labels[a], weights[a], X_val=judge, y_val=labels[b], sample_weight_val=weights[b]
            )
        return [scores.copy() for scores in trees.staged(estimator, judge)]

    def _best_round(self, curve: list[list[np.ndarray]], splits: list[Split]) -> int:
        longest = max(map(len, curve))
        losses = np.zeros(longest)
        for scores, (_, b) in zip(curve, splits, strict=True):
            own = np.array([self.loss(one, b) for one in scores])
            losses += np.pad(own, (0, longest - len(own)), mode="edge") * self.weights[b].sum()
        return int(losses.argmin())

    def _best_penalty(self, bases: Any, splits: list[Split], held: np.ndarray) -> tuple[float, np.ndarray]:
        best: tuple[float, float, np.ndarray] | None = None
        for penalty in linear_model.penalties(self.n_classes):
            scores = []
            for (learn, judge), (a, _) in zip(bases, splits, strict=True):
                coefficients, intercept = self._linear(learn, a, penalty)
                scores.append(judge @ coefficients.T + intercept)
            joined = np.concatenate(scores)
            loss = self.loss(joined, held)
            if best is None or loss < best[0]:
                best = (loss, penalty, joined)
            elif loss > best[0] * 1.02:
                break
        assert best
        return best[1], best[2]

    def _linear(self, learn: np.ndarray, a: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
        return linear_model.fit(learn, self.labels[a], self.weights[a], self.n_classes, penalty)

    def loss(self, scores: np.ndarray, rows: np.ndarray) -> float:
        """Mean squared error of standardised labels, or mean log loss."""
        labels, weights = self.labels[rows], self.weights[rows]
        if not self.n_classes:
            each = (labels - scores[:, 0]) ** 2
        elif self.scores == 1:
            each = np.logaddexp(0, scores[:, 0]) - labels * scores[:, 0]
        else:
            top = scores.max(1)
            each = np.log(np.exp(scores - top[:, None]).sum(1)) + top - scores[np.arange(len(rows)), labels]
        return float(np.average(each, weights=weights))

    def _weights(self, candidates: np.ndarray, held: np.ndarray) -> np.ndarray:
        """Weights of the learners; drawn towards equal ones where rows are few."""
        from scipy.optimize import minimize

        equal = np.full(len(candidates), 1 / len(candidates))

        def objective(weights: np.ndarray) -> float:
            draw = 20.0 / len(held) * float(((weights - equal) ** 2).sum())
            return self.loss(np.tensordot(weights, candidates, 1), held) + draw

        found = minimize(objective, equal, bounds=[(0, 2)] * len(equal), method="L-BFGS-B").x
        return np.where(found < MIN_WEIGHT, 0.0, found)

    def _final(
        self,
        chosen: np.ndarray,
        rounds: list[int],
        penalty: float,
        candidates: list[np.ndarray],
        held: np.ndarray,
    ) -> "tuple[table_model.TableModel, dict[str, Any]]":
        every = np.arange(len(self.matrix))
        arrays, learn, _ = self._expanded(every, every[:0])
        segments = basis.fit_segments(learn, arrays)
        intercept, coefficients, labels = np.zeros(self.scores), np.empty((0, 0)), self.labels
        if weight := chosen[-1]:
            within = table_model.segments(learn, segments)
            coefficients, own = self._linear(within, every, penalty)
            coefficients, intercept = coefficients * weight, own * weight
            if self.recipes is trees.LARGE and not self.n_classes:
                labels = labels - (within @ coefficients.T + intercept)[:, 0]
        fitted = []
        # Two seeds, since one order of columns is chance; more rows leave less to it.
        seeds = [self.seed, self.seed + 1] if len(every) < SMALL_ROWS else [self.seed]
        for weight, recipe, count in zip(chosen, self.recipes, rounds, strict=False):
            for seed in seeds if weight else []:
                estimator = trees.boosted(recipe, self.n_classes, seed, count)
                fitted.append((estimator.fit(learn, labels, self.weights), float(weight) / len(seeds)))
        arrays |= segments | trees.to_arrays(fitted, learn.shape[1], self.scores)
        intercept = intercept + arrays.pop("baseline")
        arrays |= {"coefficients": coefficients, "intercept": intercept[None]}
        arrays |= {"n_classes": np.array(self.n_classes), "label_mean": np.array(self.mean)}
        arrays |= {"label_scale": np.array(self.scale)}
        names = [f"trees of {recipe.leaves} leaves" for recipe in self.recipes] + ["linear"]
        facts = {
            "weights": {name: round(float(weight), 2) for name, weight in zip(names, chosen, strict=True)},
            "rounds": rounds,
            "held_out_rows": len(held),
            "held_out_loss": self.loss(np.tensordot(chosen, np.stack(candidates), 1), held),
        }
        return table_model.TableModel(arrays), facts


class Auto:
    """The estimator of ``model.implementation: auto``.

    Args:
        random_state: Decides folds and trees.
    """

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def fit_encoded(
        self, matrix: np.ndarray, labels: np.ndarray, codes: Sequence[int], n_classes: int, **more: Any
    ) -> "tuple[table_model.TableModel, dict[str, Any]]":
        """See `fit`."""
        return fit(matrix, labels, codes, n_classes, seed=self.random_state, **more)
