"""The evaluation of an LLM model as MLflow keeps it: cassette, what it was made of, and what it was before."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.report import EvaluationReport
from mlops_lib.llm.cassette import Cassette
from mlops_lib.llm.ledger import Ledger
from mlops_lib.loaders.base import BaseDataLoader, Split
from mlops_lib.registry import ModelVersion, Registry
from mlops_lib.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

CASSETTE_TAG, PARTIAL_TAG = "mlops.cassette", "mlops.partial"
DIGEST_TAG = "mlops.digest."
#: What an evaluation's result depends on, each with a digest of its own on the run.
PARTS = ("graph", "prompts", "config", "dataset", "judge")


@dataclass
class Session:
    """One evaluation: its settings, the run it belongs to, and its ledger."""

    config: Settings
    run_id: str
    split: Split
    ledger: Ledger

    def finish(self, report: EvaluationReport, data_loader: BaseDataLoader) -> EvaluationReport:
        """Keep the cassette and what was judged beside the run; add costs and the diff to the report.

        Raises:
            EvaluationError: In a replay, a call was not on the cassette.
        """
        parts = self._parts(data_loader)
        if replayed := self.config.evaluation.replay:
            self._check_replay(replayed, parts)
        else:
            self._keep(parts)
        return report.model_copy(
            update={
                "notes": report.notes | self._costs(),
                "tables": report.tables | self._cost_table() | self._diff(report, parts),
            }
        )

    def _parts(self, data_loader: BaseDataLoader) -> dict[str, str]:
        import mlflow

        tags = mlflow.MlflowClient().get_run(self.run_id).data.tags if self.run_id else {}
        chosen = self.config.evaluation
        judge = json.dumps([chosen.metrics, chosen.judge, chosen.embeddings])
        now = {"dataset": data_loader.fingerprint(), "judge": hashlib.sha256(judge.encode()).hexdigest()}
        return {part: now.get(part) or tags.get(f"{DIGEST_TAG}{part}", "") for part in PARTS}

    def _check_replay(self, run_id: str, parts: dict[str, str]) -> None:
        import mlflow

        tags = mlflow.MlflowClient().get_run(run_id).data.tags
        changed = ", ".join(part for part in PARTS if parts[part] != tags.get(f"{DIGEST_TAG}{part}", ""))
        if changed or self.ledger.cassette.misses:
            raise EvaluationError(
                f"Run {run_id} cannot be replayed: {self.ledger.cassette.misses} LLM calls are not on its cassette, and "
                f"what changed since is: {changed or 'nothing that is known'}. Evaluate without --replay."
            )

    def _keep(self, parts: dict[str, str]) -> None:
        import mlflow

        client = mlflow.MlflowClient()
        client.log_text(self.run_id, self.ledger.cassette.text(), _cassette_path(self.split))
        tags = {f"{DIGEST_TAG}{part}": digest for part, digest in parts.items()}
        tags |= {CASSETTE_TAG: "yes", PARTIAL_TAG: self.ledger.stopped or "no"}
        for tag, text in tags.items():
            client.set_tag(self.run_id, tag, text)
        for name, value in (
            ("calls", self.ledger.spent.calls),
            ("tokens", self.ledger.spent.tokens),
            ("cost_usd", self.ledger.spent.cost_usd),
            ("calls_reused", self.ledger.reused.calls),
        ):
            client.log_metric(self.run_id, f"{self.split}.llm.{name}", value)

    def _costs(self) -> dict[str, str]:
        spent, reused = self.ledger.spent, self.ledger.reused
        notes = {
            "calls": f"{spent.calls} LLM calls made ({spent.tokens} tokens, ${spent.cost_usd:.4f}), "
            f"{reused.calls} answered from the record"
        }
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
            "calls answered from the record": reused.calls,
            "partial": self.ledger.stopped or "no",
        }
        return {"What it took": pd.DataFrame([row])}

    def _diff(self, report: EvaluationReport, parts: dict[str, str]) -> "dict[str, pd.DataFrame]":
        if (before := previous(self.config, self.run_id)) is None or report.per_row is None:
            return {}
        rows = rows_of(before.run_id, self.split)
        if rows is None:
            return {}
        then = {part: before.tags.get(f"{DIGEST_TAG}{part}", "") for part in PARTS}
        changed = ", ".join(part for part in PARTS if then[part] != parts[part]) or "nothing"
        table = compare(rows, report.per_row, self.config.evaluation.metric)
        title = f"Against version {before.version} (changed: {changed}): {len(table)} of {report.rows} rows differ"
        return {title: table}


@contextmanager
def session(config: Settings, run_id: str, split: Split) -> Iterator[Session]:
    """An evaluation whose LLM calls are limited, counted and recorded.

    Raises:
        EvaluationError: The run to replay has no cassette.
    """
    ledger = Ledger.of(config.evaluation, _cassette(config, run_id, split))
    with ledger.open():
        yield Session(config, run_id, split, ledger)


def digests(package: Path) -> dict[str, str]:
    """Run tags that change with the model's parts: prompts.yaml, config.json, and everything else (graph)."""
    parts = {part: hashlib.sha256() for part in ("graph", "prompts", "config")}
    of_file = {"prompts.yaml": "prompts", "config.json": "config"}
    for file in sorted(p for p in package.rglob("*") if p.is_file()):
        name = file.relative_to(package).as_posix()
        parts[of_file.get(name, "graph")].update(name.encode() + b"\0" + file.read_bytes())
    return {f"{DIGEST_TAG}{part}": digest.hexdigest() for part, digest in parts.items()}


