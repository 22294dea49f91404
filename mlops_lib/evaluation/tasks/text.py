"""Text: an answer for each row, scored against a reference answer."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation import trajectories
from mlops_lib.evaluation.judged import COUNTED
from mlops_lib.evaluation.metrics import answers
from mlops_lib.evaluation.metrics.interface import Case, TextMetric, chosen
from mlops_lib.evaluation.metrics.json_values import text_of, value_of
from mlops_lib.evaluation.report import COUNTS, Score
from mlops_lib.evaluation.simulation import shown
from mlops_lib.evaluation.tasks.interface import Task
from mlops_lib.llm.conversation import transcript
from mlops_lib.llm.generation import Generation
from mlops_lib.llm.transport import loop

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from mlops_lib.settings import Settings

DEFAULT_METRICS = ("chrf", "rouge_l", "exact_match")
#: Rows answered at once when config.yaml is not read.
CONCURRENCY = 8
WORST_ROWS = 10
WORST_TRAJECTORIES = 3


class Text(Task):
    """y_true are N reference answers, y_pred N `Generation` objects (or N plain answers).

    A row counts as *scored* if the metric has a value for it, *empty* if the model's answer is empty, and
    *errored* if the model or the metric failed. A score covers all rows: a row without a value counts as the
    metric's worst value, so that a model does not gain from rows that it failed on.
    """

    name: ClassVar[str] = "text"

    def __init__(self, settings: "Settings | None" = None, **rows: Any) -> None:
        super().__init__(settings, **rows)
        if self.weights is not None:
            raise EvaluationError("The text task counts all rows the same. Remove data.weight.")
        names = chosen(self.name, settings, DEFAULT_METRICS)
        self._metrics = {name: answers.make(name, settings) for name in names}
        self.metrics: Mapping[str, bool] = {n: m.higher_is_better for n, m in self._metrics.items()}

    def check(self, y_true: Any) -> None:
        """Check reference answers and the columns beside them.

        Raises:
            EvaluationError: A metric cannot use one; names row, column and value.
        """
        cases = _cases(y_true, [Generation({}) for _ in y_true], self.references)
        for metric in self._metrics.values():
            metric.check(cases)

    def score(self, y_true: Any, y_pred: Any) -> dict[str, Score]:
        """Score answers.

        Raises:
            EvaluationError: Truth and answers do not fit together; a metric cannot use a reference;
                or the model or a metric failed on all rows.
        """
        self._cases = _cases(y_true, y_pred, self.references)
        concurrency = self.settings.evaluation.concurrency if self.settings else CONCURRENCY
        self._values: dict[str, list[float | None]] = {}
        self._problems: dict[str, list[str]] = {}
        self._scores: dict[str, Score] = {}
        for metric in self._metrics.values():
            metric.check(self._cases)
        for name, metric in self._metrics.items():
            results = loop.run(answers.score_rows(metric, self._cases, concurrency, name))
            self._values[name] = [value for value, _ in results]
            self._problems[name] = [problem for _, problem in results]
            answers.require_a_score(name, self._cases, results)
            self._scores[name] = answers.total(name, metric, self._cases, self._values[name])
        return self._scores

    def details(self, y_true: Any, y_pred: Any) -> dict[str, Any]:
        import pandas as pd

        per_row = self._per_row()
        talks = any(case.conversation for case in self._cases)
        notes = {name: note for name, metric in self._metrics.items() if (note := self._note(metric))}
        counts = pd.DataFrame(
            [
                {"metric": name, "value": score.value, **{count: getattr(score, count) for count in COUNTS}, "note": notes.get(name, "")}
                for name, score in self._scores.items()
            ]
        )  # fmt: skip
        return {
            "notes": notes,
            "tables": {
                "Scores, and the rows behind them": counts,
                **{
                    title: table
                    for name, metric in self._metrics.items()
                    for title, table in metric.tables(self._cases, self._values[name]).items()
                },
                **({"How conversations ended": shown.table(self._cases)} if talks else {}),
                f"The {WORST_ROWS} worst rows": self._worst(per_row),
                **self._trajectories(per_row),
            },
            "per_row": per_row,
            "counts": shown.ends(self._cases),
            "conversations": shown.page(self._cases, self._worst_first(per_row), self._values),
        }

    def figures(self, y_true: Any, y_pred: Any, baselines: "Mapping[str, np.ndarray]") -> "dict[str, Figure]":
        """Draw ``score_distributions``: how each metric's scores spread over the rows."""
        from mlops_lib.evaluation.figures.text import distributions

        return {"score_distributions": distributions(self._values)}

    def _note(self, metric: TextMetric) -> str:
        """The metric's signature, and a warning where it says little about these rows."""
        warning = metric.warning(self._cases)
        return f"{metric.note}; {warning}".removeprefix("; ") if warning else metric.note

    def _per_row(self) -> "pd.DataFrame":
        """Input, output, reference, contexts, every score, latency, tokens, cost and error of each row."""
        import pandas as pd

        rows = []
        facts = {k: v for metric in self._metrics.values() for k, v in metric.facts(self._cases).items()}
        partial = {
            n: metric for n, metric in self._metrics.items() if not all(map(metric.counts, self._cases))
        }
        works = any(map(trajectories.is_worth_showing, self._cases))
        talks = any(case.conversation for case in self._cases)
        for i, case in enumerate(self._cases):
            made = case.generation
            problems = [f"{name}: {p[i]}" for name, p in self._problems.items() if p[i]]
            rows.append(
                {
                    "input": case.question,
                    "output": case.answer,
                    "reference": case.reference,
                    "contexts": list(made.contexts),
                    **(_conversation(case) if talks else {}),
                    **(_work(case) if works else {}),
                    **{name: values[i] for name, values in self._values.items()},
                    **{f"{name}{COUNTED}": metric.counts(case) for name, metric in partial.items()},
                    **{name: values[i] for name, values in facts.items()},
                    "latency_s": made.latency_s,
                    "prompt_tokens": made.usage.prompt_tokens,
                    "completion_tokens": made.usage.completion_tokens,
                    "cost_usd": made.usage.cost_usd,
                    "error": "; ".join([made.error] if made.error else problems),
                }
            )
        return pd.DataFrame(rows)

    def _worst(self, per_row: "pd.DataFrame") -> "pd.DataFrame":
        wanted = ["input", "output", "reference", self._metric_of_the_order, "error"]
        return per_row.loc[self._worst_first(per_row), wanted].head(WORST_ROWS).reset_index(drop=True)

    @property
    def _metric_of_the_order(self) -> str:
        by = self.settings.evaluation.metric if self.settings else ""
        return by if by in self._metrics else next(iter(self._metrics))

    def _worst_first(self, per_row: "pd.DataFrame") -> list[int]:
        """Rows without an answer first, then by the metric of the order;
        a row that another metric failed on is no worse."""
        by = self._metric_of_the_order
        metric = self._metrics[by]
        order = per_row.assign(
            answered=[not case.generation.error for case in self._cases],
            left_out=[not metric.counts(case) for case in self._cases],
        ).sort_values(
            ["answered", "left_out", by],
            ascending=[True, True, metric.higher_is_better],
            na_position="first",
            kind="stable",
        )
        return list(order.index)

    def _is_right(self, row: int) -> bool:
        """Whether a row has the best score in the metric of the order, or does not count in it."""
        metric = self._metrics[self._metric_of_the_order]
        if not metric.counts(self._cases[row]):
            return True
        best = metric.highest if metric.higher_is_better else metric.lowest
        return self._values[self._metric_of_the_order][row] == best

    def _trajectories(self, per_row: "pd.DataFrame") -> "dict[str, pd.DataFrame]":
        """Title -> what the model did, for the worst of the rows that are not right."""
        found: dict[str, pd.DataFrame] = {}
        for row in self._worst_first(per_row):
            case, scores = self._cases[row], {name: values[row] for name, values in self._values.items()}
            if (
                len(found) < WORST_TRAJECTORIES
                and not self._is_right(row)
                and trajectories.is_worth_showing(case)
            ):
                found[trajectories.title(case, row, scores)] = trajectories.table(case)
        return found


