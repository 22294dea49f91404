"""An LLM evaluation around its scores: limits and costs of the calls, the cassette, replay and comparison."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_lib import tracking
from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.metrics import answers
from mlops_lib.evaluation.metrics.interface import chosen as metrics_of
from mlops_lib.evaluation.report import EvaluationReport
from mlops_lib.lineage.expected import Expected
from mlops_lib.llm.accounting.cassette import Cassette
from mlops_lib.llm.accounting.ledger import Ledger
from mlops_lib.llm.accounting.usage import price_of
from mlops_lib.loaders.base import BaseDataLoader, Split
from mlops_lib.settings import Settings
from mlops_lib.training.llm_comparison import (
    DIGEST_TAG,
    artifact_text,
    changed_parts,
    comparison_table,
    current_digests,
    recorded_digests,
)

if TYPE_CHECKING:
    import pandas as pd

CASSETTE_TAG, PARTIAL_TAG = "mlops.cassette", "mlops.partial"


@contextmanager
def session(config: Settings, run_id: str, split: Split, data_loader: BaseDataLoader) -> Iterator["Session"]:
    """An evaluation in whose block LLM calls are limited, counted and recorded.

    The answers of an evaluation that fails are recorded too, so that the next one need not pay for them.

    Raises:
        EvaluationError: The run to replay has no cassette; an LLM has no price, and the money is limited;
            or the block failed, and why.
    """
    _require_prices(config)
    ledger = Ledger.of(config.evaluation, _cassette(config, run_id, split))
    opened = Session(config, run_id, split, ledger, data_loader)
    try:
        with ledger.open():
            yield opened
    except BaseException as error:
        if isinstance(error, EvaluationError):
            opened.require_calls()
        if ledger.spent.calls and run_id and not config.evaluation.replay:
            tracking.log_text(run_id, ledger.cassette.text(all_known=True), _cassette_path(split))
            opened.log_costs()
        if isinstance(error, EvaluationError) and ledger.stopped:
            raise EvaluationError(f"{error}. {ledger.stopped}") from error
        raise


@contextmanager
def comparison(
    config: Settings, run_id: str, challenger_run_id: str, split: Split, before: Ledger | None
) -> Iterator[Ledger]:
    """A comparison with the model of `run_id`: its recorded calls are reused,
    and those of a comparison before.

    Live calls count in the limits of the challenger's evaluation (`before`),
    and are recorded with the challenger.
    """
    known = Cassette()
    if config.evaluation.reuse:
        sources = ((run_id, _cassette_path(split)), (challenger_run_id, _comparison_path(split)))
        for source, path in sources:
            if source and (text := artifact_text(source, path)):
                known.add(Cassette.parse(text))
        if before:
            known.known = before.cassette.used | known.known
    ledger = Ledger.of(config.evaluation, known, before)
    try:
        with ledger.open():
            yield ledger
    finally:
        if challenger_run_id:
            tracking.log_text(challenger_run_id, ledger.cassette.text(), _comparison_path(split))


def calls(ledger: Ledger) -> str:
    """The calls of a ledger in words."""
    spent, reused = ledger.spent, ledger.reused
    unpriced = f", and {spent.unpriced} calls without a price in llm.prices" if spent.unpriced else ""
    return (
        f"{spent.calls} LLM calls made ({spent.tokens} tokens, ${spent.cost_usd:.4f}{unpriced}), "
        f"{reused.calls} answered from the record"
    )


def uncounted(ledger: Ledger) -> str:
    """The calls that a ledger did not count, in words; "" for none."""
    if not (unseen := ledger.unseen):
        return ""
    return (
        f"{unseen.total()} LLM calls of {'; '.join(unseen)} were not counted, limited or recorded: they do not use "
        "OpenAI's or Anthropic's protocol over httpx. A replay makes them again."
    )


def _require_prices(config: Settings) -> None:
    """Raise EvaluationError, before a call is paid, if the money is limited and a judge has no price."""
    chosen = config.evaluation
    if not chosen.max_cost_usd or chosen.replay:
        return
    asked = [("the simulated user", chosen.simulated_user.model)]
    asked += [
        (metric, model)
        for metric in metrics_of(chosen.task, config)
        for model in answers.models(metric, config)
    ]
    for who, model in asked:
        if model and price_of(model, config.llm.prices) is None:
            raise EvaluationError(
                f"evaluation.max_cost_usd is set, and {who} asks {model!r}, for which llm.prices has no price. Add it, "
                f"for example {{{model!r}: [0.15, 0.60]}}."
            )


@dataclass
class Session:
    """One evaluation: settings, the model's run, the ledger of its calls, and the data."""

    config: Settings
    run_id: str
    split: Split
    ledger: Ledger
    data_loader: BaseDataLoader

    def finish(self, report: EvaluationReport) -> EvaluationReport:
        """Save cassette and digests with the run; add the costs and the comparison to the report.

        Raises:
            EvaluationError: In a replay, a call was not on the cassette.
        """
        self.require_calls()
        digests = current_digests(self.config, self.run_id, self.data_loader)
        if not self.config.evaluation.replay:
            self._save(digests)
        comparison = comparison_table(self.config, self.run_id, self.split, report, digests)
        return report.model_copy(
            update={
                "notes": report.notes | self._notes(),
                "tables": report.tables | self._cost_table() | comparison,
            }
        )

    def require_calls(self) -> None:
        """Raise EvaluationError if the evaluation repeats an earlier one,
        and made other calls or has other parts."""
        misses, replayed = self.ledger.cassette.misses, self.config.evaluation.replay
        if not replayed:
            if misses:
                raise EvaluationError(
                    f"The version cannot be made again: {misses} LLM calls are not on its cassette. Other prompts, "
                    "parameters or code ask something else."
                )
            return
        digests = current_digests(self.config, self.run_id, self.data_loader)
        changed = changed_parts(recorded_digests(replayed), digests)
        if changed or misses:
            raise EvaluationError(
                f"Run {replayed} cannot be replayed: {misses} LLM calls are not on its cassette. Changed since: "
                f"{changed or 'nothing that is known'}. Evaluate without --replay."
            )

    def _save(self, digests: dict[str, str]) -> None:
        tracking.log_text(self.run_id, self.ledger.cassette.text(), _cassette_path(self.split))
        tags = {f"{DIGEST_TAG}{part}": digest for part, digest in digests.items()}
        tags |= {CASSETTE_TAG: "yes", PARTIAL_TAG: self.ledger.stopped or "no"}
        tracking.log_values(self.run_id, {}, tags)
        self.log_costs()

    def log_costs(self) -> None:
        """Log calls, tokens and money to the model's run.

        Those of the first evaluation stay, also if it failed:
        one that reuses its calls would say that it cost nothing.
        """
        import mlflow

        known = mlflow.MlflowClient().get_run(self.run_id).data.metrics
        group = f"{self.split}.llm"
        group += ".again" if f"{group}.calls" in known else ""
        spent = {
            "calls": self.ledger.spent.calls,
            "tokens": self.ledger.spent.tokens,
            "cost_usd": self.ledger.spent.cost_usd,
            "calls_reused": self.ledger.reused.calls,
        }
        tracking.log_values(self.run_id, spent, prefix=f"{group}.")

    def _notes(self) -> dict[str, str]:
        notes = {"calls": calls(self.ledger)}
        if unseen := uncounted(self.ledger):
            notes["calls not counted"] = unseen
        if stopped := self.ledger.stopped:
            notes["partial"] = f"This evaluation is partial. {stopped}"
        return notes

    def _cost_table(self) -> "dict[str, pd.DataFrame]":
        import pandas as pd

        spent, reused = self.ledger.spent, self.ledger.reused
        row = {
            "calls made": spent.calls,
            "tokens": spent.tokens,
            "cost, US dollars": spent.cost_usd,
            "calls without a price": spent.unpriced,
            "calls answered from the record": reused.calls,
            "calls not counted": self.ledger.unseen.total(),
            "partial": self.ledger.stopped or "no",
        }
        return {"What it took": pd.DataFrame([row])}


