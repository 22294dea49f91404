"""On-demand features: computed for rows that lack them, from stored values and the request's own columns."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from mlops_lib.features import FeatureProvider, FeatureService
from serving.features.lookups import Lookups, LookupTimeout
from serving.web.problems import Problem


class _Asked:
    """A row to compute; one object a row, because rows with lists have no hash."""

    __slots__ = ("values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values


class OnDemand:
    """Computes the on-demand features of rows. Requests that wait at the same time share a call.

    Args:
        provider: The feature store.
        service: The feature service, with the model's features alone.
        timeout_s: Longest wait of a request.
    """

    def __init__(self, provider: FeatureProvider, service: FeatureService, timeout_s: float) -> None:
        self.features = tuple(service.on_demand)
        self._sources, self._timeout_s = service.on_demand, timeout_s
        self._needed = {
            *service.entity_keys,
            *service.request_dtypes,
            *(name for source in service.on_demand.values() for name in source.stored),
        }
        self._calls: Lookups[_Asked, dict[str, Any]] = Lookups(
            lambda asked: provider.compute(service, [one.values for one in asked]), timeout_s
        )

    def lacking(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """The on-demand features that a row does not have."""
        return tuple([name for name in self.features if name not in row]) if self.features else ()

    def inputs_of(self, features: Sequence[str]) -> list[str]:
        """Stored columns that some of the features are computed from."""
        return [name for feature in features for name in self._sources[feature].stored]

    def require_columns(self, number: int, row: Mapping[str, Any], features: Sequence[str]) -> None:
        """Raise a Problem (422) when a row lacks a column of its own that `features` are computed from."""
        for name in features:
            if missing := [column for column in self._sources[name].request if column not in row]:
                raise Problem(
                    HTTPStatus.UNPROCESSABLE_ENTITY,
                    "invalid_input",
                    f"Row {number} has no {', '.join(map(repr, missing))} to compute {name!r} from. Send "
                    f"{'it' if len(missing) == 1 else 'them'} in the row, or send {name!r} itself.",
                )

    async def fill(self, rows: Sequence[dict[str, Any]], lacking: Sequence[Sequence[str]]) -> None:
        """Add to each row the features that it lacks.

        Raises:
            Problem: 422 when a feature's function fails on the rows, 503 when it takes too long.
        """
        asked = {i: _Asked(self._given(row)) for i, row in enumerate(rows) if lacking[i]}
        if not asked:
            return
        try:
            made = await self._calls.get(asked.values())
        except LookupTimeout:
            detail = f"{', '.join(self.features)} were not computed within {self._timeout_s} s."
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "features_unavailable", detail, 1) from None
        except Exception as error:  # the function is the user's
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "features_rejected", str(error)) from None
        for i, one in asked.items():
            rows[i].update((name, made[one][name]) for name in lacking[i])

    def close(self) -> None:
        """Let the threads end."""
        self._calls.close()

    def _given(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {name: row[name] for name in self._needed if name in row}
