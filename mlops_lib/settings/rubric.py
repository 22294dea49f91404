"""Settings of ``evaluation.rubrics``: judges of one's own, by rubric."""

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from mlops_lib.settings.section import Section


class RubricExample(Section):
    """An answer that people have scored, for the judge to learn from."""

    question: str = Field("", description="the question")
    answer: str = Field(min_length=1, description="the answer")
    score: int = Field(description="its score on the scale")
    reason: str = Field("", description="why it has this score")


class RubricSettings(Section):
    """One rubric: an LLM scores each answer on a scale. Its name is the name of a metric."""

    prompt: str = Field(
        min_length=1,
        description="what to judge; {{question}}, {{answer}}, {{reference}}, {{contexts}}, {{tool_calls}}, "
        "{{conversation}} and columns are filled in. Without a field, question, answer and reference are added",
    )
    scale: Annotated[dict[int, str], Field(strict=False)] = Field(description="score -> what it means")
    higher_is_better: bool = Field(True, description="whether a higher score is better")
    examples: Annotated[tuple[RubricExample, ...], Field(strict=False)] = Field(
        (), description="scored answers to show to the judge"
    )
    judge: str = Field("", description="LLM that judges, as provider:model; empty: evaluation.judge")
    temperature: float | None = Field(
        None, ge=0, le=2, description="of the judge; null: evaluation.judge_temperature, or the vendor's"
    )
    max_tokens: int = Field(0, ge=0, description="most tokens of a reply; 0: evaluation.judge_max_tokens")
    repeats: int = Field(1, ge=1, description="times that each answer is judged; its score is the mean")
    people: str = Field(
        "", description="column of data.reference_columns with people's scores, to compare with"
    )

    @field_validator("scale")
    @classmethod
    def _has_two_scores(cls, scale: dict[int, str]) -> dict[int, str]:
        if len(scale) < 2:
            raise ValueError(
                "a scale has at least two scores, each with its meaning, such as {1: wrong, 2: right}"
            )
        return dict(sorted(scale.items()))

    @model_validator(mode="after")
    def _examples_are_on_the_scale(self) -> "RubricSettings":
        for number, example in enumerate(self.examples):
            if example.score not in self.scale:
                raise ValueError(
                    f"examples.{number} has the score {example.score}; the scale has {[*self.scale]}"
                )
        return self
