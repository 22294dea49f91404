"""Judge a trained model: score a split, ask the gate, and log report, verdict and evidence to the model's run."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mlops_lib import evaluation, loaders, plugins, tracking
from mlops_lib.columns.schema import Schema
from mlops_lib.data_checks import named_columns
from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation import gate
from mlops_lib.evaluation.judged import Champion, JudgedRows
from mlops_lib.evaluation.report import EvaluationReport, Verdict
from mlops_lib.evaluation.simulation.script import Script, scripts
from mlops_lib.loaders.base import BaseDataLoader, Split
from mlops_lib.registry import GATE_TAG, MODEL_DIGEST_TAG
from mlops_lib.settings import Settings
from mlops_lib.training import epochs, evidence, heads
from mlops_lib.training.evidence import Evidence
from mlops_lib.training.judged_rows import (
    LATENCY_ROWS,
    Collector,
    latency,
    names_of_columns,
    output_of,
    truth_of,
)
from mlops_lib.training.worst_images import worst_images

if TYPE_CHECKING:
    import pandas as pd

#: Baselines learn from at most this many values (rows times features), because they load them all at once.
MAX_BASELINE_VALUES = 2_000_000

#: As many values count for an image.
IMAGE_VALUES = 400

#: Scores a model on a split, without the gate.
Judge = Callable[[BaseDataLoader, Settings, Split], EvaluationReport]
#: Predictions [rows] for the features of some rows, in the form that the task scores. Where rows have several turns, the
#: user's parts are a third argument.
Answers = Callable[..., Any]


def evaluate(
    judge: Judge,
    opponent: Callable[[], Champion | None],
    run_id: str,
    data_loader: BaseDataLoader,
    config: Settings,
    split: Split,
) -> EvaluationReport:
    """Score a model, compare it with the champion, and log report, verdict and evidence to `run_id`.

    A replay (``evaluation.replay``) repeats an evaluation of the past: it compares with no champion and logs nothing.
    The verdict on the test split becomes the run's; one on another split is evidence beside it, and decides nothing.

    Args:
        judge: Scores the model.
        opponent: Asks the champion on the same rows; None if there is none. Called after `judge`.
        run_id: Run of the model.
        data_loader, config, split: See `score`.
    """
    chosen = config.evaluation
    named_columns.require_slices(config, data_loader.schema)
    named_columns.require_metrics(config, data_loader.schema)
    if chosen.replay:
        report = judge(data_loader, config, split)
        verdict = gate.decide(report, chosen.metric, chosen.threshold, chosen.min_coverage)
        return _shown(report, Evidence("", "", verdict), None)
    decides = split == "test"
    if decides:
        _withdraw_verdict(run_id)
    report = judge(data_loader, config, split)
    champion = opponent() if chosen.gate.champion else None
    verdict = decide(report, config, champion, run_id, data_loader.fingerprint())
    _log_report(run_id, report.model_copy(update={"verdict": verdict}))
    found = evidence.log(run_id, evidence.folder(split), verdict, report.judged, champion)
    if decides:
        evidence.tag(run_id, found)
    loaders.log_inputs(config, data_loader, run_id, split)
    report = report.model_copy(update={"tables": {**report.tables, **epochs.tables(run_id)}})
    return _shown(report, found, champion)


def decide(
    report: EvaluationReport, config: Settings, champion: Champion | None, run_id: str, fingerprint: str
) -> Verdict:
    """The gate's verdict on the model of a run."""
    chosen = config.evaluation
    digest = evidence.run_tags(run_id).get(MODEL_DIGEST_TAG, "") if champion and run_id else ""
    verdict = gate.decide(
        report,
        chosen.metric,
        chosen.threshold,
        chosen.min_coverage,
        settings=config,
        candidate=report.judged,
        champion=champion,
        run_id=run_id,
        digest=digest,
        fingerprint=fingerprint,
    )
    if not (partial := report.notes.get("partial")):
        return verdict
    if verdict.passed:
        return verdict.model_copy(update={"note": f"{partial} {verdict.note}".strip()})
    return verdict.model_copy(update={"reasons": (partial, *verdict.reasons)})


