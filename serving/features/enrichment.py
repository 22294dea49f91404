"""Rows that carry only their entity key get their features from the online store, before `predict`."""

import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from typing import Any, NamedTuple, Self

import prometheus_client as prometheus

from mlops_lib import features
from mlops_lib.errors import ConfigError, ModelError
from mlops_lib.features import FEATURES_TAG, KEYS_TAG, SERVICE_TAG, FeatureProvider, FeatureService, OnlineRow
from mlops_lib.registry import ModelVersion
from mlops_lib.settings import EnrichmentSettings, Settings
from mlops_lib.tracking import read_list_tag
from serving.features.lookups import Lookups, LookupTimeout
from serving.web.problems import Problem

log = logging.getLogger("serving")
HEADER = "X-Features-Status"
Key = tuple[Any, ...]
#: Seconds that loading a version waits for its first lookup.
REHEARSAL_S = 5.0

FEATURES = prometheus.Counter("mlops_features_total", "Feature values by where they came from.", ["status"])
LOOKUPS = prometheus.Histogram("mlops_feature_lookup_seconds", "Lookups in the online feature store.")
_counter = cache(FEATURES.labels)


class Troubled(NamedTuple):
    """A feature of a row that the store could not give as it should."""

    row: int
    feature: str
    status: str
    why: str


@dataclass(frozen=True)
class Statuses:
    """Where the features of a request came from.

    Attributes:
        counts: Status -> values: ``request``, ``online``, ``cache``, ``default:<why>``, ``last_known:<why>``,
            ``reject:<why>``.
        troubled: The values that a policy had to find.
    """

    counts: Mapping[str, int]
    troubled: tuple[Troubled, ...] = ()

    @property
    def header(self) -> str:
        """Value of X-Features-Status: ``default:stale=1, online=6``."""
        return ", ".join(f"{status}={count}" for status, count in sorted(self.counts.items()))

    @property
    def field(self) -> dict[str, Any]:
        """The `features` field of an answer."""
        return {"counts": dict(self.counts), "troubled": [t._asdict() for t in self.troubled]}


class EnrichedRows(NamedTuple):
    """Rows with all the model's columns, and where their features came from."""

    rows: list[dict[str, Any]]
    statuses: Statuses


