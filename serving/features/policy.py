"""Policies: what a feature is when the store has no usable value for it,
and the answer when that is nothing."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from mlops_lib.errors import ConfigError
from mlops_lib.features import FeatureService, OnlineRow
from mlops_lib.settings import EnrichmentSettings
from serving.features.known_rows import Key
from serving.features.statuses import HEADER, Statuses, Troubled
from serving.web.problems import Problem


class Policies:
    """The policy of each feature: its default, its last known value, or to reject the request.

    Args:
        service: The feature service that the model was trained with.
        features: The columns that the service looks up for the model.

    Raises:
        ConfigError: A policy names no feature of the model, or needs a default that is not there.
    """

    def __init__(
        self, service: FeatureService, features: Sequence[str], settings: EnrichmentSettings
    ) -> None:
        self._by_feature = {name: settings.policies.get(name, settings.on_trouble) for name in features}
        self._check(features, settings)
        self._defaults = {
            name: _default(name, value, service.stored_dtypes[name])
            for name, value in settings.defaults.items()
        }
        self._entity_keys, self._timeout_s = service.entity_keys, settings.timeout_s

    @property
    def use_last_known(self) -> bool:
        """Whether any policy needs the values that were read before."""
        return "last_known" in self._by_feature.values()

    def value(self, name: str, online: OnlineRow | None, last_known: Mapping[str, Any]) -> tuple[Any, str]:
        """The value of a feature by its policy, and its status; None and ``reject`` where there is none.

        Args:
            online: What the store answered, if it did.
            last_known: Values that this process read of the entity before.
        """
        policy = self._by_feature[name]
        if policy == "default":
            return self._defaults[name], "default"
        if policy == "last_known":
            if online and online.trouble[name] == "stale":  # a stale value is itself the last known one
                return online.values[name], "last_known"
            if name in last_known:
                return last_known[name], "last_known"
        return None, "reject"

    def rejection(
        self, rejected: Sequence[Troubled], keys: Sequence[Key | None], statuses: Statuses
    ) -> Problem:
        """The answer to a request with rejected features: 503 when the store did not answer, else 422.

        Args:
            keys: The entity of each row of the request.
        """
        rows = list(dict.fromkeys(t.row for t in rejected))[:10]
        named = "; ".join(
            f"row {row} ({self._entity(keys[row])}): "
            + ", ".join(f"{t.feature} ({t.why})" for t in rejected if t.row == row)
            for row in rows
        )
        headers = {HEADER: statuses.header}
        if {"timeout", "store_down"} & {t.why for t in rejected}:
            detail = f"The feature store did not answer within {self._timeout_s} s, or not at all: {named}"
            return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "features_unavailable", detail, 1, headers)
        detail = f"No usable features for {named}"
        return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "features_rejected", detail, headers=headers)

    def _entity(self, key: Key | None) -> str:
        return ", ".join(
            f"{name}={value!r}" for name, value in zip(self._entity_keys, key or (), strict=False)
        )

    def _check(self, features: Sequence[str], settings: EnrichmentSettings) -> None:
        for name in (*settings.policies, *settings.defaults):
            if name not in features:
                raise ConfigError(
                    f"serving.features names {name!r}, which the model does not look up. It looks up: "
                    f"{', '.join(features) or 'nothing'}."
                )
        lacking = [n for n, p in self._by_feature.items() if p == "default" and n not in settings.defaults]
        if lacking:
            raise ConfigError(
                f"The policy of {', '.join(lacking)} is 'default', but serving.features.defaults has no value for "
                f"{'it' if len(lacking) == 1 else 'them'}."
            )


def _default(name: str, value: Any, dtype: str) -> Any:
    """A default as the store would give it: a time in config.yaml is text, the store's times are in UTC."""
    if not dtype.startswith("datetime") or value is None:
        return value
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ConfigError(
            f"serving.features.defaults has {value!r} for {name!r}, which is a time. Write it as text: "
            "'2026-01-31T00:00:00Z'."
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
