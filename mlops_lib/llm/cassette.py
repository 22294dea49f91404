"""A cassette of LLM calls: a recorded call is answered without network and key."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class Entry:
    """The answer to one call. `status` is the HTTP status, or 0 for a failed connection."""

    key: str
    server: str
    status: int
    body: str
    content_type: str = "application/json"


@dataclass
class Cassette:
    """Entries by key.

    Attributes:
        known: Entries of earlier evaluations, by key.
        used: Entries of this evaluation, by key. These are saved.
        strict: Replay: a call without an entry is an error, and recorded errors are repeated.
        misses: Calls without an entry in a replay.
        rows: Row -> seconds that its live answer took.
        asked: The same for the rows of this evaluation. These are saved.
    """

    known: dict[str, Entry] = field(default_factory=dict)
    used: dict[str, Entry] = field(default_factory=dict)
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
                cassette.known[content["key"]] = Entry(**content)
        return cassette

    def text(self) -> str:
        """A cassette file with the entries of this evaluation."""
        lines: list[Any] = [asdict(entry) for entry in self.used.values()]
        lines += [{"row": row, "latency_s": seconds} for row, seconds in self.asked.items()]
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)

    def find(self, key: str, server: str) -> Entry | None:
        """The recorded answer. Outside a replay, only a success from the same server counts."""
        entry = self.used.get(key) or self.known.get(key)
        if entry is None:
            self.misses += self.strict
            return None
        if not self.strict and (entry.server != server or not 200 <= entry.status < 300):
            return None
        self.used[key] = entry
        return entry

    def knows_row(self, row: str) -> bool:
        """Whether an earlier evaluation answered the row."""
        return row in self.rows

    def latency_of(self, row: str, measured_s: float, from_record: bool) -> float:
        """Seconds of a row's live answer: recorded ones if the answer is, else the measured ones."""
        known = self.rows.get(row) if from_record or self.strict else None
        self.asked[row] = round(measured_s, 4) if known is None else known
        return self.asked[row]

    def keep(self, entry: Entry) -> None:
        """Record an answer. A success replaces a failure, but not the other way round."""
        before = self.used.get(entry.key)
        if before is None or not 200 <= before.status < 300:
            self.used[entry.key] = entry


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
