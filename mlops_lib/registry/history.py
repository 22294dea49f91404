"""The history of a registered model: one entry for each move of a version, in a chain of hashes.

MLflow keeps no history of stages. An entry is a tag of the registered model and is never changed: it holds
its own SHA-256 and that of the entry before, so that an entry that was altered or deleted is found and named.
"""

import getpass
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

#: Prefix of the tags. An entry's number follows, so that the tags are in order in MLflow's UI too.
HISTORY_TAG = "mlops.history."
#: On a version: number and SHA-256 of the newest entry about it, and the model's name.
#: A deleted last entry is missed by it.
ENTRY_TAG = "mlops.history_entry"
#: Characters of a person's reason, and of all overridden reasons of the gate together.
#: An entry fits into MLflow's column of 5,000.
MAX_REASON_CHARS, MAX_OVERRIDDEN_CHARS = 1_000, 2_500

Action = Literal["promoted", "forced", "rolled_back", "archived", "found_moved"]


@dataclass(frozen=True)
class Entry:
    """One move.

    Attributes:
        at: Time in UTC, ISO with milliseconds. ``found_moved``: when the move was seen.
        stage: Stage that the version took; ``@production``: the alias alone was found moved.
        version: Version at the stage from now on; 0: none.
        replaced: Version that held the stage until now; 0: none.
        evidence, evidence_sha256: Artifact of the version's run with the gate's verdict, and its digest.
        reason: Why a person overrode the gate, or how a move was found.
        overridden: The gate's reasons that were overridden.
        previous_sha256: `sha256` of the entry before; "" for the first.
    """

    number: int
    at: str
    user: str
    action: Action
    stage: str
    version: int
    replaced: int = 0
    run_id: str = ""
    model_digest: str = ""
    evidence: str = ""
    evidence_sha256: str = ""
    reason: str = ""
    overridden: tuple[str, ...] = ()
    previous_sha256: str = ""

    @property
    def time(self) -> datetime:
        """`at`, with its time zone."""
        return datetime.fromisoformat(self.at)

    @property
    def tag(self) -> str:
        """Key of the entry's tag."""
        return f"{HISTORY_TAG}{self.number:06}"

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the entry's canonical JSON."""
        return hashlib.sha256(_canonical(asdict(self)).encode()).hexdigest()

    def to_text(self) -> str:
        """The tag's value: canonical JSON with the entry's own `sha256`."""
        return _canonical(asdict(self) | {"sha256": self.sha256})

    @classmethod
    def from_text(cls, text: str) -> "Entry":
        """The entry in a tag's value.

        Raises:
            ValueError: The text is no entry, or is not as it was written.
        """
        try:
            content: dict[str, Any] = json.loads(text)
            content.pop("sha256")
            entry = cls(**content | {"overridden": tuple(content["overridden"])})
            written = entry.to_text()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"no entry: {error}") from None
        if written != text:
            raise ValueError("its SHA-256 is another one")
        return entry


@dataclass(frozen=True)
class Holder:
    """The version at a stage, by number and run: a deleted version's number can be another model's."""

    version: int
    run_id: str


@dataclass(frozen=True)
class History:
    """The entries of one registered model, oldest first.

    Attributes:
        problems: Entry number -> why it cannot be trusted: it is missing or was altered.
            Those are not in `entries`.
    """

    entries: tuple[Entry, ...] = ()
    problems: Mapping[int, str] = field(default_factory=dict)

    @property
    def last(self) -> int:
        """Number of the newest entry, altered ones included; 0: the history is empty."""
        return max((*self.problems, *(entry.number for entry in self.entries)), default=0)

    @property
    def last_sha256(self) -> str:
        """SHA-256 of the newest entry; "" if there is none, or it cannot be trusted."""
        return "" if not self.entries or self.last in self.problems else self.entries[-1].sha256

    def verify(self) -> str:
        """The first entry that is missing or altered, as a sentence; "" if all are as they were written."""
        if not self.problems:
            return ""
        number = min(self.problems)
        return f"History entry {number} {self.problems[number]}."

    def holders(self, until: datetime | None = None) -> dict[str, Holder]:
        """Stage -> its version, at a time or after all entries;
        ``@production`` and ``@staging`` for the aliases.

        Args:
            until: With a time zone; the entries of that moment count.
        """
        held: dict[str, Holder] = {}
        for entry in self.entries:
            if until is None or entry.time <= until:
                _apply(entry, held)
        return held


def read(name: str, tags: Mapping[str, str], of_versions: Iterable[str] = ()) -> History:
    """The history in the tags of a registered model.

    Args:
        name: Of the registered model.
        tags: Of the registered model.
        of_versions: The `ENTRY_TAG` of its versions.
    """
    texts = {_number(key): text for key, text in tags.items() if key.startswith(HISTORY_TAG)}
    confirmed = dict(_entry_of_version(name, value) for value in of_versions)
    entries: dict[int, Entry] = {}
    problems: dict[int, str] = {}
    for number in range(1, max((*texts, *confirmed), default=0) + 1):
        if number not in texts:
            problems[number] = "is missing"
            continue
        try:
            entry = Entry.from_text(texts[number])
        except ValueError as error:
            problems[number] = f"was altered: {error}"
            continue
        if entry.number != number:
            problems[number] = f"was altered: it is entry {entry.number}"
        elif confirmed.get(number, entry.sha256) != entry.sha256:
            problems[number] = "was altered: its version's tag has another SHA-256"
        else:
            entries[number] = entry
    # From the newest on: what follows an entry has its SHA-256, and what went before it can be forged to fit.
    for number in sorted(entries, reverse=True):
        after = entries.get(number + 1)
        if after and after.previous_sha256 != entries[number].sha256:
            wrong = number + 1 if number in confirmed else number
            problems[wrong] = "was altered: it is not the entry that its neighbours follow"
            del entries[wrong]
    return History(tuple(entries[number] for number in sorted(entries)), dict(sorted(problems.items())))


def now() -> str:
    """The present time as an entry has it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def current_user() -> str:
    """The login name of the person, or the number of a user without a name (in a container)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def shortened(reasons: tuple[str, ...]) -> tuple[str, ...]:
    """As many reasons as an entry has room for; the last one then says how many more there are."""
    kept: list[str] = []
    for number, reason in enumerate(reasons):
        if sum(map(len, kept)) + len(reason) > MAX_OVERRIDDEN_CHARS:
            return (*kept, f"And {len(reasons) - number} more: see the evidence.")
        kept.append(reason)
    return tuple(kept)


def _apply(entry: Entry, held: dict[str, Holder]) -> None:
    places = [entry.stage, f"@{entry.stage.lower()}"]
    left = places
    if entry.action != "found_moved":
        left = [place for place, holder in held.items() if holder.version == entry.version]
    for place in left:
        held.pop(place, None)
    if entry.version and entry.stage != "Archived":
        held |= dict.fromkeys(places, Holder(entry.version, entry.run_id))


def _canonical(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _number(tag: str) -> int:
    number = tag.removeprefix(HISTORY_TAG)
    return int(number) if number.isdecimal() else 0


def _entry_of_version(name: str, tag: str) -> tuple[int, str]:
    number, sha256, model = (*tag.split(" ", 2), "", "")[:3]
    # MLflow copies the tags when it copies a version to another model.
    return (int(number), sha256) if number.isdecimal() and model == name else (0, "")
