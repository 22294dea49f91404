"""The decision that put a version at its stage: an entry of the model's history, and the gate's evidence."""

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlops_lib.lineage.why import stored
from mlops_lib.lineage.why.link import Link, State
from mlops_lib.registry import ModelVersion
from mlops_lib.registry.history import Entry, History
from mlops_lib.registry.version_facts import METRIC_TAG, SCORE_TAG
from mlops_lib.training.evidence import CHAMPION_FILE, EVIDENCE_TAG, ROWS_FILE, SHA256_TAG, rows_path

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

#: Moves that put a version at a stage.
TAKES = ("promoted", "forced", "rolled_back", "found_moved")
#: In a verdict: digest of a file beside it.
ROWS = {"rows_sha256": ROWS_FILE, "champion_rows_sha256": CHAMPION_FILE}


def entry_of(history: History, version: ModelVersion, at: datetime | None) -> Entry | None:
    """The newest entry that put a version at a stage; with `at`, the newest one until then."""
    entries = [
        entry
        for entry in history.entries
        if entry.version == version.version and entry.run_id in ("", version.run_id) and entry.action in TAKES
    ]
    before = [entry for entry in entries if at is None or entry.time <= at]
    return next(reversed(before), None)


def decision_link(
    client: "MlflowClient", history: History, version: ModelVersion, entry: Entry | None
) -> Link:
    """The decision, with its evidence and the state of the whole history."""
    link = Link("decision", "no decision")
    if entry:
        link.title = f"{entry.action.replace('_', ' ')} to {entry.stage} at {entry.at} by {entry.user}"
        facts = {
            "entry": entry.number,
            "replaced": entry.replaced or "no version",
            "reason": entry.reason,
            "overridden": list(entry.overridden),
        }
        link.facts = {name: value for name, value in facts.items() if value}
        if entry.action == "found_moved":
            link.blame("missing", "It was moved outside the platform: no decision is known.")
    else:
        link.blame("missing", "The history has no entry that put this version at a stage before that.")
    for number, problem in sorted(history.problems.items()):
        state: State = "missing" if problem.startswith("is missing") else "altered"
        link.blame(state, f"History entry {number} {problem}.")
    stated = _evidence(version, entry)
    if stated:
        link.links.append(evidence_link(client, version.run_id, *stated))
    elif not (entry and entry.action == "forced"):
        link.links.append(
            Link("evidence", "evidence", "missing", "Neither entry nor version names evidence of the gate.")
        )
    return link


def _evidence(version: ModelVersion, entry: Entry | None) -> tuple[str, dict[str, str]] | None:
    """Path of the evidence, and the sources of its digest; None: no source names evidence."""
    of_version = version.tags.get(EVIDENCE_TAG, ""), version.tags.get(SHA256_TAG, "")
    if entry and entry.evidence:
        stated = {"The history entry": entry.evidence_sha256}
        if entry.evidence == of_version[0]:
            stated["The version's tag"] = of_version[1]
        return entry.evidence, stated
    return (of_version[0], {"The version's tag": of_version[1]}) if of_version[0] else None


def check_registration(client: "MlflowClient", version: ModelVersion, link: Link) -> None:
    """Check the evidence that a version was registered on, unless it is the decision's too, and the version's score by it.

    Args:
        link: Of the version, with its decision.
    """
    path, sha256 = version.tags.get(EVIDENCE_TAG, ""), version.tags.get(SHA256_TAG, "")
    if not path:
        return
    found = next((one for one in link.all() if one.title == f"evidence {path}"), None)
    if found is None:
        found = evidence_link(client, version.run_id, path, {"The version's tag": sha256})
        found.title = f"registered on {found.title}"
        link.links.append(found)
    tags = {METRIC_TAG: found.facts.get("metric"), SCORE_TAG: found.facts.get("score")}
    for tag, of_evidence in tags.items():
        of_version = version.tags.get(tag, "")
        if of_version and of_evidence is not None and not _same(of_version, of_evidence):
            link.blame("altered", f"Its tag {tag} is {of_version}, and its evidence has {of_evidence}.")


def other_score(run: "Run", link: Link) -> str:
    """A sentence about a score in MLflow that is not that of the run's evidence; "" if it is, or the evidence is not there.

    Args:
        link: Of the version, with the evidence behind it.
    """
    path, logged = run.data.tags.get(EVIDENCE_TAG, ""), run.data.metrics
    for one in link.all():
        if one.kind == "evidence" and one.state == "verified" and path and one.title.endswith(f" {path}"):
            metric, score = f"test.{one.facts.get('metric')}", one.facts.get("score")
            if metric in logged and score is not None and not _same(repr(logged[metric]), score):
                return f"Its metric {metric} is {logged[metric]}, and its evidence has {score}."
    return ""


def _same(text: str, value: Any) -> bool:
    """Whether a tag has the value; of numbers the last digit may differ."""
    try:
        return math.isclose(float(text), float(value), rel_tol=1e-9)
    except (TypeError, ValueError):
        return text == value


def evidence_link(client: "MlflowClient", run_id: str, path: str, stated: Mapping[str, str]) -> Link:
    """A verdict of the gate, and the rows that it was made of.

    Args:
        stated: Who states the digest of the verdict -> SHA-256.
    """
    link = Link("evidence", f"evidence {path}")
    content = stored.check(client, run_id, path, stated, link)
    verdict = _verdict(content)
    names = ("passed", "outcome", "metric", "score", "threshold", "reasons", "note")
    link.facts |= {name: verdict[name] for name in names if verdict.get(name) not in (None, "", [])}
    for key, name in ROWS.items():
        if digest := verdict.get(key):
            rows = rows_path(path, name, digest)
            link.links.append(Link("rows", f"judged rows {rows}"))
            stored.check(client, run_id, rows, {"The evidence": digest}, link.links[-1])
    return link


def _verdict(content: bytes | None) -> dict[str, Any]:
    try:
        found = json.loads(content or b"{}")
    except ValueError:  # altered, which its digest has shown
        return {}
    return found if isinstance(found, dict) else {}
