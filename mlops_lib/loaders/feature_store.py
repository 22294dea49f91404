"""Features from a feature store, joined to labelled rows as they were at each row's time."""

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Self

from mlops_lib import features, plugins
from mlops_lib.columns.infer import Declared, infer
from mlops_lib.columns.schema import Schema
from mlops_lib.errors import ConfigError, DataError
from mlops_lib.features import FEATURES_TAG, KEYS_TAG, SERVICE_TAG, FeatureProvider, FeatureService
from mlops_lib.loaders.base import BaseDataLoader, to_table
from mlops_lib.loaders.reading import SplitFiles
from mlops_lib.loaders.row_checks import named_columns, require_columns, require_values
from mlops_lib.loaders.splits import Split
from mlops_lib.settings import Settings
from mlops_lib.tracking import list_tag

if TYPE_CHECKING:
    import pandas as pd


class FeatureStoreDataLoader(BaseDataLoader):
    """Labelled rows (entity key, time, label) with the features of one feature service.

    The labelled rows come from ``data.source``, through the function ``data.feature_store.labels`` if it is set. They
    never pass through the store: features are joined to them by key and time, so no row is lost, doubled or moved.
    A value that did not exist at the row's time, or was past its TTL, is missing.

    Args:
        labels: Files of the labelled rows: keys, time column and label.
        provider: The feature store.
        service: Name of the feature service.
        timestamp: Column of the rows' times.
        features: Columns to learn from, of the service or of the labelled rows; empty: all of the service.
        declared: What is known about the columns.
    """

    def __init__(
        self,
        labels: SplitFiles,
        provider: FeatureProvider,
        service: str,
        timestamp: str,
        features: tuple[str, ...] = (),
        declared: Declared | None = None,
    ) -> None:
        self.labels, self.provider, self.timestamp, self.features = labels, provider, timestamp, features
        self._service_name = service
        self.declared = declared or Declared(labels.label, labels.key, features=features)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        store = settings.data.feature_store
        if not store.service:
            raise ConfigError("Set data.feature_store.service to the feature service to learn from.")
        data = settings.data
        labels = SplitFiles(
            settings.path(data.source),
            label=data.label,
            key=data.key,
            prepare=plugins.load("labels", store.labels) if store.labels else None,
            validation_fraction=data.validation_fraction,
            test_fraction=data.test_fraction,
            seed=data.seed,
        )
        provider = features.from_settings(settings)
        task = settings.evaluation.task
        declared = Declared(data.label, data.key, features=data.features, kinds=data.columns, task=task)
        return cls(labels, provider, store.service, store.timestamp, data.features, declared)

    @cached_property
    def service(self) -> FeatureService:
        """The feature service, as the store describes it."""
        return self.provider.describe(self._service_name)

    @cached_property
    def schema(self) -> Schema:
        return infer(to_table(self._frames["train"]), self.declared)

    @property
    def tags(self) -> dict[str, str]:
        looked_up = [name for name in self.features or self.service.dtypes if name in self.service.dtypes]
        return {
            SERVICE_TAG: self.service.name,
            KEYS_TAG: list_tag(self.service.entity_keys),
            FEATURES_TAG: list_tag(looked_up),
        }

    def load(self, split: Split) -> "pd.DataFrame":
        return self._frames[split][self.schema.used]

    def fingerprint(self) -> str:
        """A digest of the joined rows, because a store does not report changed values."""
        import pandas as pd

        digest = hashlib.sha256()
        for split, frame in self._frames.items():
            digest.update(f"{split}\0{list(frame.columns)}\0{len(frame)}\n".encode())
            digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
        return digest.hexdigest()

    @cached_property
    def _frames(self) -> dict[Split, "pd.DataFrame"]:
        return {split: self._joined(rows) for split, rows in self.labels.frames.items()}

    def _joined(self, rows: "pd.DataFrame") -> "pd.DataFrame":
        import pandas as pd

        labels, store = self.labels, "data.feature_store"
        keys = dict.fromkeys(self.service.entity_keys, f"entity key of {self.service.name!r}; {store}.labels")
        wanted = named_columns(labels.label, labels.key) | keys | {self.timestamp: f"{store}.timestamp"}
        chosen = self.features or tuple(self.service.dtypes)
        own = [name for name in chosen if name not in self.service.dtypes]
        where = "The table of labelled rows"
        require_columns(
            rows.columns, wanted | dict.fromkeys(own, f"no feature of {self.service.name!r} either"), where
        )
        if clash := [name for name in (labels.label, labels.key) if name in chosen]:
            raise DataError(
                f"Column {', '.join(map(repr, clash))} is the label or key, and a feature too. Rename the label "
                "(data.feature_store.labels can), or list the features to learn from in data.features."
            )
        require_values(rows, wanted, where)
        found = self.provider.historical(self.service, rows, self.timestamp)
        features = pd.concat([found, rows[own]], axis=1)[list(chosen)]
        key = [labels.key] if labels.key else []
        return pd.concat([rows[key], features, rows[[labels.label]]], axis=1)
