"""Compares versions of a registered model on the rows of their evaluation."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_lib import loaders, tracking, wrappers
from mlops_lib.comparison.inputs import row_texts
from mlops_lib.comparison.pairwise import compare_models
from mlops_lib.comparison.result import ComparisonReport, Side
from mlops_lib.errors import DataError, EvaluationError, RegistryError
from mlops_lib.evaluation.judged import JudgedRows
from mlops_lib.llm.cassette import Cassette
from mlops_lib.llm.ledger import Ledger
from mlops_lib.loaders.splits import Split
from mlops_lib.registry import MODEL_DIGEST_TAG, ModelVersion, Registry
from mlops_lib.settings import Settings
from mlops_lib.training import evidence, judging, rows_file
from mlops_lib.training.lifecycle import FINGERPRINT_TAG

if TYPE_CHECKING:
    from mlops_lib.loaders.base import BaseDataLoader

SPLIT: Split = "test"
MOST = 5


def compare_versions(settings: Settings, name: str, numbers: Sequence[int]) -> ComparisonReport:
    """Compare versions with the first of them, or one version with the one at Production.

    The predictions are those that the evaluations stored, where all were made for the same rows. Otherwise the models
    are asked again, for the rows of the prepared dataset.

    Args:
        numbers: Two to five versions; one: compared with Production; none: the newest candidate (at Staging, else
            the newest) is compared with Production.

    Raises:
        RegistryError: There is no such version, or nothing to compare it with.
        EvaluationError: The versions were judged on different data, or cannot be scored.
    """
    # MLflow would show a progress bar for each small file.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    versions = _chosen(Registry(settings), name, numbers)
    stored = [stored_rows(version.run_id) for version in versions]
    first, notes = stored[0], list[str]()
    if first and all(one and list(one.ids) == list(first.ids) for one in stored):
        rows = [one for one in stored if one]
        inputs = row_texts(settings, versions[-1].run_id, rows[0].ids)
        source = f"the {len(rows[0].ids):,} rows of the {SPLIT} split that all were judged on"
    else:
        dataset = _dataset(settings, versions, stored)
        ids = row_ids(dataset)
        rows, asked = list[JudgedRows](), list[ModelVersion]()
        with Ledger.of(settings.evaluation, Cassette()).open() as ledger:
            for version, one in zip(versions, stored, strict=True):
                same = one is not None and list(one.ids) == ids
                rows.append(one if one is not None and same else _asked(settings, version, dataset))
                asked += [] if same else [version]
        inputs = row_texts(settings, "", ids, dataset)
        source = f"the {len(ids):,} rows of the {SPLIT} split of the prepared data, fingerprint {dataset.fingerprint()[:12]}"
        again = ", ".join(str(version.version) for version in asked)
        cost = (
            f", with {ledger.spent.calls} LLM calls (${ledger.spent.cost_usd:.4f})"
            if ledger.spent.calls
            else ""
        )
        notes.append(f"Asked again on these rows: version {again}{cost}.")
    if len(versions) > 2:
        notes.append(
            "Each interval has its confidence by itself: of many comparisons, some look better by chance."
        )
    sides = [_side(version) for version in versions]
    models = list(zip(sides, rows, strict=True))
    return compare_models(settings, source, models, inputs, notes=tuple(notes))


def stored_rows(run_id: str) -> JudgedRows | None:
    """The judged rows of the evaluation of a run's model; None if it stored none.

    Raises:
        EvaluationError: They cannot be read.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    folder = evidence.folder(SPLIT)
    path = f"{folder}/{evidence.ROWS_FILE}"
    try:
        if not run_id or path not in {
            item.path for item in mlflow.MlflowClient().list_artifacts(run_id, folder)
        }:
            return None
        with tempfile.TemporaryDirectory() as scratch:
            return rows_file.read(
                Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=path, dst_path=scratch))
            )
    except MlflowException as error:
        raise EvaluationError(f"Cannot read {path} of run {run_id}: {error.message}") from None


