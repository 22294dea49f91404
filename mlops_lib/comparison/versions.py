"""Compares versions of a registered model on the rows of their evaluation."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mlops_lib import loaders, tracking
from mlops_lib.comparison.inputs import row_names, row_texts
from mlops_lib.comparison.pairwise import compare_models
from mlops_lib.comparison.result import ComparisonReport, Side
from mlops_lib.errors import DataError, EvaluationError, RegistryError
from mlops_lib.evaluation.judged import JudgedRows
from mlops_lib.loaders.splits import Split
from mlops_lib.registry import MODEL_DIGEST_TAG, ModelVersion, Registry
from mlops_lib.settings import Settings
from mlops_lib.training import evidence
from mlops_lib.training.judged_rows import row_digests
from mlops_lib.training.lifecycle import FINGERPRINT_TAG
from mlops_lib.training.llm_comparison import PARTS, changed_parts, recorded_digests
from mlops_lib.wrappers import champion

if TYPE_CHECKING:
    from mlops_lib.loaders.base import BaseDataLoader

SPLIT: Split = "test"
MOST = 5


def compare_versions(settings: Settings, name: str, numbers: Sequence[int]) -> ComparisonReport:
    """Compare versions with the first of them, or one version with the one at Production.

    The predictions are those that the evaluations stored, where all were made for the same rows.
    Otherwise the models are asked again, for the rows of the prepared dataset.

    Args:
        numbers: Two to five versions; one: compared with Production; none: the candidate (at Staging,
            else the newest if it is newer) is compared with Production.

    Raises:
        RegistryError: There is no such version, or nothing to compare it with.
        EvaluationError: The versions were judged on different data, or cannot be scored.
    """
    # MLflow would show a progress bar for each small file.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    versions = _chosen(settings, name, numbers)
    found = [stored(version) for version in versions]
    notes = list[str]()
    if found[0].rows and all(one.ids == found[0].ids for one in found):
        rows = [one.rows for one in found if one.rows]
        inputs = row_texts(settings, versions[-1].run_id, rows[0].ids)
        source = f"the {len(rows[0].ids):,} rows of the {SPLIT} split that all were judged on"
    else:
        dataset = _dataset(settings, found)
        ids = row_ids(dataset)
        answers = [_rows_of(settings, one, dataset, ids) for one in found]
        rows, notes = [rows for rows, _ in answers], [note for _, note in answers if note]
        inputs = row_texts(settings, "", ids, dataset)
        source = f"the {len(ids):,} rows of the {SPLIT} split of the prepared data, fingerprint {dataset.fingerprint()[:12]}"
    if len(versions) > 2:
        notes.append(
            "Each interval has its confidence by itself: of many comparisons, some look better by chance."
        )
    notes += _parts_notes(versions)
    rows, note = _with_equal_facts(rows)
    notes += [note] if note else []
    sides = [_side(version) for version in versions]
    models = list(zip(sides, rows, strict=True))
    return compare_models(settings, source, models, inputs, row_names(rows[0]), notes=tuple(notes))


@dataclass(frozen=True)
class Stored:
    """A version, and the rows of its evaluation if they were stored; `fingerprint` is that of the data."""

    version: ModelVersion
    rows: JudgedRows | None
    fingerprint: str

    @property
    def ids(self) -> list[str] | None:
        """Ids of the rows; None without rows."""
        return list(self.rows.ids) if self.rows else None


def stored(version: ModelVersion) -> Stored:
    """The judged rows of a version's evaluation, checked against the verdict that was made of them.

    Raises:
        EvaluationError: The evidence was altered, or cannot be read.
    """
    tags = evidence.run_tags(version.run_id) if version.run_id else {}
    fingerprint = tags.get(FINGERPRINT_TAG, "unknown")
    path = tags.get(evidence.EVIDENCE_TAG, "")
    if not path:
        return Stored(version, None, fingerprint)
    verdict = evidence.read(version.run_id, path, tags.get(evidence.SHA256_TAG, "")).verdict
    rows = None
    if verdict.rows_sha256:
        rows = evidence.read_rows(version.run_id, path, evidence.ROWS_FILE, verdict.rows_sha256)
    return Stored(version, rows, verdict.fingerprint or fingerprint)


def _chosen(settings: Settings, name: str, numbers: Sequence[int]) -> list[ModelVersion]:
    """The versions to compare, the reference first."""
    registry = Registry(settings)
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
            candidates = staged or [one for one in others if one.version > production.version]
            if not candidates:
                named = () if name == settings.model.name else ("--name", name)
                both = (production.version, others[0].version) if others else ()
                command = settings.command("compare", *both, *named)
                older = f" For an older one, name both, as in: {command}"
                raise RegistryError(
                    f"Version {production.version} of {name}, at Production, is the newest, and no version is at Staging: "
                    f"there is nothing to compare it with.{older if others else ''}"
                )
            found = [production, candidates[0]]
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


def _dataset(settings: Settings, found: Sequence[Stored]) -> "BaseDataLoader":
    """The prepared dataset, if some version was judged on it or none has stored rows.

    Raises:
        EvaluationError: All versions were judged on other data, or nothing is prepared.
    """
    judged = ", ".join(f"version {one.version.version} on {one.fingerprint[:12]}" for one in found)
    problem = f"The versions were judged on different data (fingerprints: {judged})"
    try:
        dataset = loaders.prepared(settings)
        ids = row_ids(dataset)
    except DataError as error:
        raise EvaluationError(
            f"{problem}, and no data is prepared to ask them on: {error} Prepare it with: {settings.command('run')}"
        ) from None
    known = [one.ids for one in found if one.rows]
    if known and ids not in known:
        raise EvaluationError(
            f"{problem}, and the prepared data is none of these: {dataset.fingerprint()[:12]}. Train or evaluate one of "
            f"them on the data of today ({settings.command('run')}, {settings.command('evaluate')}), and compare again."
        )
    return dataset


def row_ids(dataset: "BaseDataLoader") -> list[str]:
    """The ids of the rows of the split, as an evaluation stores them."""
    return [f"{digest:016x}" for rows in dataset.parts(SPLIT) for digest in row_digests(rows)]


def _rows_of(
    settings: Settings, one: Stored, dataset: "BaseDataLoader", ids: list[str]
) -> tuple[JudgedRows, str]:
    """The stored rows if they are those of the dataset; else the model's answers, and a note.

    Raises:
        EvaluationError: The model cannot be asked.
    """
    if one.rows and one.ids == ids:
        return one.rows, ""
    version = one.version
    asked = champion.ask(version, dataset, settings, SPLIT)
    if asked.rows is None:
        raise EvaluationError(
            f"{version.name} version {version.version} cannot be asked on the prepared data: {asked.problem}"
        )
    cost = f" {asked.note}." if asked.note else ""
    return asked.rows, f"Version {version.version} was asked again on these rows.{cost}"


def _with_equal_facts(rows: Sequence[JudgedRows]) -> tuple[list[JudgedRows], str]:
    """All rows with the facts of the last, and a note if others had other ones.

    The scale of a series, for example, depends on ``evaluation.seasonality`` and on the train split.
    """
    last = rows[-1].facts
    if all(_equal(one.facts.get(name, ()), last[name]) for one in rows for name in last):
        return list(rows), ""
    note = (
        "The versions were judged with different facts about the rows, such as another evaluation.seasonality or train "
        "split. Here all have those of the last version."
    )
    return [replace(one, facts=last) for one in rows], note


def _equal(ours: Sequence[Any], theirs: Sequence[Any]) -> bool:
    """Whether two facts are the same; a missing number equals a missing one."""
    import pandas as pd

    return pd.Series(list(ours), dtype=object).equals(pd.Series(list(theirs), dtype=object))


def _side(version: ModelVersion) -> Side:
    return Side(
        name=version.name,
        version=version.version,
        stage=version.stage,
        run_id=version.run_id,
        digest=version.tags.get(MODEL_DIGEST_TAG, ""),
    )


def _parts_notes(versions: Sequence[ModelVersion]) -> list[str]:
    """For LLM models: the parts that changed from the first version to each other one."""
    first, *others = [(one.version, recorded_digests(one.run_id) if one.run_id else {}) for one in versions]
    notes = []
    for number, digests in others:
        if any(first[1].values()) and any(digests.values()):
            changed = changed_parts(first[1], digests) or "nothing"
            notes.append(
                f"Changed from version {first[0]} to version {number}: {changed} (of {', '.join(PARTS)})."
            )
    return notes


def log_page(report: ComparisonReport, page: str) -> None:
    """Log the page of a comparison to the run of its newest version, as ``compare/<versions>.html``."""
    newest = max(report.sides, key=lambda side: side.version)
    if newest.run_id:
        versions = "-".join(str(side.version) for side in report.sides)
        tracking.log_text(newest.run_id, page, f"compare/{versions}.html")
