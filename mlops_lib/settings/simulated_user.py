"""Settings of ``evaluation.simulated_user``: the LLM that plays the user of a conversation."""

import re

from pydantic import Field, field_validator

from mlops_lib.settings.section import Section


class SimulatedUserSettings(Section):
    """An LLM that talks with the model until it reaches the ``goal`` of a row of the golden data."""

    model: str = Field("", description="LLM that plays the user, as provider:model; empty: nobody does")
    prompt: str = Field(
        "",
        description="how the user behaves; columns are filled in. Those of {{goal}}, {{persona}} and {{facts}} that it does "
        "not name are added",
    )
    max_turns: int = Field(6, ge=1, description="messages of the user after which a conversation ends")
    stop: str = Field(
        "", description="regular expression; an answer of the model that has it ends the conversation"
    )
    seed: int = Field(0, description="seed of the user's replies, where the vendor takes one")

    @field_validator("stop")
    @classmethod
    def _is_an_expression(cls, stop: str) -> str:
        try:
            re.compile(stop)
        except re.error as error:
            raise ValueError(f"{stop!r} is no regular expression: {error}") from None
        return stop