def _conversation(case: Case) -> dict[str, Any]:
    """Columns of a row with what user and model said."""
    said = case.conversation
    if said is None:
        return dict.fromkeys(("conversation", "conversation_turns", "conversation_end"))
    return {
        "conversation": transcript(said.messages),
        "conversation_turns": said.turns,
        "conversation_end": said.end,
    }


def _work(case: Case) -> dict[str, Any]:
    """Columns of a row with what the model did for it."""
    work = case.trajectory
    return {"path": work.path, "tool_calls": work.tool_calls, "messages": list(map(dict, work.messages))}


def _cases(y_true: Any, y_pred: Any, references: Sequence[Mapping[str, Any]]) -> list[Case]:
    truth, made = list(y_true), list(y_pred)
    if len(truth) != len(made) or not truth:
        raise EvaluationError(
            f"There are {len(truth)} references and {len(made)} answers: they must match, and be some."
        )
    truth = [text_of(one) if isinstance(one, dict | list | np.ndarray) else one for one in truth]
    bad = [i for i, reference in enumerate(truth) if not isinstance(reference, str)]
    if bad:
        raise EvaluationError(
            f"The reference of row {bad[0]} is {truth[bad[0]]!r}. The text task needs text."
        )
    made = [g if isinstance(g, Generation) else Generation({}, g) for g in made]
    columns = [
        {name: value_of(value) for name, value in row.items()} for row in references or [{}] * len(truth)
    ]
    return [Case(*each) for each in zip(made, truth, columns, strict=True)]
