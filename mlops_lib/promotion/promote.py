"""Ask the gate on the version that holds Production now, and move the new version when it passes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from mlops_lib import tracking
from mlops_lib.errors import EvaluationError, MlopsError, RegistryError
from mlops_lib.evaluation.judged import Champion
from mlops_lib.evaluation.report import Verdict
from mlops_lib.promotion import stored
from mlops_lib.promotion.same_data import same_data
from mlops_lib.redact import mask
from mlops_lib.registry import MODEL_DIGEST_TAG, Decision, ModelVersion, Registry
from mlops_lib.settings import Settings
from mlops_lib.training import evidence, judging
from mlops_lib.wrappers import champion as champions

#: Told what goes on.
Say = Callable[[str], None]
#: The way out for a person.
OVERRIDE = "A person can override the gate with: --force --reason TEXT"


class RefusedError(RegistryError):
    """The gate did not let a version pass.

    Attributes:
        reasons: One sentence each.
        verdict: None if the gate could not judge.
    """

    def __init__(self, version: ModelVersion, reasons: tuple[str, ...], verdict: Verdict | None) -> None:
        super().__init__(
            f"The gate refused {version.name!r} version {version.version}: {' '.join(reasons)}\n{OVERRIDE}"
        )
        self.reasons, self.verdict = reasons, verdict


@dataclass(frozen=True)
class Promoted:
    """A promotion that was made.

    Attributes:
        decision: Behind it; None: none was needed.
        verdict: Of the gate; None: it was not asked, or could not judge.
    """

    version: ModelVersion
    decision: Decision | None = None
    verdict: Verdict | None = None


def promote(
    settings: Settings,
    name: str,
    version: int,
    stage: str = "Production",
    force_reason: str = "",
    say: Say = lambda _: None,
) -> Promoted:
    """Move a version to a stage; to Production only when the gate passes on the version that is there now.

    Args:
        settings: Section `evaluation` has the criteria, section `data` the rows.
        force_reason: Why a person moves the version even if the gate refuses.
        say: Called with each piece of work before it begins.

    Raises:
        RefusedError: The gate refused, or could not judge: whatever is in doubt does not pass.
        RegistryError: The registry cannot be reached, has no such version, or another promotion came first.
    """
    registry = Registry(settings)
    candidate = registry.resolve(name, version=version)
    if stage.title() != "Production":
        return Promoted(registry.promote(name, version, stage))
    holder = champions.find(settings, name)
    if holder and holder.version == version and "production" in holder.aliases:
        return Promoted(holder)
    found: evidence.Evidence | None = None
    try:
        found = _ask(settings, registry, candidate, holder, say)
        reasons = found.verdict.reasons
    except MlopsError as error:
        reasons = (mask(str(error)),)
    except Exception as error:  # models and metrics run other people's code
        reasons = (f"The gate failed with {type(error).__name__}: {mask(str(error))}.",)
    passed = found is not None and found.verdict.passed
    if not passed and not force_reason:
        raise RefusedError(candidate, reasons, found.verdict if found else None)
    decision = Decision(
        "passed" if passed else "forced",
        holder.version if holder else 0,
        found.path if found else "",
        found.sha256 if found else "",
        "" if passed else force_reason,
        () if passed else reasons,
    )
    say("moving the version")
    moved = registry.promote(name, version, stage, decision)
    return Promoted(moved, decision, found.verdict if found else None)


def _ask(
    settings: Settings, registry: Registry, candidate: ModelVersion, holder: ModelVersion | None, say: Say
) -> evidence.Evidence:
    """The verdict on the candidate, with its evidence on the candidate's run."""
    tracking.connect(settings)
    say("checking the evidence of the evaluation")
    kept = stored.read(registry, candidate, settings)
    say("checking the model's files")
    stored.check_files(registry, candidate)
    champion = None
    if settings.evaluation.gate.champion:
        champion = _champion(settings, registry, candidate, holder, kept, say)
    say("asking the gate")
    report = stored.report(kept, candidate, settings)
    try:
        verdict = judging.decide(report, settings, champion, candidate.run_id, kept.verdict.fingerprint)
    except EvaluationError as error:  # a criterion that was set after the evaluation
        raise EvaluationError(f"{error} {stored.again_with(candidate, settings)}") from None
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return evidence.log(candidate.run_id, f"promotion/{stamp}", verdict, kept.rows, champion)


def _champion(
    settings: Settings,
    registry: Registry,
    candidate: ModelVersion,
    holder: ModelVersion | None,
    kept: stored.Stored,
    say: Say,
) -> Champion | None:
    """The version at Production with its predictions: the stored ones if the evaluation
    compared with the same one."""
    if holder is None:
        _check_first(settings, registry, candidate)
        return None
    known, digest = kept.verdict.champion, holder.tags.get(MODEL_DIGEST_TAG, "")
    now = (holder.name, holder.version, holder.run_id, digest)
    if known and kept.champion_rows and (known.name, known.version, known.run_id, known.digest) == now:
        return Champion(*now, rows=kept.champion_rows)
    if not kept.verdict.fingerprint:
        raise EvaluationError(f"The evaluation names no data. {stored.again_with(candidate, settings)}")
    with same_data(settings, kept.verdict.fingerprint, say) as dataset:
        say(f"asking version {holder.version}, which is at Production, on {len(kept.rows.ids)} rows")
        return champions.ask(holder, dataset, settings, kept.split, candidate.run_id)


def _check_first(settings: Settings, registry: Registry, candidate: ModelVersion) -> None:
    """Check that no version held Production before: thresholds alone must not replace an archived champion.

    Raises:
        EvaluationError: Another version did, or the history cannot be trusted.
    """
    history = registry.history(candidate.name)
    if problem := history.verify():
        raise EvaluationError(
            f"No version is at Production, and the history of {candidate.name!r} does not say whether one was: {problem}"
        )
    held = [one for one in history.entries if one.stage == "Production" and one.version]
    if held and (held[-1].version, held[-1].run_id) != (candidate.version, candidate.run_id):
        raise EvaluationError(
            f"No version is at Production, and version {held[-1].version} was the last one there, so the model cannot be "
            f"compared with it. Bring it back first: {settings.command('promote', candidate.name, held[-1].version)}"
        )
