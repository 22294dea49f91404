"""The gate's first threshold, from what simple baselines reach on the validation rows."""

import contextlib
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_lib import loaders, plugins
from mlops_lib.columns.schema import Schema
from mlops_lib.errors import DataError, EvaluationError
from mlops_lib.loaders.splits import SPLITS, Split
from mlops_lib.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from mlops_lib.loaders.base import BaseDataLoader

#: Task -> the baseline that ignores the features, and the linear model.
BASELINES = {
    "classification": ("majority", "logistic"),
    "regression": ("mean", "ridge"),
    "ranking": ("constant", "ridge"),
    "forecast": ("seasonal_naive", "ridge"),
}
#: Most rows of a split that baselines learn from or are scored on; of rows with images.
ROWS, IMAGE_ROWS = 20_000, 2_000
#: Least distance from the baseline that ignores the features: of scores in their unit, of errors as a share.
MARGIN = 0.05
#: Scores up to this are shown with two digits instead of three decimals.
SMALL = 0.01
#: Most that a rounded value is away from the middle of two scores, as a share of their distance.
NEAR = 0.02


@dataclass(frozen=True)
class Threshold:
    """A threshold with its origin.

    Attributes:
        value: For ``evaluation.threshold``.
        baseline: For ``evaluation.baselines``: ignores the features, and does not reach `value`.
        scores: Baseline -> score on the validation rows; the linear one is missing if it cannot be fitted.
        rows: Rows of each split.
        is_given: Whether the user set `value`.
    """

    value: float
    baseline: str
    scores: dict[str, float]
    rows: dict[Split, int]
    is_given: bool = False

    def reason(self) -> str:
        """How the value was chosen."""
        # Three decimals would show small errors as 0.
        are_small = 0 < max(map(abs, self.scores.values()), default=0) < SMALL
        known = {
            name: f"{name} {score:.2g}" if are_small else f"{name} {round(score, 3) + 0.0:.3f}"
            for name, score in self.scores.items()
        }
        if self.is_given:
            scored = f"; {' and '.join(known.values())} on the validation rows" if known else ""
            return f"set with --set{scored}"
        if self.baseline not in known:
            return "a guess: the validation rows allow no score"
        guess, *linear = known.values()
        if self.is_half_way:
            return f"about half way from {guess}, which ignores the features, to {linear[0]}, on the validation rows"
        more = f"; {linear[0]} is hardly better" if linear else ""
        return f"better than {guess}, which ignores the features{more}, on the validation rows"

    @property
    def is_half_way(self) -> bool:
        """Whether the linear model is so good that it decides; otherwise the least distance does."""
        if len(self.scores) < 2:
            return False
        guess, linear = self.scores.values()
        return _is_near(self.value, (guess + linear) / 2, guess, linear)


def choose(settings: Settings, is_given: bool = False) -> Threshold:
    """Load and split the rows as `mlops run` will, and score the baselines on the validation split.

    Args:
        settings: Of the new project.
        is_given: Whether ``evaluation.threshold`` of `settings` is the user's, so that it is taken as it is.

    Raises:
        DataError: The rows cannot be loaded as `settings` say, a split has no rows,
            or a class is in no train row.
    """
    loader = loaders.from_settings(settings)
    rows = {split: loader.count(split) for split in SPLITS}
    if empty := [split for split in SPLITS if not rows[split]]:
        raise DataError(
            f"{sum(rows.values())} rows are too few: split {', '.join(map(repr, empty))} has none of them. Add rows, or "
            "give --source a folder with the three splits."
        )
    most = IMAGE_ROWS if loader.schema.has_images else ROWS
    # The first rows of the validation split: of groups, evenly spaced rows would be torn apart.
    whole = settings.evaluation.task in ("ranking", "forecast")
    train = loader.sample("train", most)
    validation = loader.head("validation", most) if whole else loader.sample("validation", most)
    if not loader.schema.features:
        ignored = "; ".join(f"{c.name}: {c.reason}" for c in loader.schema.columns if c.role == "ignored")
        raise DataError(
            f"No column is left to learn from ({ignored}). To keep one: --set 'data.columns={{NAME: KIND}}'."
        )
    if settings.evaluation.task == "classification" and settings.evaluation.unknown_class == "error":
        _require_known_classes(loader)
    facts = {"key": validation[key].map(str).tolist()} if (key := loader.schema.key) else {}
    facts |= plugins.load("task", settings.evaluation.task).facts_of(loader, "validation", settings)
    facts = {name: values[: len(validation)] for name, values in facts.items()}
    value, baseline, scores = _scored(settings, train, validation, loader.schema, facts)
    return Threshold(settings.evaluation.threshold if is_given else value, baseline, scores, rows, is_given)


