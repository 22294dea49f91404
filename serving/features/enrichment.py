"""Rows that have only their entity key get their features from the online store, before `predict`."""

import logging
import threading
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from typing import Any, Self

import prometheus_client as prometheus

from mlops_lib import features
from mlops_lib.features import SERVICE_TAG, FeatureProvider, FeatureService, OnlineRow
from mlops_lib.registry import ModelVersion
from mlops_lib.settings import EnrichmentSettings, Settings
from serving.features.known_rows import Key, KnownRows
from serving.features.lookups import Lookups, LookupTimeout
from serving.features.on_demand import OnDemand
from serving.features.policy import Policies
from serving.features.statuses import EnrichedRows, Statuses, Troubled
from serving.features.version_check import require_unchanged
from serving.web.problems import Problem

log = logging.getLogger("serving")
#: Longest wait for the first lookup, while a version is loaded.
FIRST_LOOKUP_S = 5.0

FEATURES = prometheus.Counter("mlops_features_total", "Feature values by where they came from.", ["status"])
LOOKUPS = prometheus.Histogram("mlops_feature_lookup_seconds", "Lookups in the online feature store.")
_counter = cache(FEATURES.labels)


class Enricher:
    """Fills in the features that rows lack. One lookup serves all rows of a request,
    and requests that wait meanwhile.

    Args:
        provider: The feature store.
        service: The feature service that the model was trained with.
        columns: The model's columns, in order.
        settings: Time limit, policies, cache.

    Attributes:
        features: Columns of the model that a row may leave out: looked up or computed on demand.

    Raises:
        ConfigError: See `Policies`.
    """

    def __init__(
        self,
        provider: FeatureProvider,
        service: FeatureService,
        columns: Sequence[str],
        settings: EnrichmentSettings,
    ) -> None:
        self.provider, self.columns, self.settings = provider, tuple(columns), settings
        self.service = service.only(columns)
        self.features = tuple(self.service.dtypes)
        self._on_demand = OnDemand(provider, self.service, settings.timeout_s)
        self._stored = tuple(name for name in self.features if name not in self.service.on_demand)
        #: Columns of the store: features of the model, and inputs of its on-demand features.
        self._looked_up = tuple(self.service.stored_dtypes)
        self._policies = Policies(self.service, self._looked_up, settings)
        self._wanted = frozenset([*self._looked_up, *self.features])
        self._lookups: Lookups[Key, OnlineRow] = Lookups(self._read, settings.timeout_s, provider.reconnect)
        self._known = KnownRows(settings.cache_ttl_s, settings.cache_rows)
        self._keeps_rows = settings.cache_ttl_s > 0 or self._policies.use_last_known
        self._down = False

    @classmethod
    def for_version(cls, version: ModelVersion, columns: Sequence[str], settings: Settings) -> Self | None:
        """The enricher of a model version, after a first lookup;
        None for a version trained without a feature store.

        Raises:
            MlopsError: The store is not configured, or no longer has what the version was trained with.
        """
        if not (name := version.tags.get(SERVICE_TAG)):
            return None
        provider = features.from_settings(settings)
        service = provider.describe(name)
        require_unchanged(version, service, columns)
        made = cls(provider, service, columns, settings.serving.features)
        made._look_up_once()
        return made

    def close(self) -> None:
        """Let the threads end."""
        self._lookups.close()
        self._on_demand.close()

    async def enrich(self, rows: Sequence[Mapping[str, Any]]) -> EnrichedRows:
        """Rows with every column of the model. A value that a row has already stays.

        Raises:
            Problem: 422 for a row without its entity key or a column of its own that a feature is computed
                from, for an unknown entity and for a stale value; 503 when the store is down or too slow.
                Trouble with the store only where the policy is to reject.
        """
        lacking = [self._on_demand.lacking(row) for row in rows]
        wanted = [self._lookups_of(number, row, lacking[number]) for number, row in enumerate(rows)]
        keys = [self._key(number, row, wanted[number]) for number, row in enumerate(rows)]
        found, cached, why = await self._find([key for key in keys if key is not None])
        counts: Counter[str] = Counter()
        troubled: list[Troubled] = []
        enriched: list[dict[str, Any]] = []
        for number, (row, key) in enumerate(zip(rows, keys, strict=True)):
            online = found.get(key) if key is not None else None
            source = "cache" if key in cached else "online"
            if online and not online.trouble and self._wanted.isdisjoint(row):
                counts[source] += len(self._looked_up)
                enriched.append({**row, **online.values})
                continue
            full = dict(row)
            counts["request"] += sum(name in row for name in self.features)
            for name in wanted[number]:
                assert key is not None
                reason = online.trouble.get(name) if online else why
                if online and not reason:
                    full[name] = online.values[name]
                    counts[source] += 1
                    continue
                full[name], status = self._policies.value(name, online, self._known.values(key))
                troubled.append(Troubled(number, name, status, str(reason)))
                counts[f"{status}:{reason}"] += 1
            enriched.append(full)
        rejected = [t for t in troubled if t.status == "reject"]
        counts["computed"] += 0 if rejected else sum(map(len, lacking))
        counts = +counts  # without statuses of no value
        for status, count in counts.items():
            _counter(status).inc(count)
        statuses = Statuses(counts, tuple(troubled))
        if rejected:
            raise self._policies.rejection(rejected, keys, statuses)
        await self._on_demand.fill(enriched, lacking)
        return EnrichedRows([{n: row[n] for n in self.columns if n in row} for row in enriched], statuses)

    def _look_up_once(self) -> None:
        """Read once before any request: the first read imports and connects,
        and takes longer than a request may wait."""

        def read() -> None:
            try:
                key = {name: _any_value(dtype) for name, dtype in self.service.key_dtypes.items()}
                self.provider.online(self.service, [key])
            except Exception as error:  # a store's driver may raise anything; requests follow their policy
                log.warning("the first feature lookup failed: %s", error)

        # A daemon thread: a store that hangs must hold up neither the load nor the end of the process.
        thread = threading.Thread(target=read, daemon=True, name="first-lookup")
        thread.start()
        thread.join(FIRST_LOOKUP_S)
        if thread.is_alive():
            log.warning("the first feature lookup has not been answered in %g s", FIRST_LOOKUP_S)

    def _lookups_of(self, number: int, row: Mapping[str, Any], lacking: Sequence[str]) -> Sequence[str]:
        """The columns of the store that a row needs; `lacking` are the on-demand features to compute."""
        if not lacking:
            return [name for name in self._stored if name not in row]
        self._on_demand.require_columns(number, row, lacking)
        return [
            n for n in dict.fromkeys([*self._stored, *self._on_demand.inputs_of(lacking)]) if n not in row
        ]

    def _key(self, number: int, row: Mapping[str, Any], wanted: Sequence[str]) -> Key | None:
        """The entity of a row that needs columns of the store; None for a row that needs none."""
        if not wanted:
            return None
        if absent := [name for name in self.service.entity_keys if row.get(name) is None]:
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "invalid_input",
                f"Row {number} has no {', '.join(map(repr, wanted))}, nor {', '.join(map(repr, absent))} to look "
                f"{'it' if len(wanted) == 1 else 'them'} up by.",
            )
        return tuple(row[name] for name in self.service.entity_keys)

    async def _find(self, keys: Sequence[Key]) -> tuple[dict[Key, OnlineRow], Collection[Key], str]:
        """The row of each entity, the entities whose row is from the cache,
        and why the others have no row."""
        found: dict[Key, OnlineRow] = {}
        if self.settings.cache_ttl_s:
            found = {key: known for key in keys if (known := self._known.fresh(key))}
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
            if self._keeps_rows:
                self._known.add(key, answer[key])
        return found, cached, ""

    def _read(self, keys: Sequence[Key]) -> list[OnlineRow]:
        with LOOKUPS.time():
            names = self.service.entity_keys
            return self.provider.online(self.service, [dict(zip(names, key, strict=True)) for key in keys])


def _any_value(dtype: str) -> Any:
    """A value of an entity key's pandas dtype; there may be no such entity."""
    if dtype.startswith("datetime"):
        return datetime(1970, 1, 1, tzinfo=UTC)
    kinds = {"int": 0, "float": 0.0, "bool": False}
    return next((value for kind, value in kinds.items() if kind in dtype.lower()), "")
