"""Metrics of answers that are JSON: equal fields, and the schema."""

import json
from typing import TYPE_CHECKING

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.metrics.interface import Case, TextMetric
from mlops_lib.evaluation.metrics.json_values import NONE, equal, fields, parsed

if TYPE_CHECKING:
    from mlops_lib.settings import Settings


class JsonFields(TextMetric):
    """Share of the reference's fields, by path (``address.city``, ``tags.0``),
    that the answer has with the same value.

    An answer that is no JSON has none of them. Further fields of the answer do not count.
    """

    async def row(self, case: Case) -> float:
        wanted, found = parsed(case.reference), parsed(case.answer)
        if wanted is NONE:
            raise EvaluationError(f"the reference is no JSON object or list: {case.reference[:80]!r}")
        has = {} if found is NONE else dict(fields(found))
        right = [path in has and equal(has[path], value) for path, value in fields(wanted)]
        return sum(right) / len(right)


class JsonSchema(TextMetric):
    """1 where the answer is JSON that the schema in the file ``evaluation.json_schema`` allows, else 0."""

    reads = ("json_schema",)

    def __init__(self, settings: "Settings | None" = None) -> None:
        super().__init__(settings)
        from jsonschema import SchemaError
        from jsonschema.validators import validator_for

        name = settings.evaluation.json_schema if settings else ""
        if settings is None or not name:
            raise EvaluationError("json_schema needs a schema. Set evaluation.json_schema to a JSON file.")
        file = settings.path(name)
        try:
            schema = json.loads(file.read_text("utf-8"))
            kind = validator_for(schema)
            kind.check_schema(schema)
        except (OSError, ValueError, SchemaError) as error:
            reason = error.message if isinstance(error, SchemaError) else error
            raise EvaluationError(f"evaluation.json_schema {file} cannot be used: {reason}") from None
        self._validator = kind(schema)
        self.note = f"schema {name}"

    async def row(self, case: Case) -> float:
        try:
            answer = json.loads(case.answer)
        except ValueError:
            return 0.0
        return float(self._validator.is_valid(answer))
