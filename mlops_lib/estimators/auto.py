"""The estimator ``auto``: boosted trees and a piecewise-linear model,
weighted by how well each predicts held-out rows.

Small tables are cross-validated, so that every row is held out once; of a larger one, the validation split is
held out. The learners are then fitted once more on all rows. See docs/decisions/0506-the-auto-estimator.md.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlops_lib.estimators import basis, linear_model, table_model, trees
from mlops_lib.estimators.folds import MAX_CROSS_VALIDATED, Split, sample, splits_of

SMALL_ROWS = 3_000
#: A thread for so many rows: threads that wait for each other cost a smaller table most of its time.
ROWS_A_THREAD = 500_000
#: Learners below this weight are left out.
MIN_WEIGHT = 0.02


def fit(
    matrix: np.ndarray,
    labels: np.ndarray,
    codes: Sequence[int],
    n_classes: int,
    *,
    weights: np.ndarray | None = None,
    held_out: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    in_time: bool = False,
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
        in_time: The rows of `held_out` are later than the others,
            and choose the learners of a small table too.
        seed: Decides folds and trees.
    """
    import joblib
    import sklearn.ensemble  # noqa: F401 - its libraries must be loaded before they can be limited
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=min(1 + len(matrix) // ROWS_A_THREAD, joblib.cpu_count())):
        return _Fit(matrix, labels, codes, n_classes, weights, seed).run(
            splits_of(labels, n_classes, held_out, groups, seed, in_time)
        )


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
        self.large_regression = not (medium or n_classes)
        recipes = trees.SMALL if small else trees.MEDIUM if medium else trees.LARGE
        self.recipes = trees.bounded(recipes, self.scores)
        self.fewer_rounds = self.recipes != recipes

    def run(self, splits: list[Split]) -> "tuple[table_model.TableModel, dict[str, Any]]":
        if self.large_regression:
            return self._run_on_residuals(splits[0])
        held = np.concatenate([b for _, b in splits])
        boosted: list[list[trees.Fitted]] = [[] for _ in self.recipes]
        bases = []
        for a, b in splits:
            arrays, learn, judge = self._expanded(a, b)
            for at, recipe in enumerate(self.recipes):
                boosted[at].append(self._boosted(recipe, learn, judge, a, b))
            bases.append(_Bases(self, learn, judge, basis.fit_segments(learn, arrays), a, b))
        candidates, rounds = [], []
        for fits in boosted:
            rounds.append(self._best_round(fits, splits))
            candidates.append(np.concatenate([one.scores(rounds[-1]) for one in fits]))
        penalty, models = self._best_penalty(bases)
        scores = [model.scores(one.judge, one.segments) for model, one in zip(models, bases, strict=True)]
        candidates.append(np.concatenate(scores))
        del bases, boosted
        chosen = self._weights(np.stack(candidates), held)
        return self._final(chosen, rounds, penalty, candidates, held)

    def _run_on_residuals(self, split: Split) -> "tuple[table_model.TableModel, dict[str, Any]]":
        """A large regression: trees learn the error of the linear model,
        which many rows keep from overfitting."""
        a, b = split
        arrays, learn, judge = self._expanded(a, b)
        segments = basis.fit_segments(learn, arrays)
        penalty, (linear,) = self._best_penalty([_Bases(self, learn, judge, segments, a, b)])
        scores, labels = linear.scores(judge, segments), self.labels
        self.labels = labels.copy()
        self.labels[a] -= linear.scores(learn, segments)[:, 0]
        self.labels[b] -= scores[:, 0]
        fitted = self._boosted(self.recipes[0], learn, judge, a, b)
        rounds = self._best_round([fitted], [split])
        self.labels = labels
        return self._final(np.ones(2), [rounds], penalty, [fitted.scores(rounds), scores], b)

    def _expanded(self, a: np.ndarray, b: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        arrays = basis.fit_expansion(self.matrix[a], self.targets[a], self.weights[a], self.codes)
        learn = table_model.expand(self.matrix[a], arrays)
        learn = basis.cross_fitted(learn, self.matrix[a], self.targets[a], self.weights[a], arrays, self.seed)
        return arrays, learn, table_model.expand(self.matrix[b], arrays)

    def _boosted(self, recipe: trees.Recipe, learn: Any, judge: Any, a: Any, b: Any) -> trees.Fitted:
        estimator = trees.boosted(recipe, self.n_classes, self.seed)
        labels, weights = self.labels, self.weights
        some = self.rows_of_trees(a)
        learn, a = _taken(learn, some), a[some]
        if (
            len(np.unique(labels[b])) < self.n_classes or len(b) < 10
        ):  # the estimator cannot judge these rows itself
            estimator.set_params(early_stopping=False)
            estimator.fit(learn, labels[a], weights[a])
        else:
            estimator.fit(
                learn, labels[a], weights[a], X_val=judge, y_val=labels[b], sample_weight_val=weights[b]
            )
        return trees.Fitted(estimator, judge)

    def rows_of_trees(self, rows: np.ndarray) -> np.ndarray:
        """Which of the rows the trees learn from: all, unless there are many classes."""
        if self.scores == 1:
            return np.arange(len(rows))
        return sample(self.labels[rows], self.n_classes, trees.MAX_ROWS_CLASSES // self.scores)

    def rows_of_linear(self, rows: np.ndarray) -> np.ndarray:
        """Which of the rows the linear model learns from, or is judged by."""
        return sample(self.labels[rows], self.n_classes, linear_model.most_rows(self.n_classes))

    def _best_round(self, fits: list[trees.Fitted], splits: list[Split]) -> int:
        """The number of rounds with the lowest loss over the held-out rows of all splits."""
        curves = [
            [self.loss(scores, b) for scores in one.staged()]
            for one, (_, b) in zip(fits, splits, strict=True)
        ]
        longest = max(map(len, curves))
        losses = np.zeros(longest)
        for own, (_, b) in zip(curves, splits, strict=True):
            losses += np.pad(own, (0, longest - len(own)), mode="edge") * self.weights[b].sum()
        return int(losses.argmin()) + 1

    def _best_penalty(self, bases: "list[_Bases]") -> "tuple[float, list[linear_model.Linear]]":
        """The penalty with the lowest loss over held-out rows, and the model of each split with it."""
        held = np.concatenate([one.judge_rows for one in bases])
        best: tuple[float, float, list[linear_model.Linear]] | None = None
        for penalty in linear_model.penalties(self.n_classes):
            models = [self._linear(one.learn_basis, one.learn_rows, penalty) for one in bases]
            scores = [model.of_basis(one.judge_basis) for model, one in zip(models, bases, strict=True)]
            loss = self.loss(np.concatenate(scores), held)
            if best is None or loss < best[0]:
                best = (loss, penalty, models)
            elif loss > best[0] * 1.02:
                break
        assert best
        return best[1], best[2]

    def _linear(self, learn: np.ndarray, rows: np.ndarray, penalty: float) -> linear_model.Linear:
        return linear_model.fit(learn, self.labels[rows], self.weights[rows], self.n_classes, penalty)

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
            some = self.rows_of_linear(every)
            linear = self._linear(table_model.segments(learn[some], segments), some, penalty)
            coefficients, intercept = linear.coefficients * weight, linear.intercept * weight
            if self.large_regression:
                labels = labels - linear.scores(learn, segments)[:, 0]
        fitted = []
        # Two seeds, since one order of columns is chance; more rows leave less to it.
        seeds = [self.seed, self.seed + 1] if len(every) < SMALL_ROWS else [self.seed]
        some = self.rows_of_trees(every)
        of_trees = _taken(learn, some)
        for weight, recipe, count in zip(chosen, self.recipes, rounds, strict=False):
            for seed in seeds if weight else []:
                estimator = trees.boosted(recipe, self.n_classes, seed, count)
                estimator.fit(of_trees, labels[some], self.weights[some])
                fitted.append((estimator, float(weight) / len(seeds)))
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
            "bounds": self._bounds(len(some), len(self.rows_of_linear(every))),
        }
        return table_model.TableModel(arrays), facts

    def _bounds(self, tree_rows: int, linear_rows: int) -> list[str]:
        """The limits that kept the work of a large table or of many classes within bounds, for people."""
        rows = len(self.matrix)
        found = [f"trees learned from {tree_rows:,} of the rows"] if tree_rows < rows else []
        found += [f"the linear model learned from {linear_rows:,} of the rows"] if linear_rows < rows else []
        most = max(recipe.rounds for recipe in self.recipes)
        return found + ([f"{self.n_classes} classes have {most} rounds at most"] if self.fewer_rounds else [])


def _taken(table: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Some rows of a table; the table itself where they are all, since a copy may not fit into memory."""
    return table if len(rows) == len(table) else table[rows]


class _Bases:
    """The rows that the linear model learns from and is judged by in one split; of a large table a sample."""

    def __init__(
        self, fit: _Fit, learn: np.ndarray, judge: np.ndarray, segments: Any, a: np.ndarray, b: np.ndarray
    ) -> None:
        self.judge, self.segments = judge, segments
        some_a, some_b = fit.rows_of_linear(a), fit.rows_of_linear(b)
        self.learn_rows, self.judge_rows = a[some_a], b[some_b]
        self.learn_basis = table_model.segments(learn[some_a], segments)
        self.judge_basis = table_model.segments(judge[some_b], segments)


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
