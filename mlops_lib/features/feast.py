"""Feast, with what Feast 0.67 gets wrong put right (docs/decisions/0101-around-feast.md)."""

import contextlib
import importlib.util
import io
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mlops_lib.errors import FeatureStoreError
from mlops_lib.features import FeatureProvider, FeatureService, OnlineRow, Trouble
from mlops_lib.redact import masked
from mlops_lib.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    from feast import FeatureStore

#: Feast's value types -> pandas dtypes; the second where a value is missing.
DTYPES = {
    "INT32": ("int32", "Int32"),
    "INT64": ("int64", "Int64"),
    "FLOAT": ("float32", "float32"),
    "DOUBLE": ("float64", "float64"),
    "BOOL": ("bool", "boolean"),
    "STRING": ("object", "object"),
    "UNIX_TIMESTAMP": ("datetime64[ns, UTC]", "datetime64[ns, UTC]"),
}
#: Rows of one write to the online store, where feature_store.yaml does not say.
WRITE_ROWS = 10_000
#: Keys of one online read; SQLite takes 32,766 values in a statement, if it was not built to take more.
READ_KEYS = 30_000
#: A time that is missing, as Feast's protobuf has it.
NO_TIME = -(2**63)


class FeastProvider(FeatureProvider):
    """A Feast feature repository: a folder with ``feature_store.yaml`` and Python files of definitions."""

    def __init__(self, repo: Path) -> None:
        self.repo = repo
        self._handles: dict[str, Any] = {}
        if not (repo / "feature_store.yaml").is_file():
            raise FeatureStoreError(f"{repo} has no feature_store.yaml. Set data.feature_store.repo.")

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(settings.path(settings.data.feature_store.repo))

    @cached_property
    def store(self) -> "FeatureStore":
        """Feast's own object."""
        from feast import FeatureStore

        with _answers(f"open {self.repo}"):
            return FeatureStore(repo_path=str(self.repo))

    def describe(self, service: str) -> FeatureService:
        with _answers("read its registry"):
            found = {item.name: item for item in self.store.list_feature_services()}
            if service not in found:
                raise FeatureStoreError(
                    f"The feature store at {self.repo} has no feature service {service!r}. It has: "
                    f"{', '.join(found) or 'none'}. Register definitions with: mlops features apply"
                )
            keys: dict[str, str] = {}
            dtypes: dict[str, str] = {}
            ttl_s: dict[str, float | None] = {}
            for projection in found[service].feature_view_projections:
                view = self._view(projection.name, service)
                for column in view.entity_columns:
                    keys[projection.join_key_map.get(column.name, column.name)] = _dtypes(column)[0]
                for feature in projection.features:
                    if feature.name in dtypes:
                        raise FeatureStoreError(
                            f"Feature service {service!r} has two features named {feature.name!r}; rename one."
                        )
                    dtypes[feature.name] = _dtypes(feature)[0]
                    ttl_s[feature.name] = view.ttl.total_seconds() or None if view.ttl else None
        return FeatureService(service, keys, dtypes, ttl_s)

    def historical(self, service: FeatureService, rows: "pd.DataFrame", timestamp: str) -> "pd.DataFrame":
        import pandas as pd

        keys = list(service.entity_keys)
        if missing := [column for column in (*keys, timestamp) if column not in rows.columns]:
            raise FeatureStoreError(
                f"The rows to join have no column {', '.join(missing)}; they have: {', '.join(rows.columns)}."
            )
        asked = rows[[*keys, timestamp]].reset_index(drop=True)
        asked[timestamp] = pd.to_datetime(asked[timestamp], utc=True)
        # Feast merges rows with the same key and time, so it gets each pair once, and rows find theirs again.
        pairs = asked.drop_duplicates(ignore_index=True)
        joined = asked
        for projection in self.store.get_feature_service(service.name).feature_view_projections:
            # One view at a time: a row past the TTL of one view would be dropped from all of them.
            found = self._join(projection, pairs, timestamp)
            shared = [column for column in found.columns if column in asked.columns]
            joined = joined.merge(found, on=shared, how="left", validate="many_to_one")
        if len(joined) != len(rows):
            raise FeatureStoreError(f"The join made {len(joined)} rows of {len(rows)}; report this, please.")
        features = joined[list(service.dtypes)]
        return self._typed(service, features).set_axis(rows.index)

    def online(self, service: FeatureService, keys: Sequence[Mapping[str, Any]]) -> list[OnlineRow]:
        found: list[OnlineRow] = []
        for start in range(0, len(keys), READ_KEYS):
            some = keys[start : start + READ_KEYS]
            with _answers("read online features"):
                answer = self.store.get_online_features(
                    self._handle(service.name), _columns(service, some)
                ).proto
            found += _rows(service, list(answer.metadata.feature_names.val), answer.results, len(some))
        return found

    def reconnect(self) -> None:
        # A store opened anew has connections of its own; lookups that hang keep theirs.
        vars(self).pop("store", None)
        self._handles.clear()

    def apply(self) -> list[str]:
        import feast

        kinds = (feast.Entity, feast.FeatureView, feast.OnDemandFeatureView, feast.FeatureService)
        objects: list[Any] = [o for o in _definitions(self.repo) if isinstance(o, (*kinds, feast.FileSource))]
        names = {o.name for o in objects}
        with _answers("register the definitions"), contextlib.redirect_stdout(sys.stderr):
            gone: list[Any] = [s for s in self.store.list_feature_services() if s.name not in names]
            gone += [v for v in self.store.list_feature_views() if v.name not in names]
            self.store.apply(objects, objects_to_delete=gone, partial=False)
            self.store.refresh_registry()
        self._handles.clear()
        return sorted(f"{type(o).__name__} {o.name}" for o in objects if isinstance(o, kinds))

    def materialize(self, since: datetime, until: datetime) -> None:
        if not self.store.list_feature_views():
            raise FeatureStoreError(
                f"Nothing is registered in {self.repo}. Register definitions with: mlops features apply"
            )
        # What Feast prints would run into the line that counts, and tells no more than it.
        quiet = contextlib.redirect_stdout(io.StringIO())
        with _answers("materialise"), quiet, _rows_shown(self.store):
            self.store.materialize(since, until)

    def _handle(self, service: str) -> Any:
        """Feast's object, kept like what `describe` told of it: decoding it takes as long as reading ten entities."""
        if (found := self._handles.get(service)) is None:
            registry = self.store.registry
            found = registry.get_feature_service(service, self.store.project, allow_cache=True)
            self._handles[service] = found
        return found

    def _view(self, name: str, service: str) -> Any:
        from feast.errors import FeatureViewNotFoundException

        try:
            return self.store.get_feature_view(name)
        except FeatureViewNotFoundException:
            raise FeatureStoreError(
                f"Feature service {service!r} reads {name!r}, which is no stored feature view. On-demand views "
                "are not joined here: compute such a feature in the feature job or inside the model."
            ) from None

    def _join(self, projection: Any, pairs: "pd.DataFrame", timestamp: str) -> "pd.DataFrame":
        """The features of one view for each (key, time) that has them."""
        name = projection.name_alias or projection.name
        view = self.store.get_feature_view(projection.name)
        keys = [projection.join_key_map.get(key, key) for key in view.join_keys]
        wanted = pairs[[*keys, timestamp]].drop_duplicates(ignore_index=True)
        with _answers(f"join feature view {name!r}"):
            found = self.store.get_historical_features(
                entity_df=wanted.rename(columns={timestamp: "event_timestamp"}),
                features=[f"{name}:{feature.name}" for feature in projection.features],
            ).to_df()
        found = found.rename(columns={"event_timestamp": timestamp})
        found[timestamp] = found[timestamp].astype(pairs[timestamp].dtype)
        for key in keys:
            found[key] = found[key].astype(pairs[key].dtype)
        return found[[*keys, timestamp, *(feature.name for feature in projection.features)]]

    def _typed(self, service: FeatureService, features: "pd.DataFrame") -> "pd.DataFrame":
        """Values as their views declare them; a join would leave integers with gaps as floats."""
        nullable = dict(DTYPES.values())
        typed = {}
        for name, dtype in service.dtypes.items():
            column = features[name]
            if dtype.startswith("datetime"):
                column = column.dt.floor("s")  # an online store keeps whole seconds
            typed[name] = column.astype(nullable[dtype] if column.isna().any() else dtype)
        return type(features)(typed, index=features.index)