def _require_known_classes(loader: "BaseDataLoader") -> None:
    """Raise a DataError for a class that validation or test has and train has not."""
    known, label = set(loader.schema.classes), loader.schema.label
    for split in ("validation", "test"):
        counts: Counter[Any] = Counter()
        for part in loader.parts(split):
            counts.update(
                {value: count for value, count in part[label].value_counts().items() if value not in known}
            )
        if counts:
            named = ", ".join(f"{value!r} ({count:,} rows)" for value, count in counts.most_common(5))
            raise DataError(
                f"The train split has no row of the class {named} of the {split} split, so no model can know it. Split "
                "the rows in another way (--time '' where a time splits them), add rows, or count these rows as wrong: "
                "--set evaluation.unknown_class=wrong."
            )


def _scored(
    settings: Settings,
    train: "pd.DataFrame",
    validation: "pd.DataFrame",
    schema: Schema,
    facts: dict[str, Any],
) -> tuple[float, str, dict[str, float]]:
    """The threshold, the name of the baseline that ignores the features, and the scores of both baselines."""
    from mlops_lib.evaluation.baselines import predictions

    metric, label, features = settings.evaluation.metric, schema.label, list(schema.features)
    classes = schema.classes if settings.evaluation.task == "classification" else ()
    task = plugins.load("task", settings.evaluation.task)(settings, classes=classes)
    task.facts = facts
    learned_from = train[features], train[label].to_numpy()
    scores: dict[str, float] = {}
    guess, linear = BASELINES[settings.evaluation.task]
    for name in (guess, linear):
        with contextlib.suppress(EvaluationError):  # no feature that a linear model can use, say
            (predicted,) = predictions([name], learned_from, validation[features], classes, facts).values()
            if (value := task.score(validation[label].to_numpy(), predicted)[metric].value) is not None:
                scores[name] = value
    return _between(scores.get(guess), scores.get(linear), metric), guess, scores


def _between(guess: float | None, linear: float | None, name: str) -> float:
    """About half way from one score to the other, or clearly better than the first if that is further."""
    metric: Any = plugins.load("metric", name)
    if guess is None:
        guess = (metric.lowest + metric.highest) / 2 if math.isfinite(metric.highest - metric.lowest) else 0.0
    better = 1 if metric.higher_is_better else -1
    least = min(MARGIN, (metric.highest - guess) / 2) if better > 0 else MARGIN * abs(guess)
    if linear is not None and better * (linear - guess) / 2 > least:
        return _rounded((guess + linear) / 2, guess, linear)
    value = guess + better * least
    digits = 1 - math.floor(math.log10(3 * abs(value - guess) or 1))
    return better * math.ceil(round(better * value * 10**digits, 6)) / 10**digits


def _rounded(middle: float, guess: float, linear: float) -> float:
    """The middle of two scores with two significant digits,
    or with as many as it takes to stay in the middle."""
    rounded = (float(f"{middle:.{digits}g}") for digits in range(2, 17))
    return next((value for value in rounded if _is_near(value, middle, guess, linear)), middle)


def _is_near(value: float, middle: float, guess: float, linear: float) -> bool:
    return abs(value - middle) <= NEAR * abs(linear - guess)
