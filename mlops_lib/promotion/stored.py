"""The evidence that an evaluation left on a model's run, checked by its digests."""

import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from pydantic import ValidationError

from mlops_lib.errors import EvaluationError, PluginError
from mlops_lib.evaluation.judged import JudgedRows
from mlops_lib.evaluation.paired.models import Model
from mlops_lib.evaluation.report import EvaluationReport, Score, Verdict
from mlops_lib.evaluation.scored_with import changed
from mlops_lib.loaders.base import Split
from mlops_lib.registry import GATE_TAG, MODEL_DIGEST_TAG, ModelVersion, Registry, model_digest
from mlops_lib.settings import Settings
from mlops_lib.training import evidence
from mlops_lib.training.evidence import CHAMPION_FILE, EVIDENCE_TAG, ROWS_FILE, SHA256_TAG
from mlops_lib.wrappers import download


@dataclass(frozen=True)
class Stored:
    """What an evaluation found out about a model.

    Attributes:
        split: The split that was judged.
        rows: The model's predictions.
        champion_rows: Those of `verdict.champion`; None if they were not stored.
    """

    split: Split
    verdict: Verdict
    rows: JudgedRows
    champion_rows: JudgedRows | None


def read(registry: Registry, version: ModelVersion, settings: Settings) -> Stored:
    """The evidence of the latest evaluation of a version's run.

    Raises:
        EvaluationError: There is none, it did not finish, a file is missing or is not as it was written, or the rows were scored
            with other settings than today's or are not those of the test split.
    """
    again = again_with(version, settings)
    if not version.run_id:
        raise EvaluationError(
            f"Version {version.version} of {version.name!r} has no training run, so no evaluation can be stored with it. "
            "Only a person can promote it, with: --force --reason TEXT"
        )
    run = registry.run(version.run_id)
    if run.info.lifecycle_stage == "deleted":
        raise EvaluationError(
            f"Run {version.run_id} of version {version.version} was deleted, and its evidence goes with it. Restore it with: "
            f"mlflow runs restore --run-id {version.run_id}"
        )
    tags = run.data.tags
    if not (address := tags.get(EVIDENCE_TAG)):
        raise EvaluationError(
            f"Run {version.run_id} of version {version.version} has no stored evaluation: it was evaluated by an older "
            f"release or not at all. {again}"
        )
    if tags.get(GATE_TAG, "").startswith(
        "none"
    ):  # `judging.evaluate` takes the verdict back before it begins
        raise EvaluationError(f"The latest evaluation of run {version.run_id} did not finish. {again}")
    if not (sha256 := tags.get(SHA256_TAG)):
        raise EvaluationError(f"Run {version.run_id} does not name the digest of its evaluation. {again}")
    try:
        verdict = evidence.read(version.run_id, address, sha256).verdict
        if difference := changed(verdict.settings, settings):
            raise EvaluationError(
                f"Since the evaluation of run {version.run_id}, {difference}: its scores are of other settings."
            )
        if (split := PurePosixPath(address).parent.name) != "test":
            raise EvaluationError(
                f"The evaluation of run {version.run_id} is of the {split} split, and the test split decides."
            )
        if not verdict.rows_sha256:
            raise EvaluationError(f"The evaluation of run {version.run_id} has no stored rows.")
        rows, champion_rows = (
            evidence.read_rows(version.run_id, address, name, digest) if digest else None
            for name, digest in (
                (ROWS_FILE, verdict.rows_sha256),
                (CHAMPION_FILE, verdict.champion_rows_sha256),
            )
        )
    except ValidationError as error:
        raise EvaluationError(
            f"{address} of run {version.run_id} holds no verdict: {error}. {again}"
        ) from None
    except EvaluationError as error:
        raise EvaluationError(f"{error} {again}") from None
    assert rows is not None
    return Stored("test", verdict, rows, champion_rows)


def check_files(registry: Registry, version: ModelVersion) -> None:
    """Check that a version has the files of the model that its run trained, which is the one that was judged.

    Raises:
        EvaluationError: It has others: they were altered, or are of another model that the run logged.
        ModelError: They cannot be downloaded.
    """
    of_run = registry.run(version.run_id).data.tags.get(MODEL_DIGEST_TAG, "")
    if not (judged := of_run or version.tags.get(MODEL_DIGEST_TAG, "")):
        return  # an older release registered it
    with tempfile.TemporaryDirectory(prefix="mlops-promotion-") as folder:
        found = model_digest(download(version.uri, Path(folder)))
    if found != judged:
        raise EvaluationError(
            f"The files of {version.name!r} version {version.version} have digest {found[:12]}, and the model that was judged "
            f"has {judged[:12]}: they were altered, or the run logged another model. `mlops why {version.name} "
            f"{version.version}` shows more; `mlops run --no-cache` makes a new version."
        )


def report(stored: Stored, version: ModelVersion, settings: Settings) -> EvaluationReport:
    """The scores that the gate needs, computed from the stored rows, with these rows.

    The scores in the verdict may be of other settings, such as another ``evaluation.k``;
    the comparison with the champion is of today's.

    Raises:
        EvaluationError: The rows cannot give a metric that has a threshold.
    """
    gate, count = settings.evaluation.gate, len(stored.rows.ids)
    model = Model(stored.rows, stored.rows, settings)
    scores = {
        metric: _computed(stored.rows, model, metric, version, settings)
        for metric in {settings.evaluation.metric: 0.0} | gate.thresholds
    }
    for metric in gate.slice_thresholds | gate.margins:  # the gate computes them from the rows
        scores.setdefault(metric, Score(value=None, scored=0, empty=count))
    return EvaluationReport(
        task=stored.rows.task,
        split=stored.split,
        rows=count,
        metrics=scores,
        directions={metric: model.metric(metric).higher_is_better for metric in scores},
        judged=stored.rows,
    )


def _computed(
    rows: JudgedRows, model: Model, metric: str, version: ModelVersion, settings: Settings
) -> Score:
    """A score of the stored rows. Rows without a prediction count as the worst."""
    count = len(rows.ids)
    try:
        value = float(model.statistic(metric, np.arange(count))(np.ones((1, count)))[0])
    except (EvaluationError, PluginError) as error:
        raise EvaluationError(
            f"The gate asks for {metric} now, and the stored rows of run {version.run_id} do not give it: {error} "
            f"{again_with(version, settings)}"
        ) from None
    if not np.isfinite(value):
        return Score(value=None, scored=0, empty=count, reason="it has no value on the stored rows")
    failed, left_out = model.failed, 0
    if metric in rows.values:  # of text
        counted = model.counted(metric)
        failed, left_out = (
            counted & np.array([one is None for one in rows.values[metric]]),
            int((~counted).sum()),
        )
    errored = int(failed.sum())
    if not (scored := count - errored - left_out):
        return Score(value=None, scored=0, errored=errored, left_out=left_out)
    return Score(value=value, scored=scored, errored=errored, left_out=left_out)


def again_with(version: ModelVersion, settings: Settings) -> str:
    """What to do about a version without evidence."""
    return f"Evaluate it again with: {settings.command('evaluate', '--run-id', version.run_id)}"