def _dtypes(feature: Any) -> tuple[str, str]:
    kind = feature.dtype.to_value_type().name
    if kind not in DTYPES:
        raise FeatureStoreError(f"Feature {feature.name!r} is {kind}; types read here: {', '.join(DTYPES)}.")
    return DTYPES[kind]


def _columns(service: FeatureService, keys: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    try:
        return {name: [key[name] for key in keys] for name in service.entity_keys}
    except KeyError as error:
        raise FeatureStoreError(
            f"{service.name!r} is looked up by {', '.join(service.entity_keys)}; {error} is missing."
        ) from None


def _rows(service: FeatureService, names: list[str], results: Any, count: int) -> list[OnlineRow]:
    """Feast's answer, a column a feature, as rows; it does not look at the TTL, so that is done here."""
    from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

    now = datetime.now(UTC).timestamp()
    values: list[dict[str, Any]] = [{} for _ in range(count)]
    troubles: list[dict[str, Trouble]] = [{} for _ in range(count)]
    expires_at: list[float | None] = [None] * count
    for name, column in zip(names, results, strict=True):
        if name not in service.dtypes:
            continue
        ttl_s = service.ttl_s[name]
        is_time = service.dtypes[name].startswith("datetime")
        for i, value in enumerate(column.values):
            kind = value.WhichOneof("val")
            found = getattr(value, kind) if kind else None
            values[i][name] = _time(found) if is_time else found
            known_at = column.event_timestamps[i].seconds
            # Redis answers an entity that it does not know with nulls from 1970, not with NOT_FOUND.
            if column.statuses[i] == FieldStatus.NOT_FOUND or (kind is None and known_at <= 0):
                troubles[i][name] = "unknown_entity"
            elif ttl_s is not None and known_at < now - ttl_s:
                troubles[i][name] = "stale"
            elif ttl_s is not None:
                expires_at[i] = min(known_at + ttl_s, expires_at[i] or math.inf)
    return [OnlineRow(*row) for row in zip(values, troubles, expires_at, strict=True)]


def _time(seconds: int | None) -> datetime | None:
    return None if seconds in (None, NO_TIME) else datetime.fromtimestamp(seconds, UTC)


def _definitions(repo: Path) -> Iterator[Any]:
    """Every object that the Python files of a repository define, once."""
    seen: set[int] = set()
    for number, file in enumerate(sorted(repo.glob("*.py"))):
        spec = importlib.util.spec_from_file_location(f"_feature_repo_{abs(hash(repo))}_{number}", file)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for value in vars(module).values():
            if id(value) not in seen:
                seen.add(id(value))
                yield value


@contextlib.contextmanager
def _rows_shown(store: "FeatureStore") -> Iterator[None]:
    """A line on stderr that counts the rows written to the online store; Feast 0.67 has a bar that it never moves."""
    from tqdm.auto import tqdm

    writing = store.config.materialization_config
    # Otherwise all rows of a view are one write, in memory at once.
    writing.online_write_batch_size = writing.online_write_batch_size or WRITE_ROWS
    online = store.provider.online_store
    write = online.online_write_batch
    with tqdm(desc="online store", unit=" rows", mininterval=1.0, file=sys.stderr) as line:

        def counted(config: Any, table: Any, data: Any, progress: Any) -> None:
            line.set_description_str(table.name, refresh=False)
            write(config, table, data, progress)
            line.update(len(data))

        vars(online)["online_write_batch"] = counted
        try:
            yield
        finally:
            del vars(online)["online_write_batch"]


@contextlib.contextmanager
def _answers(doing: str) -> Iterator[None]:
    try:
        yield
    except FeatureStoreError:
        raise
    except Exception as error:  # Feast lets through what each store's driver raises
        # Without its cause, which a notebook would show as it is.
        raise FeatureStoreError(f"The feature store could not {doing}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """What an error says, but for the settings of the store that pydantic repeats, passwords and all."""
    from pydantic import ValidationError

    settings = getattr(error, "_error_message", error)  # how Feast keeps pydantic's error in its own
    if isinstance(settings, ValidationError):
        problems = settings.errors(include_input=False, include_url=False, include_context=False)
        said = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in problems)
        return f"feature_store.yaml is wrong. {said}"
    return masked(f"{type(error).__name__}: {error}")