def _cassette(config: Settings, run_id: str, split: Split) -> Cassette:
    """The cassette of the run to replay, else the calls of earlier evaluations that may be reused."""
    if (recorded := Expected.from_env().cassette(split)) is not None:
        return Cassette.parse(recorded, strict=True)
    chosen = config.evaluation
    if chosen.replay:
        text = artifact_text(chosen.replay, _cassette_path(split))
        if text is None:
            raise EvaluationError(f"Run {chosen.replay} has no cassette of split {split!r} to replay.")
        return Cassette.parse(text, strict=True)
    merged = Cassette()
    if chosen.reuse:
        for source in dict.fromkeys((_latest_recorded(config), run_id)):
            if source and (text := artifact_text(source, _cassette_path(split))):
                merged.add(Cassette.parse(text))
    return merged


def _latest_recorded(config: Settings) -> str:
    """The newest run of the experiment with a cassette; "" for none."""
    import mlflow

    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(config.mlflow.experiment)
    if experiment is None:
        return ""
    found = client.search_runs([experiment.experiment_id], f"tags.`{CASSETTE_TAG}` = 'yes'", max_results=1)
    return found[0].info.run_id if found else ""


def _comparison_path(split: Split) -> str:
    return f"evaluation/{split}/champion_cassette.jsonl"


def _cassette_path(split: Split) -> str:
    return f"evaluation/{split}/cassette.jsonl"
