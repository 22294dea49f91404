"""The model behind a prediction: which version it is today, and whether its files are the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mlops_lib.lineage.why import stored
from mlops_lib.lineage.why.link import Link, disagreeing, short
from mlops_lib.lineage.why.prediction import Subject
from mlops_lib.registry import MODEL_DIGEST_TAG, ModelVersion
from mlops_lib.training.lifecycle import FINGERPRINT_TAG

#: Who may state the digest of a model's files.
LOG, VERSION, RUN, HISTORY = "The prediction log", "The version's tag", "The run's tag", "The history entry"

#: Facts that a training writes on its run, and the registration on the version.
OF_TRAINING = (FINGERPRINT_TAG, "mlops.git_commit", "mlops.config_digest", "mlops.version", "mlops.columns")


@dataclass(frozen=True)
class Identified:
    """The version of today that is the subject's model; `problem` says why there is none,
    or another than was named."""

    version: ModelVersion | None
    problem: str = ""
    altered: bool = False


def identify(subject: Subject, versions: Sequence[ModelVersion]) -> Identified:
    """Find the version of a prediction's model. Its number alone is not believed:
    a deleted number is given again.

    Args:
        versions: All versions of the name today.
    """
    numbered = next((v for v in versions if v.version == subject.version), None)
    if not (subject.run_id or subject.digest):
        return _by_time(subject, numbered)
    if numbered and _is_model(numbered, subject):
        return Identified(numbered)
    number = f"{subject.name} version {subject.version}"
    if numbered is None:
        problem = f"{number} was deleted."
    elif subject.at and _created(numbered) > subject.at:
        when = _created(numbered).isoformat(timespec="seconds")
        problem = (
            f"{number} of today is another model, registered at {when}: the one that answered was deleted."
        )
    else:
        problem = (
            f"{number} was registered before the prediction, from run {numbered.run_id} with digest "
            f"{short(numbered.tags.get(MODEL_DIGEST_TAG, '')) or 'unknown'}: the prediction log names another run and digest."
        )
        return Identified(None, problem, altered=True)
    other = next((v for v in versions if _is_model(v, subject)), None)
    if other:
        problem += f" The same model is version {other.version} now."
    return Identified(other, problem)


def statements(
    subject: Subject, version: ModelVersion | None, run_tags: Mapping[str, str], entry_digest: str
) -> dict[str, str]:
    """Source of a digest of the model's files -> the digest."""
    stated = {
        LOG: subject.digest,
        VERSION: version.tags.get(MODEL_DIGEST_TAG, "") if version else "",
        RUN: run_tags.get(MODEL_DIGEST_TAG, ""),
        HISTORY: entry_digest,
    }
    return {who: digest for who, digest in stated.items() if digest}


def files_link(uri: str, stated: Mapping[str, str]) -> tuple[Link, dict[str, str]]:
    """Download and hash a model's files.

    Args:
        uri: Address of the files; "" if nothing in MLflow has them.
        stated: See `statements`.

    Returns:
        The link, and the sources that state another digest than the files have -> a sentence.
        It is empty when no
        source states the digest of the files: then the files are the altered part.
    """
    digest = next(iter(stated.values()), "")
    link = Link(
        "model", f"model {short(digest) or 'of unknown digest'}", facts={"address": uri, "digest": digest}
    )
    try:
        if not uri:
            raise stored.Gone("Nothing in MLflow has its files: the version and the run are gone.")
        found = stored.digest_of(uri)
    except stored.Gone as gone:
        link.blame("missing", str(gone))
        return link, {}
    if not stated:
        link.title, link.facts["digest"] = f"model {short(found)}", found
        link.blame("missing", "Nothing states a digest of its files, so that a change would not be seen.")
        return link, {}
    if found in stated.values():
        link.title, link.facts["digest"] = f"model {short(found)}", found
        return link, disagreeing(found, stated)
    whose = ", ".join(who[0].lower() + who[1:] for who in stated)
    link.blame("altered", f"Its files have digest {short(found)}, and {short(digest)} is stated by {whose}.")
    return link, {}


def version_link(version: ModelVersion) -> Link:
    """The version with its facts."""
    facts = {
        "stage": version.stage.replace("None", ""),
        "aliases": " ".join(version.aliases),
        "registered": _created(version).isoformat(timespec="seconds"),
        "score": " ".join(version.tags.get(tag, "") for tag in ("mlops.metric", "mlops.score")).strip(),
        "run": version.run_id,
    }
    facts = {name: value for name, value in facts.items() if value}
    return Link("version", f"{version.name} version {version.version}", facts=facts)


def other_tags(version: ModelVersion, run_tags: Mapping[str, str]) -> list[str]:
    """A sentence for each fact of the training that version and run state differently."""
    return [
        f"Its tag {tag} is {short(version.tags[tag])}, and the run's is {short(run_tags.get(tag, 'missing'))}."
        for tag in OF_TRAINING
        if version.tags.get(tag, run_tags.get(tag)) != run_tags.get(tag)
    ]


def _by_time(subject: Subject, numbered: ModelVersion | None) -> Identified:
    number = f"{subject.name} version {subject.version}"
    if numbered is None:
        return Identified(
            None, f"{number} was deleted, and the prediction log has neither run nor digest of it."
        )
    if subject.at and _created(numbered) > subject.at:
        return Identified(
            None, f"{number} of today was registered after the prediction: it is another model."
        )
    return Identified(numbered)


def _is_model(version: ModelVersion, subject: Subject) -> bool:
    """Whether run or digest are the subject's: if one of them was altered,
    the other one still finds the version."""
    by_run = bool(subject.run_id) and version.run_id == subject.run_id
    return by_run or (bool(subject.digest) and version.tags.get(MODEL_DIGEST_TAG) == subject.digest)


def _created(version: ModelVersion) -> datetime:
    return datetime.fromtimestamp(version.created_ms / 1000, UTC)
