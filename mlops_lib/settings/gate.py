"""Settings of section `evaluation.gate`: what a model must show beside its score."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, FiniteFloat, field_validator, model_validator

from mlops_lib.settings.section import Fraction, Name, Section

#: Fewest resamples beyond each end of an interval: an end that rests on fewer differs from seed to seed.
MIN_TAIL = 5
Positive = Annotated[FiniteFloat, Field(ge=0)]


class GateSettings(Section):
    """Criteria of the gate, beside ``evaluation.metric`` and ``evaluation.threshold``.
    All of them must hold."""

    thresholds: dict[Name, FiniteFloat] = Field(
        {}, description="further metrics and the score that each must reach"
    )
    slices: dict[Name, Literal["all"] | tuple[Name, ...]] = Field(
        {},
        description="column, or package.module:function of a row -> the values to judge on their own; all: each value found",
    )
    slice_thresholds: dict[Name, FiniteFloat] = Field(
        {}, description="metric -> the score that it must reach in every slice"
    )
    min_rows: int = Field(
        0, ge=0, description="least rows of the test split that each metric with a threshold counts"
    )
    min_slice_rows: int = Field(30, ge=1, description="least rows of a slice")
    max_latency_ms: Positive = Field(
        0.0, description="most milliseconds a row, at the 95th percentile; 0: no limit"
    )
    max_cost_usd: Positive = Field(
        0.0, description="text: most US dollars of LLM calls a row, on average; 0: no limit"
    )
    champion: bool = Field(
        True,
        description="compare with the version at Production on the same rows, in total and in every slice",
    )
    margins: dict[Name, Positive] = Field(
        {},
        description="metric -> how much worse than the champion it may be; evaluation.metric is always compared",
    )
    require: Literal["not_worse", "better"] = Field(
        "not_worse", description="outcome of the comparison that passes; better passes both"
    )
    resamples: int = Field(2_000, ge=200, le=100_000, description="resamples of the paired bootstrap")
    confidence: Fraction = Field(0.95, gt=0.5, lt=1, description="confidence of the two-sided interval")
    seed: int = Field(0, ge=0, description="seed of the bootstrap")

    @field_validator("slices", mode="before")
    @classmethod
    def _lists_values(cls, slices: Any) -> Any:
        """Lists as tuples, which the settings' strict types ask for;
        one error instead of one for each type."""
        if not isinstance(slices, dict):
            return slices
        for name, values in slices.items():
            listed = isinstance(values, list | tuple)
            if values != "all" and not (listed and values):
                raise ValueError(f"{name}: write all, or a list of values")
            if bad := [value for value in values if listed and not (isinstance(value, str) and value)]:
                raise ValueError(
                    f"{name}: the value {bad[0]!r} is no text. Put it in quotes, as the rows print it"
                )
        return {name: values if values == "all" else tuple(values) for name, values in slices.items()}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.slice_thresholds and not self.slices:
            raise ValueError("slice_thresholds has limits for slices, and slices names none")
        if self.resamples < (least := math.ceil(2 * MIN_TAIL / (1 - self.confidence) - 1e-6)):
            raise ValueError(f"resamples: a confidence of {self.confidence:g} needs {least:,} at least")
        return self
