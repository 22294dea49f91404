"""The result of an evaluation: scores, each with the number of rows behind it."""

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeInt, model_validator

if TYPE_CHECKING:
    import pandas as pd

#: Fields of a `Score` that count rows.
COUNTS = ("scored", "errored", "empty", "left_out")


class Score(BaseModel):
    """One metric's value, and how many rows it covers. Rows that are left out have nothing that it could score.

    ``value`` is None exactly when no row could be scored; ``reason`` then says why. NaN, infinities and a value without rows (or rows
    without a value) are refused with pydantic's ValidationError, which is a ValueError.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: FiniteFloat | None
    scored: NonNegativeInt
    errored: NonNegativeInt = 0
    empty: NonNegativeInt = 0
    left_out: NonNegativeInt = 0
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
        """All rows: scored, errored, empty and left out together."""
        return self.scored + self.errored + self.empty + self.left_out

    @property
    def counted(self) -> int:
        """All rows but those left out."""
        return self.rows - self.left_out

    @property
    def coverage(self) -> float:
        """Share of the rows that were scored, 0 to 1; 0.0 when there are none. Rows that are left out do not count."""
        return self.scored / self.counted if self.counted else 0.0


Outcome = Literal["better", "not_worse", "worse", "undecided"]


class Criterion(BaseModel):
    """One thing that the gate asked for: a threshold, a limit, or an outcome of a comparison.

    Attributes:
        name: ``threshold``, ``slice_threshold``, ``min_rows``, ``coverage``, ``slice_rows``, ``latency``, ``cost``,
            ``champion``.
        slice: ``column=value``; "" for all rows.
        value: The model's; None if it has none. In the unit of the metric, milliseconds, or US dollars.
        limit: Asked for, in the same unit; None for a comparison.
        reason: Why it does not hold: a sentence. "" if it holds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    metric: str = ""
    slice: str = ""
    value: FiniteFloat | None = None
    limit: FiniteFloat | None = None
    passed: bool
    reason: str = ""


class Comparison(BaseModel):
    """Challenger against champion in one metric, on all rows or on those of a slice.

    Attributes:
        slice: ``column=value``; "" for all rows.
        champion, challenger: Their scores; None: the metric has no value on these rows.
        difference: Challenger minus champion, positive where the challenger is better, in the unit of the metric.
        low, high: Two-sided interval of the difference; None: it could not be computed.
        margin: How much worse than the champion it may be.
        rows, entities: What the interval is based on; entities without weight, and groups that cannot be ranked, are not counted.
        smallest_difference: The smallest difference that these rows could have shown: half the interval's width.
        rows_needed: Rows that would decide, about; 0 if decided.
        mcnemar_p: Classification: p of McNemar's exact test of the hits; None for other tasks.
        undefined: Resamples on which the metric has no value; up to 1 % of them are left out.
        reason: Why the interval alone does not make the outcome; "" if it does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    slice: str = ""
    champion: FiniteFloat | None = None
    challenger: FiniteFloat | None = None
    difference: FiniteFloat | None = None
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    margin: FiniteFloat
    outcome: Outcome
    rows: NonNegativeInt
    entities: NonNegativeInt
    smallest_difference: FiniteFloat | None = None
    rows_needed: NonNegativeInt = 0
    mcnemar_p: FiniteFloat | None = None
    undefined: NonNegativeInt = 0
    reason: str = ""


class Opponent(BaseModel):
    """The version that the model was compared with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: int
    run_id: str
    digest: str = ""


