"""A cassette of LLM calls: a recorded call is answered without network and key."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

#: Turn of an entry from before turns were recorded.
ANY = -1


@dataclass(frozen=True)
class Entry:
    """The answer to one call.

    Attributes:
        key: See `key_of`.
        server: Host and port that answered.
        status: The HTTP status, or 0 for a failed connection.
        turn: How many identical calls the row made before.
    """

    key: str
    server: str
    status: int
    body: str
    content_type: str = "application/json"
    turn: int = ANY

    @property
    def succeeded(self) -> bool:
        """Whether there is an answer."""
        return 200 <= self.status < 300


#: Entries by key and turn.
Entries = dict[tuple[str, int], Entry]


@dataclass
class Cassette:
    """Entries by key and turn: a row may repeat a call to get several samples,
    and gets them again in their order.

    Attributes:
        known: Entries of earlier evaluations.
        used: Entries of this evaluation. These are saved.
        strict: Replay: a call without an entry is an error, and recorded errors are repeated.
        misses: Calls without an entry in a replay.
        rows: Row -> seconds that its live answer took.
        asked: The same for the rows of this evaluation. These are saved.
    """

    known: Entries = field(default_factory=dict)
    used: Entries = field(default_factory=dict)
    strict: bool = False
    misses: int = 0
    rows: dict[str, float] = field(default_factory=dict)
    asked: dict[str, float] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, strict: bool = False) -> Self:
        """Read a cassette file: JSON Lines with one entry on a line, or the latency of a row."""
        cassette = cls(strict=strict)
        for line in text.split("\n"):
            if not line:
                continue
            content = json.loads(line)
            if "row" in content:
                cassette.rows[content["row"]] = float(content["latency_s"])
            else:
                entry = Entry(**content)
                cassette.known[entry.key, entry.turn] = entry
        return cassette

    def text(self, all_known: bool = False) -> str:
        """A cassette file with the entries of this evaluation; with `all_known`, of earlier ones too."""
        used = self.known | self.used if all_known else self.used
        asked = self.rows | self.asked if all_known else self.asked
        lines: list[Any] = [asdict(entry) for entry in used.values()]
        lines += [{"row": row, "latency_s": seconds} for row, seconds in asked.items()]
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)

    def add(self, other: "Cassette") -> None:
        """Make what another cassette knows known here too; it replaces entries with the same key and turn."""
        self.known |= other.known
        self.rows |= other.rows

    def find(self, key: str, server: str, turn: int = 0) -> Entry | None:
        """The recorded answer to the call that a row makes after `turn` identical ones.

        Outside a replay, only a success from the same server counts.
        """
        entry = self.used.get((key, turn)) or self.known.get((key, turn))
        if entry is None and (turn == 0 or self.strict):
            # The old form has one entry for all identical calls.
            entry = self.known.get((key, ANY))
        if entry is None:
            self.misses += self.strict
            return None
        if not self.strict and (entry.server != server or not entry.succeeded):
            return None
        return self.keep(replace(entry, turn=turn))

    def knows_row(self, row: str) -> bool:
        """Whether an earlier evaluation answered the row."""
        return row in self.rows

    def latency_of(self, row: str, measured_s: float, from_record: bool) -> float:
        """Seconds of a row's live answer: recorded ones if the answer is, else the measured ones."""
        known = self.rows.get(row) if from_record or self.strict else None
        self.asked[row] = round(measured_s, 4) if known is None else known
        return self.asked[row]

    def keep(self, entry: Entry) -> Entry:
        """Record an answer, and return the one that counts: a success stays, a failure is replaced.

        Two rows may make the same call at once; both then have the answer that a replay gives them.
        """
        before = self.used.get((entry.key, entry.turn))
        if before is not None and before.succeeded:
            return before
        self.used[entry.key, entry.turn] = entry
        return entry


def key_of(provider: str, path: str, body: bytes) -> str:
    """Digest of a request: provider, path and JSON body, without the server's address and the key."""
    try:
        content = json.dumps(json.loads(body), sort_keys=True)
    except ValueError:
        content = body.decode("utf-8", "replace")
    return hashlib.sha256(f"{provider}\0{path}\0{content}".encode()).hexdigest()


def row_key(row: Mapping[str, Any]) -> str:
    """Digest of a row's input."""
    return hashlib.sha256(json.dumps(dict(row), sort_keys=True, default=str).encode()).hexdigest()[:16]
