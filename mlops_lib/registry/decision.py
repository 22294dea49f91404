"""The permission to move a version to Production, and where its evidence is."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Decision:
    """Why a version may take a stage.

    Attributes:
        kind: ``passed``: the gate let it pass; ``forced``: a person overrode the gate.
        champion: Version that held the stage when the gate decided; 0: none.
            Promotion fails if another one holds it by then.
        evidence: Address of the gate's evidence (gate.json), and its SHA-256; "" if forced without any.
        reason: Forced: the person's reason.
        overridden: Forced: the reasons of the refusal.
    """

    kind: Literal["passed", "forced"]
    champion: int = 0
    evidence: str = ""
    evidence_sha256: str = ""
    reason: str = ""
    overridden: tuple[str, ...] = ()
