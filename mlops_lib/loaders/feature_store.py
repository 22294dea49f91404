"""Features from a feature store, joined to labelled rows as they were at each row's time."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mlops_lib import features, plugins
from mlops_lib.columns.infer import Declared, infer
from mlops_lib.columns.schema import Schema
from mlops_lib.errors import ConfigError, DataError
from mlops_lib.features import (
    FEATURES_TAG,
    KEYS_TAG,
    ON_DEMAND_TAG,
    SERVICE_TAG,
    FeatureProvider,
    FeatureService,
)
from mlops_lib.loaders import options
from mlops_lib.loaders.base import BaseDataLoader, filled, to_table
from mlops_lib.loaders.options import ReadOptions
from mlops_lib.loaders.reading import SplitFiles
from mlops_lib.loaders.row_checks import named_columns, prepared, require_columns, require_values
from mlops_lib.loaders.splits import Split
from mlops_lib.redact import mask
from mlops_lib.settings import Settings
from mlops_lib.tracking import list_tag

if TYPE_CHECKING:
    import pandas as pd

#: Begin of a ``data.source`` that names a view of the feature store.
VIEW = "view://"
#: Kinds of the JSON text of a value of several parts.
TEXT_KINDS = ("text", "category")


class FeatureStoreDataLoader(BaseDataLoader):
    """Labelled rows (entity key, time, label) with the features of one feature service.

    The labelled rows come from ``data.source`` (files, or ``view://NAME``: the rows of a view), through the
    function ``data.feature_store.labels`` if it is set. They never pass through the store: features are
    joined to them by key and time, so no row is lost, doubled or moved. A value that did not exist at the
    row's time, or was past its TTL, is missing. A label that the rows do not have is a feature of the
    service, such as a column of a label view.

    Args:
        labels: Files of the labelled rows: keys, time column, label,
            and columns that on-demand features need.
        provider: The feature store.
        service: Name of the feature service.
        timestamp: Column of the rows' times.
        features: Columns to learn from, of the service or of the labelled rows; empty: all of the service.
        declared: The declared columns; None: those of `labels`.
        view: The view of the feature store that the labelled rows are, instead of the files of `labels`.
    """

    def __init__(
        self,
        labels: SplitFiles,
        provider: FeatureProvider,
        service: str,
        timestamp: str,
        features: tuple[str, ...] = (),
        declared: Declared | None = None,
        view: str = "",
    ) -> None:
        self.provider, self.timestamp, self.features, self.view = provider, timestamp, features, view
        self._service_name, self._labels = service, labels
        self.declared = declared or Declared(labels.options.labels[0], labels.options.key, features=features)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        store = settings.data.feature_store
        if not store.service:
            raise ConfigError("Set data.feature_store.service to the feature service to learn from.")
        data = settings.data
        labelled = plugins.load("labels", store.labels) if store.labels else None
        read = options.from_settings(settings) | {"prepare": labelled, "features": ()}
        labels = SplitFiles(settings.path(data.source), ReadOptions(**read))
        provider = features.from_settings(settings)
        task = settings.evaluation.task
        time = data.split.column if data.split.by == "time" else ""
        declared = Declared(
            data.labels[0],
            data.key,
            time,
            data.weight,
            data.features,
            data.columns,
            task,
            data.reference_columns,
        )
        view = data.source.removeprefix(VIEW) if data.source.startswith(VIEW) else ""
        return cls(labels, provider, store.service, store.timestamp, data.features, declared, view)

    @cached_property
    def labels(self) -> SplitFiles:
        """The labelled rows, joined with their features and split."""
        import tempfile

        joining = replace(self._labels.options, prepare=self._joined)
        if not self.view:
            return replace(self._labels, options=joining)
        self._folder = tempfile.TemporaryDirectory()  # goes with this loader
        file = Path(self._folder.name) / f"{self.view}.parquet"
        self.provider.view_rows(self.view, self.timestamp).to_parquet(file, index=False)
        return replace(self._labels, path=file, options=joining)

    @cached_property
    def service(self) -> FeatureService:
        """The feature service, as the store describes it."""
        return self.provider.describe(self._service_name)

    @cached_property
    def schema(self) -> Schema:
        return infer(to_table(filled(self._frames)), self.declared)

    @property
    def tags(self) -> Mapping[str, str]:
        used = self.service.only(self.schema.features)
        tags = {
            SERVICE_TAG: self.service.name,
            KEYS_TAG: list_tag(self.service.entity_keys),
            FEATURES_TAG: list_tag(tuple(used.dtypes)),
        }
        if code := [f"{name}={sources.code}" for name, sources in used.on_demand.items()]:
            tags[ON_DEMAND_TAG] = list_tag(code)
        return tags

    @property
    def origin(self) -> dict[str, Any]:
        labels = f"{VIEW}{self.view}" if self.view else mask(str(self._labels.path))
        return {
            "labels": labels,
            "feature_service": self.service.name,
            "features": list(self.service.only(self.schema.features).dtypes),
            "timestamp": self.timestamp,
        }

    @property
    def dropped_rows(self) -> int:
        return self.labels.dropped

    def load(self, split: Split) -> "pd.DataFrame":
        return self._frames[split][self.schema.used]

    def fingerprint(self) -> str:
        """A digest of the joined rows, because a store does not report changed values."""
        import pandas as pd

        digest = hashlib.sha256()
        for split, frame in self._frames.items():
            digest.update(f"{split}\0{list(frame.columns)}\0{len(frame)}\n".encode())
            lists = [name for name in frame if self.service.dtypes.get(str(name), "").startswith("list")]
            hashable = frame.assign(**{str(name): frame[name].map(str) for name in lists})
            digest.update(pd.util.hash_pandas_object(hashable, index=False).to_numpy().tobytes())
        return digest.hexdigest()

    @cached_property
    def _frames(self) -> dict[Split, "pd.DataFrame"]:
        one = self.declared
        own = [name for name in (one.key, one.time, one.weight) if name]
        chosen = list(dict.fromkeys([*own, *self._learned(), *self._dropped(), *one.labels]))
        return {split: frame[chosen] for split, frame in self.labels.frames.items()}

    def _learned(self) -> tuple[str, ...]:
        """Columns to learn from, unless they carry no information.

        Raises:
            DataError: One has values of several parts and no declared kind.
        """
        service, label = self.service, self.declared.labels[0]
        chosen = self.features or tuple(
            n for n in service.dtypes if n not in (label, *self._dropped(), *service.labels)
        )
        kinds = self.declared.kinds
        if parts := [n for n in chosen if n in service.structured and kinds.get(n) not in TEXT_KINDS]:
            named = ", ".join(f"{name!r} ({service.structured[name]})" for name in parts)
            advice = ", ".join(f"{name}: drop" for name in parts)
            raise DataError(
                f"Features of {service.name!r} have values of several parts: {named}. Leave them out with data: "
                f"{{columns: {{{advice}}}}} in config.yaml, or learn from their JSON text with the kind text or category."
            )
        return chosen

    @cached_property
    def _read(self) -> FeatureService:
        """The part of the service that is joined."""
        return self.service.only([*self._learned(), self.declared.labels[0]])

    def _dropped(self) -> list[str]:
        return [
            name
            for name, kind in self.declared.kinds.items()
            if kind == "drop" and name in self.service.dtypes
        ]

    def _joined(self, rows: "pd.DataFrame") -> "pd.DataFrame":
        """The labelled rows with the features of the service."""
        import pandas as pd

        if prepare := self._labels.options.prepare:
            rows = prepared(prepare, rows)
        self._require(rows)
        found = self.provider.historical(self._read, rows, self.timestamp)
        own = [
            name for name in rows if name not in found or name in (self.declared.labels[0], self.declared.key)
        ]
        joined = pd.concat([rows[own], found[[name for name in found if name not in own]]], axis=1)
        return joined.assign(**dict.fromkeys(self._dropped()))  # named in the schema, and not read

    def _require(self, rows: "pd.DataFrame") -> None:
        """Raise DataError unless the rows have every column and value that the join needs."""
        one, service, store = self.declared, self.service, "data.feature_store"
        learned, own_label = self._learned(), one.labels[0]
        stored = own_label in service.dtypes and own_label not in service.labels
        ambiguous = not self.features and stored and own_label in rows
        if clash := [n for n in (own_label, one.key) if n in learned or (n == own_label and ambiguous)]:
            raise DataError(
                f"Column {', '.join(map(repr, clash))} is the label or key, and a feature too. Rename the label "
                "(data.feature_store.labels can), or list the features to learn from in data.features."
            )
        label = "" if own_label in service.dtypes and own_label not in rows else own_label
        keys = dict.fromkeys(service.entity_keys, f"entity key of {service.name!r}; {store}.labels")
        named = {name: why for name, why in named_columns([label], one.key).items() if name}
        wanted = named | keys | {self.timestamp: f"{store}.timestamp"}
        own = dict.fromkeys(
            (name for name in learned if name not in service.dtypes), f"no feature of {service.name!r} either"
        )
        request = {
            name: "request data of "
            + ", ".join(n for n, s in self._read.on_demand.items() if name in s.request)
            for name in self._read.request_dtypes
        }
        where = "The table of labelled rows"
        require_columns(rows.columns, wanted | request | own, where)
        if self._labels.options.missing_label == "drop":
            wanted.pop(own_label, None)
        require_values(rows, wanted, where, one.labels)
