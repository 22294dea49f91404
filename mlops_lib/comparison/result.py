"""The result of a comparison, as data: what the terminal, Markdown, HTML and JSON show."""

from pydantic import BaseModel, ConfigDict

from mlops_lib.evaluation.report import Comparison, Outcome
from mlops_lib.monitoring.agreement import Agreement


class Side(BaseModel):
    """One of the compared versions.

    Attributes:
        stage: Registry stage, or the role in service.
        latency_ms, latency_p95_ms: Median and 95th percentile of a row (in service: of a request);
            None: unknown.
        cost_usd: Mean cost of a row's LLM calls; None: unknown.
        failed: Rows without a prediction; they count as the worst.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: int
    stage: str = ""
    run_id: str = ""
    digest: str = ""
    latency_ms: float | None = None
    latency_p95_ms: float | None = None
    cost_usd: float | None = None
    failed: int = 0

    @property
    def label(self) -> str:
        return f"version {self.version}"


class ChangedRow(BaseModel):
    """One row on which the versions differ.

    Attributes:
        name: Position and key of the row, as an evaluation shows them; in service: request id and row.
        input: The row, as text; "" where it is not known.
        predictions: Of each version as text, in the order of the report's sides; "" without one.
        change: By how much the row became better; the largest change if there are several. Of the true
            class's probability, of the error (regression; of several labels the mean), or of the metric
            (text). None: one of them has no prediction.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str
    input: str
    truth: str
    predictions: tuple[str, ...]
    change: float | None


class Against(BaseModel):
    """One version against the reference.

    Attributes:
        outcome: The worst outcome of the metrics that the gate compares; None: nothing was judged.
        comparisons: One for each metric.
        changed: Rows on which the two differ.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    side: Side
    outcome: Outcome | None = None
    comparisons: tuple[Comparison, ...] = ()
    changed: int = 0


class ComparisonReport(BaseModel):
    """Versions compared with a reference on the same rows.

    Attributes:
        source: Where the rows come from.
        gate_metrics: Metrics that decide the outcome.
        row_metric: Text: the metric of `ChangedRow.change`.
        directions: Metric -> whether higher is better.
        rows, entities: That were judged; 0: none has an outcome, so quality is unknown.
        left_out: Reason -> number.
        changed_rows: The first rows that changed, the largest loss first.
        agreement: In service: how much both agree, whatever the outcome.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    source: str
    task: str
    reference: Side
    against: tuple[Against, ...]
    gate_metrics: tuple[str, ...]
    row_metric: str = ""
    directions: dict[str, bool] = {}
    rows: int = 0
    entities: int = 0
    notes: tuple[str, ...] = ()
    left_out: dict[str, int] = {}
    changed_rows: tuple[ChangedRow, ...] = ()
    agreement: Agreement | None = None
    resamples: int = 0
    confidence: float = 0.0
    seed: int = 0

    @property
    def sides(self) -> tuple[Side, ...]:
        """The reference, then the others."""
        return (self.reference, *(one.side for one in self.against))
