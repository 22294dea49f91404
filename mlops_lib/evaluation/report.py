"""The result of an evaluation: scores, each with the number of rows behind it."""

from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeInt, model_validator

if TYPE_CHECKING:
    import pandas as pd


class Score(BaseModel):
    """One metric's value, and how many rows it covers.

    ``value`` is None exactly when no row could be scored; ``reason`` then says why. NaN, infinities and a value without rows (or rows
    without a value) are refused with pydantic's ValidationError, which is a ValueError.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: FiniteFloat | None
    scored: NonNegativeInt
    errored: NonNegativeInt = 0
    empty: NonNegativeInt = 0
    reason: str = ""

    @model_validator(mode="after")
    def _value_has_rows(self) -> Self:
        if (self.value is None) != (self.scored == 0):
            raise ValueError(
                f"value {self.value} with {self.scored} scored rows: a value needs at least one scored row, "
                "and None stands for a metric that no row could be scored on"
            )
        return self

    @property
    def rows(self) -> int:
        """All rows: scored, errored and empty together."""
        return self.scored + self.errored + self.empty

    @property
    def coverage(self) -> float:
        """Share of the rows that were scored, 0 to 1; 0.0 when there are no rows."""
        return self.scored / self.rows if self.rows else 0.0


class Verdict(BaseModel):
    """Whether a score passed, and if not, why: one readable sentence for each reason."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    passed: bool
    metric: str
    score: FiniteFloat | None
    threshold: FiniteFloat
    higher_is_better: bool
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        side = "at least" if self.higher_is_better else "at most"
        score = "none" if self.score is None else f"{self.score:.4f}"
        asked = f"{self.metric} {score}, and the gate asks for {side} {self.threshold:g}"
        return " ".join((f"{'passed' if self.passed else 'refused'}: {asked}.", *self.reasons))

    def _repr_markdown_(self) -> str:
        """The verdict as a notebook shows it."""
        verdict, _, rest = str(self).partition(":")
        return f"**{verdict.capitalize()}**:{rest}"


class EvaluationReport(BaseModel):
    """Scores of a model on one split, and of the baselines on the same rows (baseline -> metric -> score).

    Attributes:
        verdict: The gate's decision; None before the gate decided.
        directions: Metric -> whether higher is better.
        notes: Metric or topic -> a remark that a reader needs to compare numbers, such as a metric's signature.
        figures, tables (title -> DataFrame): For people. Not part of the JSON.
        per_row: DataFrame with one row for each scored row, or None. Not part of the JSON.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    split: str
    rows: NonNegativeInt
    metrics: dict[str, Score]
    baselines: dict[str, dict[str, Score]] = {}
    verdict: Verdict | None = None
    directions: dict[str, bool] = {}
    notes: dict[str, str] = {}
    figures: dict[str, Any] = Field({}, exclude=True, repr=False)
    tables: dict[str, Any] = Field({}, exclude=True, repr=False)
    per_row: Any = Field(None, exclude=True, repr=False)

    def flat(self) -> dict[str, float]:
        """Names and finite numbers for an experiment tracker.

        ``roc_auc``, ``baseline.majority.roc_auc``; where not every row was scored also ``roc_auc.scored``,
        ``roc_auc.errored`` and ``roc_auc.empty`` (rows). A score without a value leaves only its counts.
        """
        flat: dict[str, float] = {}
        groups = {"": self.metrics} | {f"baseline.{name}.": scores for name, scores in self.baselines.items()}
        for prefix, scores in groups.items():
            for metric, score in scores.items():
                if score.value is not None:
                    flat[f"{prefix}{metric}"] = score.value
                if score.coverage < 1:
                    counts = {"scored": score.scored, "errored": score.errored, "empty": score.empty}
                    flat |= {f"{prefix}{metric}.{name}": float(rows) for name, rows in counts.items()}
        return flat

    def table(self) -> "pd.DataFrame":
        """One row for the model and one for each baseline, one column a metric; NaN for no value.

        Where the model was not scored on every row, three more rows say how many were scored, errored and empty.
        """
        import pandas as pd

        groups = {"model": self.metrics} | self.baselines
        values = {name: {m: s.value for m, s in scores.items()} for name, scores in groups.items()}
        if any(score.coverage < 1 for score in self.metrics.values()):
            for count in ("scored", "errored", "empty"):
                values[count] = {m: float(getattr(s, count)) for m, s in self.metrics.items()}
        return pd.DataFrame.from_dict(values, orient="index", columns=list(self.metrics), dtype=float)
