"""A link of the chain behind a prediction, with the result of its check."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

#: From best to worst. ``unchecked``: nothing contradicts it, and it was not hashed.
State = Literal["verified", "unchecked", "missing", "altered"]
STATES: tuple[State, ...] = ("verified", "unchecked", "missing", "altered")
#: Exit status of ``mlops why`` for the worst state of a chain.
EXIT: dict[State, int] = {"verified": 0, "unchecked": 0, "missing": 4, "altered": 5}


@dataclass
class Link:
    """One link, with the links behind it.

    Attributes:
        kind: ``prediction``, ``model``, ``version``, ``decision``, ``evidence``, ``run``, ``notebook``,
            ``data``, ...
        title: The link in a line.
        detail: Why it is in this state, if it is not verified.
        facts: What is known of it, for people and programs.
        links: The links that it rests on.
    """

    kind: str
    title: str
    state: State = "verified"
    detail: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    links: list["Link"] = field(default_factory=list)

    def blame(self, state: State, detail: str) -> None:
        """Lower the state, if it is better than `state`, and add a reason."""
        self.state = max(self.state, state, key=STATES.index)
        self.detail = " ".join(filter(None, [self.detail, detail]))

    def all(self) -> Iterator["Link"]:
        """This link and all links behind it."""
        yield self
        for link in self.links:
            yield from link.all()

    @property
    def worst(self) -> State:
        """The worst state in the chain."""
        return max((link.state for link in self.all()), key=STATES.index)

    def to_dict(self) -> dict[str, Any]:
        """The chain for JSON."""
        own = {"kind": self.kind, "title": self.title, "state": self.state, "detail": self.detail}
        return {**own, "facts": self.facts, "links": [link.to_dict() for link in self.links]}


def disagreeing(digest: str, stated: Mapping[str, str]) -> dict[str, str]:
    """The sources that state another digest than `digest` -> a sentence;
    sources without a digest are left out.

    Args:
        stated: Source -> its SHA-256.
    """
    return {
        who: f"{who} has SHA-256 {short(value)}, and the stored bytes have {short(digest)}."
        for who, value in stated.items()
        if value and value != digest
    }


def short(digest: str) -> str:
    """The first characters of a digest, for people."""
    return digest[:12]
