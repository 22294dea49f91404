"""Moves made outside the platform, in MLflow's UI or through its API:
found by comparing the registry with its history."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mlops_lib.registry.history import Holder
from mlops_lib.registry.versions import ModelVersion

#: Stages that one version at a time holds, with an alias of the same name.
IN_USE = ("Staging", "Production")


@dataclass(frozen=True)
class FoundMove:
    """A stage, or an alias apart from its stage (``@production``),
    whose version is not the one of the history."""

    place: str
    version: ModelVersion | None
    replaced: int
    reason: str


def held(versions: Sequence[ModelVersion]) -> dict[str, ModelVersion]:
    """Stage -> its newest version, and ``@production`` and ``@staging`` -> the version with the alias.

    Args:
        versions: All versions of a model, newest first.
    """
    found: dict[str, ModelVersion] = {}
    for version in versions:
        for place in (version.stage, *(f"@{alias}" for alias in version.aliases)):
            if place.removeprefix("@").title() in IN_USE:
                found.setdefault(place, version)
    return found


def found_moves(known: Mapping[str, Holder], versions: Sequence[ModelVersion]) -> Iterator[FoundMove]:
    """The moves that the history lacks.

    Args:
        known: `History.holders`.
        versions: All versions of the model, newest first.
    """
    found, known = held(versions), dict(known)
    for stage in IN_USE:
        for place in (stage, f"@{stage.lower()}"):  # an entry about a stage counts for its alias too
            before, version = known.get(place), found.get(place)
            after = Holder(version.version, version.run_id) if version else None
            if before == after:
                continue
            replaced = before.version if before else 0
            gone = next((v for v in versions if v.version == replaced), None)
            yield FoundMove(place, version, replaced, _reason(version or gone))
            if place == stage:
                known.pop(f"@{stage.lower()}", None)
                if after:
                    known[f"@{stage.lower()}"] = after


def _reason(version: ModelVersion | None) -> str:
    if not version or not version.updated_ms:
        return "Not moved by the platform; the version was deleted since."
    changed = datetime.fromtimestamp(version.updated_ms / 1000, UTC).isoformat(timespec="seconds")
    return f"Not moved by the platform. MLflow changed version {version.version} last at {changed}."
