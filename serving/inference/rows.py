"""The rows of one request, in each form that the service needs them in."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from mlops_lib.wrappers.pyfunc.requests import WholeRequest
from serving.features.statuses import EnrichedRows
from serving.inference.fields import cast_rows

if TYPE_CHECKING:
    from serving.inference.schema import RequestSchema

astuple, replace = msgspec.structs.astuple, msgspec.structs.replace
NO_PARAMS: Mapping[str, Any] = MappingProxyType({})


class Context(msgspec.Struct, frozen=True):
    """The facts about a request that the predictor needs beside its rows.

    Attributes:
        caller: Name of the API key; "" without keys.
        request_id: For the record, and for the choice of a canary where rows carry no entity key.
        body_bytes: Length of the body that the rows came in: a record takes about as much memory.
        deadline: Time of `time.monotonic()` at which a stream ends.
        champion_only: No challenger answers the request, whatever its share.
    """

    request_id: str
    body_bytes: int
    deadline: float
    champion_only: bool = False
    caller: str = ""


class Rows(msgspec.Struct, frozen=True):
    """Rows that a version's schema has checked. Each form is made when it is asked for.

    Attributes:
        schema: The schema that checked them.
        values: A struct for each row of named columns; else what came in: lists, values, or a chat's dict.
        single: Whether one row came in outside a list.
        looked_up: The rows completed from the feature store, and where each feature came from.
        completed: Whether the model gets the rows of `looked_up`. A challenger's rows are made from them already.
        params: Values for ``params`` of the signature.
        any_count: Whether the protocol has room for an answer that is not one prediction a row.
        as_request: Whether the model gets all rows as one: a whole request.
    """

    schema: "RequestSchema"
    values: list[Any]
    single: bool = False
    looked_up: EnrichedRows | None = None
    completed: bool = False
    params: Mapping[str, Any] = NO_PARAMS
    any_count: bool = False
    as_request: bool = False

    def __len__(self) -> int:
        return 1 if self.as_request else len(self.values)

    def with_features(self, looked_up: EnrichedRows) -> "Rows":
        """The same rows with every column of the model."""
        return replace(self, looked_up=looked_up, completed=True)

    def whole(self) -> "Rows":
        """The same rows as one whole request."""
        return replace(self, as_request=True)

    def tuples(self) -> list[tuple[Any, ...]]:
        """The values of each row in the order of the model's columns: a row of its matrix."""
        if self.completed and self.looked_up:
            columns = self.schema.columns
            return [tuple(row.get(name) for name in columns) for row in self.looked_up.rows]
        width = len(self.schema.columns)
        if self.schema.has_optional:
            return [
                tuple(None if value is UNSET else value for value in astuple(row)[:width])
                for row in self.values
            ]
        if len(self.schema.fields) == width:
            return [astuple(row) for row in self.values]
        return [astuple(row)[:width] for row in self.values]

    def dicts(self) -> list[Any]:
        """Rows as ``{column: value}`` of the model's columns, with the values of `uncast` in the model's own types.

        Raises:
            BadValue: A text is no date, say.
        """
        return self._packed(cast_rows(self._dicts(), self.schema.casts))

    def uncast(self) -> list[Any]:
        """`dicts` with the values that came in."""
        return self._packed(self._dicts())

    def _packed(self, rows: list[Any]) -> list[Any]:
        return [WholeRequest(rows, dict(self.params))] if self.as_request else rows

    def _dicts(self) -> list[Any]:
        if self.completed and self.looked_up:
            return [dict(row) for row in self.looked_up.rows]
        if not self._are_structs:
            return self.values
        columns = self.schema.columns
        rows = [dict(zip(columns, astuple(row), strict=False)) for row in self.values]
        if self.schema.has_optional:
            rows = [{name: value for name, value in row.items() if value is not UNSET} for row in rows]
        return rows

    def given(self) -> list[Any]:
        """Rows as the caller sent them: with entity keys, without absent values."""
        return [self._given(row) for row in self.values] if self._are_structs else self.values

    def complete(self) -> list[Any]:
        """Every value that is known: the caller's, or those of the feature store."""
        return self.looked_up.rows if self.completed and self.looked_up else self.given()

    def entity(self) -> tuple[Any, ...] | None:
        """The values of the first row's entity keys; None where it lacks one."""
        row = self._given(self.values[0]) if self._are_structs else self.values[0]
        if not self.schema.entity_keys or not isinstance(row, dict):
            return None
        entity = tuple(row.get(name) for name in self.schema.entity_keys)
        return None if None in entity else entity

    @property
    def _are_structs(self) -> bool:
        return bool(self.schema.columns) and not isinstance(self.values[0], dict)

    def _given(self, row: Any) -> dict[str, Any]:
        named = zip(self.schema.fields, astuple(row), strict=True)
        return {name: value for name, value in named if value is not UNSET}