def _shown(report: EvaluationReport, found: Evidence, champion: Champion | None) -> EvaluationReport:
    """The report with verdict and evidence, and a note about what the comparison took."""
    notes = {"champion": f"comparing: {champion.note}"} if champion and champion.note else {}
    return report.model_copy(
        update={
            "verdict": found.verdict,
            "notes": report.notes | notes,
            "evidence": found,
        }
    )


def score(
    answers: Answers,
    data_loader: BaseDataLoader,
    config: Settings,
    split: Split,
    classes: Sequence[Any] = (),
) -> EvaluationReport:
    """Score a model's predictions for a split, and the configured baselines beside them; nothing is logged.

    Args:
        answers: The model.
        data_loader: Rows with a label.
        config: The `evaluation` section is read.
        split: The split to score.
        classes: The classes of a classifier, in the order of its probabilities; empty: those of the train split.
    """
    judged = list(heads.of(data_loader, config, classes))
    for one in judged:
        _check(one.data_loader, one.config, split, one.classes)
    asked = _asked(answers, judged, split, list(data_loader.schema.features))
    reports = [_score(answers, *one, rows, split) for one, rows in zip(judged, asked, strict=True)]
    return heads.together(reports, config)


def _score(
    answers: Answers,
    data_loader: BaseDataLoader,
    config: Settings,
    classes: Sequence[Any],
    rows: Collector,
    split: Split,
) -> EvaluationReport:
    chosen = config.evaluation
    schema = data_loader.schema
    features = list(schema.features)
    train, note = None, {}
    if chosen.baselines:
        width = sum(IMAGE_VALUES if kind == "image" else 1 for kind in schema.kinds.values())
        sample = data_loader.sample("train", max(MAX_BASELINE_VALUES // width, 1))
        weighed = sample[schema.weight].to_numpy() if schema.weight else None
        train = sample[features], truth_of(sample, schema), weighed
        if (count := data_loader.count("train")) > len(sample):
            note = {"baselines": f"learned from {len(sample)} of {count} training rows, evenly spaced"}
    classes = classes or names_of_columns(schema)
    facts = plugins.load("task", chosen.task).facts_of(data_loader, split, config)
    report = evaluation.evaluate(
        chosen.task,
        rows.truth,
        rows.predicted,
        split=split,
        classes=classes,
        weights=rows.weights,
        references=rows.references,
        facts=rows.facts | facts,
        train=train,
        test_x=(rows[features] for rows in data_loader.parts(split)),
        baseline_names=chosen.baselines,
        settings=config,
    )
    notes = report.notes | note
    tables = report.tables | ({"Notes": _table(notes)} if notes else {})
    latency_s = () if rows.made_one_by_one else _latency(answers, data_loader, config, split)
    judged = rows.judged(report.metrics, report.per_row, classes, latency_s, facts)
    figures = report.figures | worst_images(data_loader, config.evaluation.task, split, rows, classes)
    return report.model_copy(update={"notes": notes, "tables": tables, "judged": judged, "figures": figures})


def judged_rows(
    answers: Answers,
    data_loader: BaseDataLoader,
    config: Settings,
    split: Split,
    features: Sequence[str],
    classes: Sequence[Any] = (),
) -> JudgedRows:
    """The rows of a split with another model's predictions, checked and, for text, scored one by one.

    Args:
        answers, data_loader, config, split, classes: See `score`.
        features: The columns that the model takes.

    Raises:
        EvaluationError: The predictions cannot be scored.
    """
    judged = next(heads.of(data_loader, config, classes))
    (rows,) = _asked(answers, [judged], split, features)
    data_loader, config, classes = judged
    classes = classes or names_of_columns(data_loader.schema)
    references = {"references": rows.references} if rows.references else {}
    kind = plugins.load("task", config.evaluation.task)
    task = kind(config, classes=classes, weights=rows.weights, **references)
    facts = kind.facts_of(data_loader, split, config)
    task.facts = rows.facts | facts
    metrics = task.score(rows.truth, rows.predicted)
    for name in config.evaluation.margins:
        if metrics[name].errored > (1 - config.evaluation.min_coverage) * metrics[name].counted:
            raise EvaluationError(
                f"{metrics[name].errored} of {metrics[name].counted} rows have no {name}, and evaluation.min_coverage "
                f"asks for {config.evaluation.min_coverage:.2%}"
            )
    per_row = task.details(rows.truth, rows.predicted).get("per_row")
    return rows.judged(metrics, per_row, classes, facts=facts)


def _asked(
    answers: Answers, judged: Sequence[heads.Head], split: Split, features: Sequence[str]
) -> list[Collector]:
    """The rows of a split with a model's predictions, for each of its heads. The model is asked once for a row."""
    collectors = [Collector(one.config, one.data_loader.schema) for one in judged]
    for parts in zip(*(one.data_loader.parts(split) for one in judged), strict=True):
        rows, config = parts[0], judged[0].config
        talks = _scripts(rows, config, judged[0].data_loader.schema)
        if len(judged) > 1:
            config = heads.with_output(config, "")
        found = answers(rows[list(features)], config, *([talks] if any(talks) else []))
        for one, own, collector in zip(judged, parts, collectors, strict=True):
            name = one.config.evaluation.output if len(judged) > 1 else ""
            collector.add(own, output_of(found, name) if name else found)
    return collectors


def _check(data_loader: BaseDataLoader, config: Settings, split: Split, classes: Sequence[Any]) -> None:
    """Check the columns of the reference of all rows, before the model is asked and paid.

    Raises:
        EvaluationError: A value cannot be used.
    """
    schema = data_loader.schema
    if not schema.references:
        return
    collector = Collector(config, schema)
    for rows in data_loader.parts(split):
        _scripts(rows, config, schema, first_row=len(collector.references))
        collector.add(rows, [])
    task = plugins.load("task", config.evaluation.task)(
        config, classes=classes or names_of_columns(schema), references=collector.references
    )
    task.check(collector.truth)


def _scripts(rows: "pd.DataFrame", config: Settings, schema: Schema, first_row: int = 0) -> list[Script]:
    """The user's part in the conversation of each row; empty where the data has no such columns."""
    if config.evaluation.task != "text" or not schema.references:
        return []
    references = rows[schema.references].to_dict("records")
    return scripts(references, bool(config.evaluation.simulated_user.model), first_row)


def _latency(answers: Answers, data_loader: BaseDataLoader, config: Settings, split: Split) -> list[float]:
    """Seconds of some single rows; empty unless the gate limits them."""
    if not config.evaluation.gate.max_latency_ms:
        return []
    features = data_loader.head(split, LATENCY_ROWS + 1)[list(data_loader.schema.features)]
    return latency(lambda rows: answers(rows, config), features)


def _table(notes: dict[str, str]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(notes.items(), columns=["about", "note"])


def _withdraw_verdict(run_id: str) -> None:
    """Remove the verdict of an earlier evaluation, in case this one fails."""
    import mlflow

    if run_id:
        mlflow.MlflowClient().set_tag(run_id, GATE_TAG, "none, the evaluation did not finish")


def _log_report(run_id: str, report: EvaluationReport) -> None:
    """Log metrics, report, figures and rows to the model's run."""

    tracking.log_values(run_id, report.flat(), prefix=f"{report.split}.")
    tracking.log_text(run_id, report.model_dump_json(indent=2), f"evaluation/{report.split}/report.json")
    for name, figure in report.figures.items():
        tracking.log_figure(run_id, figure, f"evaluation/{report.split}/{name}.png")
    if report.conversations:
        page = f'<!doctype html><meta charset="utf-8">{report.conversations}'
        tracking.log_text(run_id, page, f"evaluation/{report.split}/conversations.html")
    if report.per_row is not None:
        # MLflow's UI shows this form of JSON as a table.
        rows = report.per_row.to_json(orient="split", index=False, force_ascii=False)
        tracking.log_text(run_id, rows, f"evaluation/{report.split}/rows.json")
