"""An entry of the step cache: one finished step."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Entry(BaseModel):
    """A finished step.

    Args:
        parts: Everything that the result depends on: see `mlops_lib.step_cache.key`.
        parent_run_id: The pipeline run in which the step ran.
        data: Folder of the prepared dataset that the step wrote or read; empty for a step without one.
        outputs: Outputs of the step's contract.
    """

    model_config = ConfigDict(frozen=True)

    parts: dict[str, str]
    parent_run_id: str
    data: str
    outputs: dict[str, Any]


class Stale(Exception):
    """A cached result is gone or was changed; the message says which and follows the word 'because'."""