class Verdict(BaseModel):
    """The gate's decision and its evidence; where it refused, one readable sentence for each reason.

    Attributes:
        metric, score, threshold, higher_is_better: Of ``evaluation.metric``.
        outcome: Of the comparison with the champion, the worst of all metrics and slices; None: no comparison.
        champion: The version compared with; None: there was none, or the comparison is turned off.
        note: What a reader must know, such as that there was no champion yet.
        fingerprint: Of the data.
        settings: That the rows were scored with; see `evaluation.scored_with`.
        rows_sha256, champion_rows_sha256: Of the files with the judged rows; "" where there is none.
        resamples, confidence, seed: Of the bootstrap; 0 without a comparison.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    passed: bool
    metric: str
    score: FiniteFloat | None
    threshold: FiniteFloat
    higher_is_better: bool
    reasons: tuple[str, ...] = ()
    outcome: Outcome | None = None
    champion: Opponent | None = None
    criteria: tuple[Criterion, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    note: str = ""
    fingerprint: str = ""
    resamples: NonNegativeInt = 0
    confidence: FiniteFloat = 0.0
    seed: NonNegativeInt = 0
    settings: dict[str, str] = {}
    rows_sha256: str = ""
    champion_rows_sha256: str = ""

    def __str__(self) -> str:
        from mlops_lib.evaluation import verdict_text

        return verdict_text.plain(self)

    def _repr_markdown_(self) -> str:
        """The verdict as a notebook shows it."""
        from mlops_lib.evaluation import verdict_text

        return verdict_text.markdown(self)


class EvaluationReport(BaseModel):
    """Scores of a model on one split, and of the baselines on the same rows (baseline -> metric -> score).

    Attributes:
        verdict: The gate's decision; None before the gate decided.
        directions: Metric -> whether higher is better.
        notes: Metric or topic -> a remark that a reader needs to compare numbers, such as a metric's signature.
        counts: Further numbers for an experiment tracker, such as how many conversations ended in which way.
        conversations: HTML with a folded chat for each row of several turns; "" without any. Not part of the JSON.
        figures, tables (title -> DataFrame): For people. Not part of the JSON.
        per_row: DataFrame with one row for each scored row, or None. Not part of the JSON.
        judged: The rows and predictions behind the scores (`JudgedRows`), or None. Not part of the JSON.
        evidence: Of the verdict, which a notebook shows; None before the gate decided. Not part of the JSON.
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
    counts: dict[str, float] = {}
    conversations: str = Field("", exclude=True, repr=False)
    figures: dict[str, Any] = Field({}, exclude=True, repr=False)
    tables: dict[str, Any] = Field({}, exclude=True, repr=False)
    per_row: Any = Field(None, exclude=True, repr=False)
    judged: Any = Field(None, exclude=True, repr=False)
    evidence: Any = Field(None, exclude=True, repr=False)

    def flat(self) -> dict[str, float]:
        """Names and finite numbers for an experiment tracker.

        ``roc_auc``, ``baseline.majority.roc_auc``, and `counts`; where not every row was scored also ``roc_auc.scored``,
        ``roc_auc.errored``, ``roc_auc.empty`` and ``roc_auc.left_out`` (rows). A score without a value leaves only its counts.
        """
        flat: dict[str, float] = dict(self.counts)
        groups = {"": self.metrics} | {f"baseline.{name}.": scores for name, scores in self.baselines.items()}
        for prefix, scores in groups.items():
            for metric, score in scores.items():
                if score.value is not None:
                    flat[f"{prefix}{metric}"] = score.value
                if score.scored < score.rows:
                    flat |= {f"{prefix}{metric}.{name}": float(getattr(score, name)) for name in COUNTS}
        return flat

    def table(self) -> "pd.DataFrame":
        """One row for the model and one for each baseline, one column a metric; NaN for no value.

        Where the model was not scored on every row, four more rows say how many were scored, errored, empty and left out.
        """
        import pandas as pd

        groups = {"model": self.metrics} | self.baselines
        values = {name: {m: s.value for m, s in scores.items()} for name, scores in groups.items()}
        if any(score.scored < score.rows for score in self.metrics.values()):
            for count in COUNTS:
                values[count] = {m: float(getattr(s, count)) for m, s in self.metrics.items()}
        return pd.DataFrame.from_dict(values, orient="index", columns=list(self.metrics), dtype=float)
