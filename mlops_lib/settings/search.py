"""Settings of section `search`: the space of a hyper-parameter search."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, model_validator

from mlops_lib.settings.section import Section
from mlops_lib.settings.train import TrainSettings


class Dimension(Section):
    """Values that a search tries for one setting: a range of numbers, or choices."""

    type: Literal["float", "int", "categorical"]
    low: FiniteFloat | None = Field(None, description="float, int: smallest value")
    high: FiniteFloat | None = Field(None, description="float, int: largest value, inclusive")
    log: bool = Field(False, description="float, int: sample on a logarithmic scale")
    choices: Annotated[tuple[Any, ...], Field(strict=False)] = Field(
        (), description="categorical: the values"
    )

    @model_validator(mode="after")
    def _is_a_range_or_choices(self) -> "Dimension":
        if self.type == "categorical":
            if len(self.choices) < 2 or self.low is not None or self.high is not None or self.log:
                raise ValueError("categorical takes two or more choices, and nothing else")
            if dates := [choice for choice in self.choices if isinstance(choice, date)]:
                raise ValueError(f"{dates[0]} is a date to YAML; write it in quotes")
            return self
        if self.low is None or self.high is None or self.low >= self.high or self.choices:
            raise ValueError(f"{self.type} takes low and high, low below high, and no choices")
        if self.log and self.low <= 0:
            raise ValueError("with log, low must be above 0")
        if self.type == "int" and (self.low % 1 or self.high % 1):
            raise ValueError("int takes whole numbers as low and high")
        return self


class SearchSettings(Section):
    """Hyper-parameters that `mlops search` tries, scored on the validation split."""

    trials: int = Field(20, ge=1, description="number of trials")
    parallel: int = Field(
        4, ge=1, description="on Kubeflow: trials at the same time; each round learns from earlier rounds"
    )
    seed: int = Field(0, ge=0, description="the same seed and scores give the same trials")
    space: dict[str, Dimension] = Field({}, description="train.x or model.params.x -> values to try")

    @model_validator(mode="after")
    def _names_can_be_searched(self) -> "SearchSettings":
        known = {f"train.{name}" for name in TrainSettings.model_fields}
        # These change where a trial runs, not its model.
        known -= {"train.processes", "train.nodes", "train.accelerator"}
        for name in self.space:
            own = name.removeprefix("model.params.")
            if name not in known and not (own != name and own.isidentifier()):
                raise ValueError(
                    f"{name!r} cannot be searched; name {', '.join(sorted(known))} or model.params.x"
                )
        return self
