"""The data and LLM calls that a reproduction must find. Steps get them through an environment variable."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from mlops_lib.errors import ReproductionError

VARIABLE = "MLOPS_EXPECTED"
#: Hex digits of a fingerprint in an error.
SHOWN = 12


class Expected(BaseModel):
    """The data and the LLM calls of the version. The default expects nothing, as in every other run.

    Args:
        fingerprint: Of the prepared dataset.
        source_fingerprint: Of its source, for a dataset whose files another version of pyarrow wrote.
        cassettes: Folder with the recorded LLM calls of each split, ``test.jsonl``; other calls are refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: str = ""
    source_fingerprint: str = ""
    cassettes: str = ""

    def to_env(self) -> dict[str, str]:
        """The variable that hands this to a step."""
        return {VARIABLE: self.model_dump_json(exclude_defaults=True)}

    @classmethod
    def from_env(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The expectations of the command; without the variable, none."""
        return cls.model_validate_json(environment.get(VARIABLE) or "{}")

    def require_data(self, fingerprint: str, origin: Mapping[str, Any]) -> None:
        """Check a dataset that was prepared again, before a model is trained on it.

        Args:
            fingerprint: Of the prepared dataset.
            origin: See `mlops_lib.loaders.origin`.

        Raises:
            ReproductionError: It is another one; names both fingerprints.
        """
        pairs = {
            "The prepared rows": (self.fingerprint, fingerprint),
            "The rows of the source": (self.source_fingerprint, str(origin.get("source_fingerprint", ""))),
        }
        for what, (wanted, found) in pairs.items():
            if wanted and wanted != found:
                raise ReproductionError(
                    f"The data changed. {what} have the fingerprint {found[:SHOWN]}; the version was trained on "
                    f"{wanted[:SHOWN]}. Source: {_described(origin)}. Restore the data of the version, then run again."
                )

    def cassette(self, split: str) -> str | None:
        """The recorded LLM calls of a split; None when calls are not recorded ones alone."""
        if not self.cassettes:
            return None
        file = Path(self.cassettes) / f"{split}.jsonl"
        return file.read_text(encoding="utf-8") if file.is_file() else ""


def _described(origin: Mapping[str, Any]) -> str:
    source = origin.get("source") or {}
    named = [str(source[key]) for key in ("path", "database", "labels", "feature_service") if key in source]
    return ", ".join(named) or str(origin.get("loader", "unknown"))
