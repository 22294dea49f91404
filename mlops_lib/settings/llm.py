"""Settings of section `llm`."""

from typing import Annotated

from pydantic import Field

from mlops_lib.settings.section import Section


class LlmSettings(Section):
    """How LLM providers are called."""

    timeout_s: float = Field(60.0, gt=0, description="seconds that one call may take")
    max_retries: int = Field(4, ge=0, description="retries after a 429, 5xx, time-out or lost connection")
    prices: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]] = Field(
        {}, description="provider:model -> US dollars for a million tokens in, and out"
    )
    tracing: bool = Field(True, description="log a trace of each graph run to MLflow")