class Enricher:
    """Fills in the features that rows lack. One lookup for a batch, shared with requests that wait meanwhile.

    Args:
        provider: The feature store.
        service: What the model was trained with.
        columns: The model's columns, in order.
        settings: Time budget, policies, cache.

    Raises:
        ConfigError: A policy names no feature of the model, or needs a default that is not there.
    """

    def __init__(
        self,
        provider: FeatureProvider,
        service: FeatureService,
        columns: Sequence[str],
        settings: EnrichmentSettings,
    ) -> None:
        self.provider, self.service, self.columns, self.settings = provider, service, tuple(columns), settings
        self.features = tuple(name for name in columns if name in service.dtypes)
        self._policies = {name: settings.policies.get(name, settings.on_trouble) for name in self.features}
        self._check_policies()
        self._defaults = {name: self._default(name, value) for name, value in settings.defaults.items()}
        self._wanted = frozenset(self.features)
        self._lookups: Lookups[Key, OnlineRow] = Lookups(self._read, settings.timeout_s, provider.reconnect)
        #: Entity -> when it was last read and the last values it had, the one read longest ago first.
        self._known: OrderedDict[Key, tuple[float, OnlineRow]] = OrderedDict()
        self._remembers = settings.cache_ttl_s > 0 or "last_known" in self._policies.values()
        self._down = False

    @classmethod
    def for_version(cls, version: ModelVersion, columns: Sequence[str], settings: Settings) -> Self | None:
        """The enricher of a model version, rehearsed, or None for one that was trained without a feature store.

        Raises:
            MlopsError: The store is not configured, or no longer has what the version was trained with.
        """
        if not (name := version.tags.get(SERVICE_TAG)):
            return None
        provider = features.from_settings(settings)
        service = provider.describe(name)
        trained = read_list_tag(version.tags.get(KEYS_TAG, ""))
        if set(trained) != set(service.entity_keys):
            raise ModelError(
                f"{version.name} version {version.version} was trained with entity keys {', '.join(trained)}; feature "
                f"service {name!r} now has {', '.join(service.entity_keys)}. Train again, or restore the service."
            )
        looked_up = read_list_tag(version.tags.get(FEATURES_TAG, ""))
        if gone := [column for column in columns if column in looked_up and column not in service.dtypes]:
            raise ModelError(
                f"{version.name} version {version.version} was trained with {', '.join(gone)} of feature service "
                f"{name!r}, which it no longer has. Train again, or restore the service."
            )
        made = cls(provider, service, columns, settings.serving.features)
        made._rehearse()
        return made

    def close(self) -> None:
        """Let go of the threads."""
        self._lookups.close()

    async def enrich(self, rows: Sequence[Mapping[str, Any]]) -> EnrichedRows:
        """Rows with every column of the model; what a row has already is left as it is.

        Raises:
            Problem: 422 for a row without its entity key, an entity that is unknown or a stale value; 503 when
                the store is down or too slow. Only where the policy is to reject.
        """
        keys = [self._key(number, row) for number, row in enumerate(rows)]
        found, cached, why = await self._find([key for key in keys if key is not None])
        counts: Counter[str] = Counter()
        troubled: list[Troubled] = []
        enriched = []
        for number, (row, key) in enumerate(zip(rows, keys, strict=True)):
            online = found.get(key) if key is not None else None
            source = "cache" if key in cached else "online"
            if online and not online.trouble and self._wanted.isdisjoint(row):
                counts[source] += len(self.features)
                full = {**row, **online.values}
                enriched.append({name: full[name] for name in self.columns if name in full})
                continue
            full = dict(row)
            for name in self.features:
                if name in row:
                    counts["request"] += 1
                    continue
                assert key is not None
                reason = online.trouble.get(name) if online else why
                if online and not reason:
                    full[name] = online.values[name]
                    counts[source] += 1
                    continue
                full[name], status = self._by_policy(name, key, online)
                troubled.append(Troubled(number, name, status, str(reason)))
                counts[f"{status}:{reason}"] += 1
            enriched.append({name: full[name] for name in self.columns if name in full})
        for status, count in counts.items():
            _counter(status).inc(count)
        statuses = Statuses(counts, tuple(troubled))
        if rejected := [t for t in troubled if t.status == "reject"]:
            raise self._problem(rejected, keys, statuses)
        return EnrichedRows(enriched, statuses)

    def _rehearse(self) -> None:
        """Read once while nobody waits: the first read imports and connects, for longer than a request may wait."""

        def read() -> None:
            try:
                key = {name: _any_value(dtype) for name, dtype in self.service.key_dtypes.items()}
                self.provider.online(self.service, [key])
            except Exception as error:  # a store's driver may raise anything; requests follow their policy
                log.warning("the first feature lookup failed: %s", error)

        # A daemon, since a store that hangs must hold up neither the load nor the end of the process.
        thread = threading.Thread(target=read, daemon=True, name="first-lookup")
        thread.start()
        thread.join(REHEARSAL_S)
        if thread.is_alive():
            log.warning("the first feature lookup has not been answered in %g s", REHEARSAL_S)

    def _key(self, number: int, row: Mapping[str, Any]) -> Key | None:
        """The entity of a row that lacks a feature; None for a row that lacks none."""
        if row.keys() >= self._wanted:
            return None
        if absent := [name for name in self.service.entity_keys if row.get(name) is None]:
            missing = [name for name in self.features if name not in row]
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "invalid_input",
                f"Row {number} has no {', '.join(map(repr, missing))}, nor {', '.join(map(repr, absent))} to look "
                f"{'it' if len(missing) == 1 else 'them'} up by.",
            )
        return tuple(row[name] for name in self.service.entity_keys)

    async def _find(self, keys: Sequence[Key]) -> tuple[dict[Key, OnlineRow], Collection[Key], str]:
        """What is known of each entity, which of them from the cache, and why the others have nothing."""
        found: dict[Key, OnlineRow] = {}
        if self.settings.cache_ttl_s:
            found = {key: known for key in keys if (known := self._cached(key))}
        cached = frozenset(found)
        if not (wanted := [key for key in keys if key not in found]):
            return found, cached, ""
        try:
            answer = await self._lookups.get(wanted)
        except LookupTimeout:
            return found, cached, "timeout"
        except Exception as error:  # a store's driver may raise anything
            if not self._down:
                log.error("feature lookup failed: %s", error)
            self._down = True
            return found, cached, "store_down"
        self._down = False
        for key in wanted:
            found[key] = answer[key]
            self._remember(key, answer[key])
        return found, cached, ""

    def _read(self, keys: Sequence[Key]) -> list[OnlineRow]:
        with LOOKUPS.time():
            names = self.service.entity_keys
            return self.provider.online(self.service, [dict(zip(names, key, strict=True)) for key in keys])

    def _cached(self, key: Key) -> OnlineRow | None:
        """What is known of an entity, if it was read not long ago, without trouble, and is not past its TTL since."""
        if (known := self._known.get(key)) is None:
            return None
        read_at, online = known
        fresh = read_at > time.monotonic() - self.settings.cache_ttl_s and not online.trouble
        return online if fresh and (online.expires_at is None or online.expires_at > time.time()) else None

    def _remember(self, key: Key, online: OnlineRow) -> None:
        if not self._remembers:
            return
        values = {n: v for n, v in online.values.items() if online.trouble.get(n) != "unknown_entity"}
        if key in self._known:
            values = {**self._known.pop(key)[1].values, **values}
        if values:
            self._known[key] = (time.monotonic(), replace(online, values=values))
            if len(self._known) > self.settings.cache_rows:
                self._known.popitem(last=False)

    def _by_policy(self, name: str, key: Key, online: OnlineRow | None) -> tuple[Any, str]:
        policy = self._policies[name]
        if policy == "default":
            return self._defaults[name], "default"
        if policy == "last_known":
            # A stale value is itself the last one known; else what this process saw.
            if online and online.trouble[name] == "stale":
                return online.values[name], "last_known"
            if (known := self._known.get(key)) and name in known[1].values:
                return known[1].values[name], "last_known"
        return None, "reject"

    def _problem(
        self, rejected: Sequence[Troubled], keys: Sequence[Key | None], statuses: Statuses
    ) -> Problem:
        named = "; ".join(
            f"row {number} ({', '.join(f'{n}={v!r}' for n, v in zip(self.service.entity_keys, keys[number] or (), strict=False))}): "
            + ", ".join(f"{t.feature} ({t.why})" for t in rejected if t.row == number)
            for number in list(dict.fromkeys(t.row for t in rejected))[:10]
        )
        away = {"timeout", "store_down"} & {t.why for t in rejected}
        if away:
            detail = (
                f"The feature store did not answer within {self.settings.timeout_s} s, or not at all: {named}"
            )
            return Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "features_unavailable",
                detail,
                headers={HEADER: statuses.header},
            )
        detail = f"No usable features for {named}"
        return Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, "features_rejected", detail, headers={HEADER: statuses.header}
        )

    def _default(self, name: str, value: Any) -> Any:
        """A time in config.yaml is text; the store gives times in UTC."""
        if not self.service.dtypes[name].startswith("datetime") or value is None:
            return value
        try:
            time_ = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            raise ConfigError(
                f"serving.features.defaults has {value!r} for {name!r}, which is a time. Write it as text: "
                "'2026-01-31T00:00:00Z'."
            ) from None
        return time_ if time_.tzinfo else time_.replace(tzinfo=UTC)

    def _check_policies(self) -> None:
        chosen = self.settings
        for name in (*chosen.policies, *chosen.defaults):
            if name not in self.features:
                raise ConfigError(
                    f"serving.features names {name!r}, which the model does not look up. It looks up: "
                    f"{', '.join(self.features) or 'nothing'}."
                )
        if lacking := [n for n, p in self._policies.items() if p == "default" and n not in chosen.defaults]:
            raise ConfigError(
                f"The policy of {', '.join(lacking)} is 'default', but serving.features.defaults has no value for "
                f"{'it' if len(lacking) == 1 else 'them'}."
            )


def _any_value(dtype: str) -> Any:
    """A value of an entity key's pandas dtype, whether or not there is such an entity."""
    if dtype.startswith("datetime"):
        return datetime(1970, 1, 1, tzinfo=UTC)
    kinds = {"int": 0, "float": 0.0, "bool": False}
    return next((value for kind, value in kinds.items() if kind in dtype.lower()), "")