def _chosen(registry: Registry, name: str, numbers: Sequence[int]) -> list[ModelVersion]:
    """The versions to compare, the reference first."""
    if len(set(numbers)) < len(numbers) or len(numbers) > MOST:
        raise RegistryError(f"Name two to {MOST} different versions, not {', '.join(map(str, numbers))}.")
    if len(numbers) > 1:
        found = [registry.resolve(name, version=number) for number in numbers]
    else:
        production = registry.resolve(name, stage="Production")
        if numbers:
            found = [production, registry.resolve(name, version=numbers[0])]
        else:
            others = [one for one in registry.versions(name) if one.version != production.version]
            staged = [one for one in others if one.stage == "Staging"]
            if not others:
                raise RegistryError(
                    f"{name} has version {production.version} alone, at Production: there is nothing to compare it with."
                )
            found = [production, (staged or others)[0]]
    for at, one in enumerate(found):
        for other in found[:at]:
            if one.version == other.version:
                raise RegistryError(
                    f"{name} version {one.version} is at Production: name another to compare it with."
                )
            if one.run_id and one.run_id == other.run_id:
                raise RegistryError(
                    f"Versions {other.version} and {one.version} of {name} are the same model: both are of run {one.run_id}."
                )
    return found


def _dataset(
    settings: Settings, versions: Sequence[ModelVersion], stored: Sequence[JudgedRows | None]
) -> "BaseDataLoader":
    """The prepared dataset, if some version was judged on it or none has stored rows.

    Raises:
        EvaluationError: All versions were judged on other data, or nothing is prepared.
    """
    trained = ", ".join(f"version {one.version} on {_fingerprint(one)[:12]}" for one in versions)
    problem = f"The versions were judged on different data (fingerprints: {trained})"
    try:
        dataset = loaders.prepared(settings)
        ids = row_ids(dataset)
    except DataError as error:
        raise EvaluationError(
            f"{problem}, and no data is prepared to ask them on: {error} `mlops run` prepares it."
        ) from None
    known = [list(one.ids) for one in stored if one]
    if known and ids not in known:
        raise EvaluationError(
            f"{problem}, and the prepared data is none of these: {dataset.fingerprint()[:12]}. Train or evaluate one of "
            "them on the data of today (mlops run, mlops evaluate), and compare again."
        )
    return dataset


def row_ids(dataset: "BaseDataLoader") -> list[str]:
    """The ids of the rows of the split, as an evaluation stores them."""
    from mlops_lib.training.judged_rows import row_digests

    return [f"{digest:016x}" for rows in dataset.parts(SPLIT) for digest in row_digests(rows)]


def _asked(settings: Settings, version: ModelVersion, dataset: "BaseDataLoader") -> JudgedRows:
    model = wrappers.load(version.uri, settings.model.wrapper)
    lacking = [name for name in model.feature_names if name not in dataset.schema.used]
    if lacking:
        raise EvaluationError(
            f"{version.name} version {version.version} takes the columns {', '.join(lacking)}, which the prepared data "
            "lacks, so it cannot be asked on these rows."
        )
    return judging.judged_rows(model.answers, dataset, settings, SPLIT, model.feature_names, model.classes)


def _fingerprint(version: ModelVersion) -> str:
    return version.tags.get(FINGERPRINT_TAG, "unknown")


def _side(version: ModelVersion) -> Side:
    return Side(
        name=version.name,
        version=version.version,
        stage=version.stage,
        run_id=version.run_id,
        digest=version.tags.get(MODEL_DIGEST_TAG, ""),
    )


def log_page(report: ComparisonReport, page: str) -> None:
    """Log the page of a comparison to the run of its newest version, as ``compare/<versions>.html``."""
    newest = max(report.sides, key=lambda side: side.version)
    if newest.run_id:
        versions = "-".join(str(side.version) for side in report.sides)
        tracking.log_text(newest.run_id, page, f"compare/{versions}.html")
