"""Text: an answer for each row, judged against a reference answer."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.metrics.text import Case, TextMetric, make
from mlops_lib.evaluation.report import Score
from mlops_lib.evaluation.tasks.interface import Predictor, Task
from mlops_lib.llm import loop
from mlops_lib.llm.generation import Generation
from mlops_lib.llm.keys import masked
from mlops_lib.settings import LlmSettings

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

DEFAULT_METRICS = ("chrf", "rouge_l", "exact_match")
WORST_ROWS = 10


class Text(Task):
    """y_true are N reference answers, y_pred N `Generation` objects (or N plain answers).

    The metrics are those that ``evaluation.metrics`` names. A row counts as *scored* when the metric has a
    value for it, *empty* when the model answered nothing, and *errored* when model or metric failed. A score
    is taken over all rows: one without a value counts as the metric's worst value, so that a model never looks
    better for rows that it failed on.
    """

    name: ClassVar[str] = "text"
    metrics: ClassVar[dict[str, bool]] = {}

    def score(self, y_true: Any, y_pred: Any) -> dict[str, Score]:
        """Score answers; EvaluationError when the two do not fit together or a metric cannot be set up."""
        self._cases = _cases(y_true, y_pred)
        chosen = self.settings.evaluation if self.settings else None
        names = (chosen.metrics if chosen else ()) or DEFAULT_METRICS
        concurrency = chosen.concurrency if chosen else 8
        self._metrics = {name: make(name, self.settings) for name in names}
        self._values: dict[str, list[float | None]] = {}
        self._problems: dict[str, list[str]] = {}
        self._scores: dict[str, Score] = {}
        for name, metric in self._metrics.items():
            results = loop.run(_values(metric, self._cases, concurrency, name))
            self._values[name] = [value for value, _ in results]
            self._problems[name] = [problem for _, problem in results]
            self._scores[name] = _score(name, metric, self._cases, self._values[name])
        return self._scores

    def details(self, y_true: Any, y_pred: Any) -> dict[str, Any]:
        import pandas as pd

        per_row = self._per_row()
        kept = {name: metric.note for name, metric in self._metrics.items() if metric.note}
        counts = pd.DataFrame(
            [
                {"metric": n, "value": s.value, "scored": s.scored, "errored": s.errored, "empty": s.empty,
                 "note": kept.get(n, "")}
                for n, s in self._scores.items()
            ]
        )  # fmt: skip
        return {
            "directions": {name: metric.higher_is_better for name, metric in self._metrics.items()},
            "notes": kept,
            "tables": {
                "Scores, and the rows behind them": counts,
                f"The {WORST_ROWS} worst rows": self._worst(per_row),
            },
            "per_row": per_row,
        }

    def figures(self, y_true: Any, y_pred: Any, baselines: Mapping[str, np.ndarray]) -> "dict[str, Figure]":
        """Draw ``score_distributions``: how each metric's scores spread over the rows."""
        from mlops_lib.evaluation.figures.text import distributions

        return {"score_distributions": distributions(self._values)}

    def fit_baselines(self, train_x: Any, train_y: Any, names: Sequence[str]) -> dict[str, Predictor]:
        """There are none for text."""
        raise EvaluationError(f"Unknown baseline {names[0]!r}. The text task has none.")

    def _per_row(self) -> "pd.DataFrame":
        """Input, output, reference, contexts, every score, latency, tokens, cost and error of each row."""
        import pandas as pd

        rows = []
        for i, case in enumerate(self._cases):
            made = case.generation
            problems = [f"{name}: {p[i]}" for name, p in self._problems.items() if p[i]]
            rows.append(
                {
                    "input": case.question,
                    "output": made.output,
                    "reference": case.reference,
                    "contexts": list(made.contexts),
                    **{name: values[i] for name, values in self._values.items()},
                    "latency_s": made.latency_s,
                    "prompt_tokens": made.usage.prompt_tokens,
                    "completion_tokens": made.usage.completion_tokens,
                    "cost_usd": made.usage.cost_usd,
                    "error": "; ".join([made.error] if made.error else problems),
                }
            )
        return pd.DataFrame(rows)

    def _worst(self, per_row: "pd.DataFrame") -> "pd.DataFrame":
        """Rows with errors first, then by the gate's metric."""
        by = self.settings.evaluation.metric if self.settings else ""
        by = by if by in self._metrics else next(iter(self._metrics))
        up = self._metrics[by].higher_is_better
        order = per_row.assign(failed=per_row["error"] == "").sort_values(
            ["failed", by], ascending=[True, up], na_position="first", kind="stable"
        )
        return order[["input", "output", "reference", by, "error"]].head(WORST_ROWS).reset_index(drop=True)


def _cases(y_true: Any, y_pred: Any) -> list[Case]:
    truth, made = list(y_true), list(y_pred)
    if len(truth) != len(made) or not truth:
        raise EvaluationError(
            f"There are {len(truth)} references and {len(made)} answers: they must match, and be some."
        )
    bad = [i for i, reference in enumerate(truth) if not isinstance(reference, str)]
    if bad:
        raise EvaluationError(
            f"The reference of row {bad[0]} is {truth[bad[0]]!r}. The text task needs text."
        )
    made = [g if isinstance(g, Generation) else Generation({}, str(g)) for g in made]
    return [Case(generation, reference) for generation, reference in zip(made, truth, strict=True)]


async def _values(
    metric: TextMetric, cases: Sequence[Case], concurrency: int, name: str
) -> list[tuple[float | None, str]]:
    """(score, "") of each row; (None, why) where there is none."""
    gate = asyncio.Semaphore(concurrency)

    async def one(case: Case) -> tuple[float | None, str]:
        if case.generation.error:
            return None, case.generation.error
        if not case.answer.strip():
            return None, ""
        async with gate:
            try:
                value = float(await metric.row(case))
            except Exception as error:  # a judge or the user's own metric may raise anything
                return None, masked(f"{type(error).__name__}: {error}")
        if not np.isfinite(value):
            return None, f"{name} gave {value}, which is no score"
        return value, ""

    return list(await asyncio.gather(*map(one, cases)))


def _score(name: str, metric: TextMetric, cases: Sequence[Case], values: Sequence[float | None]) -> Score:
    known = [value for value in values if value is not None]
    empty = sum(not case.generation.error and not case.answer.strip() for case in cases)
    counts = {"scored": len(known), "errored": len(values) - len(known) - empty, "empty": empty}
    if not known:
        return Score(value=None, **counts)
    if len(known) < len(values) and metric.worst is None:
        raise EvaluationError(
            f"Metric {name} has no value for {len(values) - len(known)} rows, and lower is better: say what such a "
            "row counts as, with an attribute `worst` on the function."
        )
    return Score(value=metric.total(cases, values), **counts)


def llm_settings(settings: Any) -> LlmSettings:
    """The `llm` section, or its defaults."""
    return settings.llm if settings else LlmSettings()
