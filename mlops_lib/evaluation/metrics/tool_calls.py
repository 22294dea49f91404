"""Metrics of the tools that a model called, against the column ``expected_tools`` of the golden data.

A row has a list: names of tools, or objects with ``name`` and ``args`` (or ``arguments``,
also in OpenAI's form). Arguments are compared as values; a call without them is compared by
name. An empty list means: no tool.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.metrics.interface import Case, TextMetric
from mlops_lib.evaluation.metrics.json_values import equal
from mlops_lib.llm.traces.trajectory import decoded

COLUMN = "expected_tools"
#: Names of the arguments in an expected call.
ARGUMENTS = ("args", "arguments", "input", "parameters")


class Call(NamedTuple):
    """A call of a tool; `args` is None where any arguments will do."""

    name: str
    args: Any = None

    def fits(self, made: "Call") -> bool:
        """Whether a call that was made is this expected one."""
        return self.name == made.name and (self.args is None or equal(made.args or {}, self.args))


def expected(case: Case) -> list[Call]:
    """The calls that a row expects.

    Raises:
        EvaluationError: The row has no value, or one of another form.
    """
    value = case.columns.get(COLUMN)
    if value is None:
        raise EvaluationError(f"the row has no {COLUMN}; write [] where no tool is expected")
    return [_expected(one) for one in (value if isinstance(value, list) else [value])]


def _expected(one: Any) -> Call:
    if isinstance(one, str) and one:
        return Call(one)
    if isinstance(one, Mapping):
        inner = one.get("function")
        one = inner if isinstance(inner, Mapping) else one
        if isinstance(name := one.get("name"), str) and name:
            args = next((decoded(one[key]) for key in ARGUMENTS if one.get(key) is not None), None)
            if args is None or isinstance(args, Mapping):
                return Call(name, args)
    raise EvaluationError(
        f'{COLUMN} has {one!r}. Write a tool as its name or as {{"name": ..., "args": {{...}}}}'
    )


def made(case: Case) -> list[Call]:
    """The calls that the model made."""
    return [Call(call["name"], call["args"]) for call in case.tool_calls]


def matched(wanted: list[Call], calls: list[Call]) -> int:
    """How many expected calls were made, whatever the order; each call counts once."""
    left, found = list(calls), 0
    # Calls that name their arguments choose first: the others take any call of the tool.
    for one in sorted(wanted, key=lambda call: call.args is None):
        at = next((i for i, call in enumerate(left) if one.fits(call)), None)
        if at is not None:
            del left[at]
            found += 1
    return found


class _ToolCalls(TextMetric):
    columns: ClassVar = (COLUMN,)

    async def row(self, case: Case) -> float:
        return float(self.compare(expected(case), made(case)))

    def compare(self, wanted: list[Call], calls: list[Call]) -> float:
        """The score of the calls of one row."""
        raise NotImplementedError


class ExactOrder(_ToolCalls):
    """1 where the model made the expected calls in their order, and no others; else 0."""

    def compare(self, wanted: list[Call], calls: list[Call]) -> float:
        return len(wanted) == len(calls) and all(map(Call.fits, wanted, calls))


class AnyOrder(_ToolCalls):
    """1 where the model made the expected calls in any order, and no others; else 0."""

    def compare(self, wanted: list[Call], calls: list[Call]) -> float:
        return matched(wanted, calls) == len(wanted) == len(calls)


class Subset(_ToolCalls):
    """1 where each call of the model is an expected one: some may be missing, none is wrong; else 0."""

    def compare(self, wanted: list[Call], calls: list[Call]) -> float:
        return matched(wanted, calls) == len(calls)


class Superset(_ToolCalls):
    """1 where the model made all expected calls; others do not count; else 0."""

    def compare(self, wanted: list[Call], calls: list[Call]) -> float:
        return matched(wanted, calls) == len(wanted)


class F1(_ToolCalls):
    """F1 of the calls: 1 where they are the expected ones in any order, 0 where none is."""

    def compare(self, wanted: list[Call], calls: list[Call]) -> float:
        return 2 * matched(wanted, calls) / (len(wanted) + len(calls)) if wanted or calls else 1.0
