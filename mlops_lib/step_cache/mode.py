"""How the steps of a pipeline run use the step cache. The runner passes it on as an environment variable."""

import os
from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict

VARIABLE = "MLOPS_STEP_CACHE"


class StepCacheMode(BaseModel):
    """How a step uses the cache. The default is to run always, as for a notebook that a user starts by hand.

    Args:
        lookup: Reuse the result of any run whose inputs are the same.
        resume: Reuse what this very run has finished, although a notebook or a setting changed since.
        runner_logs: The runner logs the outputs of the steps to MLflow; the steps must not.
        answered: Names of the steps that the runner has looked up already; a hit is in the run's events.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lookup: bool = False
    resume: bool = False
    runner_logs: bool = False
    answered: tuple[str, ...] = ()

    def to_env(self) -> dict[str, str]:
        """The variable that hands the mode to a step."""
        return {VARIABLE: self.model_dump_json(exclude_defaults=True)}

    @classmethod
    def from_env(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The mode that the runner chose; without a runner, the default."""
        return cls.model_validate_json(environment.get(VARIABLE) or "{}")