def previous(config: Settings, run_id: str) -> ModelVersion | None:
    """The newest registered version of the model that is not of this run."""
    versions = Registry(config).versions(config.model.name)
    return next((version for version in versions if version.run_id != run_id), None)


def rows_of(run_id: str, split: Split) -> "pd.DataFrame | None":
    """The rows that an evaluation left on a run; None when there are none."""
    import pandas as pd

    text = _text(run_id, f"evaluation/{split}/rows.json")
    return None if text is None else pd.DataFrame(**{k: json.loads(text)[k] for k in ("columns", "data")})


def compare(before: "pd.DataFrame", now: "pd.DataFrame", metric: str) -> "pd.DataFrame":
    """Rows whose answer or score changed, the largest loss first; rows are matched by their input."""
    wanted = ["input", "output", "error", metric]
    if any(column not in frame for frame in (before, now) for column in wanted):
        return now.iloc[:0]
    both = before[wanted].merge(now[wanted], on="input", how="outer", suffixes=(" before", " now"))
    score = both[[f"{metric} before", f"{metric} now"]].astype(float).fillna(0.0)
    both["change"] = score[f"{metric} now"] - score[f"{metric} before"]
    texts = [(f"{name} before", f"{name} now") for name in ("output", "error")]
    different = both["change"].abs() > 1e-9
    for old, new in texts:
        different |= both[old].fillna("") != both[new].fillna("")
    return both[different].sort_values("change", kind="stable").reset_index(drop=True)


def trace_to_experiment_of(run_id: str) -> None:
    """Send traces of LangChain and LangGraph to the experiment of a run."""
    # MLflow would look up prices at GitHub for each trace.
    os.environ.setdefault("MLFLOW_MODEL_CATALOG_URI", "")
    import mlflow

    if run_id:
        mlflow.set_experiment(experiment_id=mlflow.MlflowClient().get_run(run_id).info.experiment_id)
    mlflow.langchain.autolog(run_tracer_inline=True, silent=True)


def _cassette(config: Settings, run_id: str, split: Split) -> Cassette:
    chosen = config.evaluation
    if chosen.replay:
        text = _text(chosen.replay, _cassette_path(split))
        if text is None:
            raise EvaluationError(f"Run {chosen.replay} has no cassette of split {split!r} to replay.")
        return Cassette.parse(text, strict=True)
    merged = Cassette()
    if chosen.reuse:
        for source in dict.fromkeys((_latest_recorded(config), run_id)):
            if source and (text := _text(source, _cassette_path(split))):
                found = Cassette.parse(text)
                merged.known |= found.known
                merged.rows |= found.rows
    return merged


def _latest_recorded(config: Settings) -> str:
    import mlflow

    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(config.mlflow.experiment)
    if experiment is None:
        return ""
    found = client.search_runs([experiment.experiment_id], f"tags.`{CASSETTE_TAG}` = 'yes'", max_results=1)
    return found[0].info.run_id if found else ""


def _cassette_path(split: Split) -> str:
    return f"evaluation/{split}/cassette.jsonl"


def _text(run_id: str, path: str) -> str | None:
    """The text of an artifact; None where there is no such artifact."""
    import mlflow
    from mlflow.exceptions import MlflowException

    folder, _, name = path.rpartition("/")
    try:
        if path not in {item.path for item in mlflow.MlflowClient().list_artifacts(run_id, folder)}:
            return None
        return Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=path)).read_text("utf-8")
    except MlflowException as error:
        raise EvaluationError(f"Cannot read {name} of run {run_id}: {error.message}") from None
