"""Tecton: online over its HTTP API, offline through its SDK. Not yet tested against a live Tecton.

The SDK calls follow the signatures of tecton 1.2.13, a release that needs numpy below 2.

The API is that of https://docs.tecton.ai/http-api: ``feature-service/get-features``, ``get-features-batch``
and ``metadata``. int64 values travel as text.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Self

from mlops_lib.errors import ConfigError, FeatureStoreError
from mlops_lib.features import FeatureProvider, FeatureService, OnlineRow, Trouble
from mlops_lib.settings import Settings

if TYPE_CHECKING:
    import httpx2
    import pandas as pd

API = "/api/v1/feature-service/"
#: Tecton's types -> pandas dtypes.
DTYPES = {"int64": "int64", "float64": "float64", "float32": "float32", "boolean": "bool", "string": "object"}
#: Most entities in one request of get-features-batch; Tecton's own clients send no more.
BATCH_ROWS = 10
#: Concurrent requests of one lookup.
MAX_REQUESTS = 8
TIMEOUT_S = 30.0


class TectonProvider(FeatureProvider):
    """A workspace of a Tecton cluster. Tecton decides itself which values are stale,
    so features have no TTL here.

    Args:
        url: Address of the cluster, https://example.tecton.ai.
        workspace: Workspace of the feature services.
        api_key: Key of a service account.
    """

    def __init__(self, url: str, workspace: str, api_key: str) -> None:
        self.url, self.workspace, self._api_key = url.rstrip("/"), workspace, api_key

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        store, key = settings.data.feature_store, settings.secrets.tecton_api_key
        if not (store.url and store.workspace and key):
            raise ConfigError(
                "Tecton needs data.feature_store.url and workspace, and the environment variable TECTON_API_KEY."
            )
        return cls(store.url, store.workspace, key.get_secret_value())

    def describe(self, service: str) -> FeatureService:
        answer = self._post("metadata", self._params(service))
        keys = {item["name"]: _dtype(item) for item in answer.get("inputJoinKeys", [])}
        dtypes = {_short(item["name"]): _dtype(item) for item in answer["featureValues"]}
        if len(dtypes) != len(answer["featureValues"]):
            raise FeatureStoreError(f"Feature service {service!r} has two features of one name; rename one.")
        return FeatureService(service, keys, dtypes, dict.fromkeys(dtypes))

    def historical(self, service: FeatureService, rows: "pd.DataFrame", timestamp: str) -> "pd.DataFrame":
        import pandas as pd

        try:
            import tecton
        except ImportError as error:
            raise FeatureStoreError(
                "Training rows come through Tecton's SDK, the package tecton, whose newest release (1.2) wants numpy "
                f"below 2 and does not install beside this library: see docs/features.md ({error})."
            ) from None
        keys = [*service.entity_keys, timestamp]
        pairs = rows[keys].drop_duplicates(ignore_index=True)
        tecton.login(tecton_url=self.url, tecton_api_key=self._api_key)
        events = tecton.get_workspace(self.workspace).get_feature_service(service.name)
        found = events.get_features_for_events(pairs, timestamp_key=timestamp).to_pandas()
        found = found.rename(columns=_after_prefix(service))
        joined = rows[keys].reset_index(drop=True)
        joined = joined.merge(found[[*keys, *service.dtypes]], on=keys, how="left", validate="many_to_one")
        typed = {n: pd.Series(joined[n]) for n in service.dtypes}
        for name, dtype in service.dtypes.items():
            if not typed[name].isna().any():
                typed[name] = typed[name].astype(dtype)
        return pd.DataFrame(typed).set_axis(rows.index)

    def online(self, service: FeatureService, keys: Sequence[Mapping[str, Any]]) -> list[OnlineRow]:
        parts = [keys[start : start + BATCH_ROWS] for start in range(0, len(keys), BATCH_ROWS)]
        if len(parts) <= 1:
            return [row for part in parts for row in self._online(service, part)]
        with ThreadPoolExecutor(min(len(parts), MAX_REQUESTS)) as pool:
            return [row for rows in pool.map(partial(self._online, service), parts) for row in rows]

    def _online(self, service: FeatureService, keys: Sequence[Mapping[str, Any]]) -> list[OnlineRow]:
        requested = [{"joinKeyMap": {name: str(value) for name, value in key.items()}} for key in keys]
        options = {"includeNames": True, "includeDataTypes": True, "includeServingStatus": True}
        params = {**self._params(service.name), "requestData": requested, "metadataOptions": options}
        answer = self._post("get-features-batch", params)
        results, metadata = answer["result"], answer["metadata"]["features"]
        if len(results) != len(keys):
            raise FeatureStoreError(f"Tecton answered {len(results)} rows for {len(keys)} keys.")
        return [_row(service, result["features"], metadata, i) for i, result in enumerate(results)]

    def _params(self, service: str) -> dict[str, Any]:
        return {"featureServiceName": service, "workspaceName": self.workspace}

    def _post(self, path: str, params: dict[str, Any]) -> dict[str, Any]:
        import httpx2

        try:
            answer = self._client.post(API + path, json={"params": params})
        except httpx2.HTTPError as error:
            raise FeatureStoreError(f"Tecton at {self.url} cannot be reached: {error}") from None
        if answer.status_code != httpx2.codes.OK:
            reply = answer.text[:300].replace(self._api_key, "***")
            raise FeatureStoreError(f"Tecton at {self.url} answered {answer.status_code} to {path}: {reply}")
        return answer.json()

    @cached_property
    def _client(self) -> "httpx2.Client":
        import httpx2

        headers = {"Authorization": f"Tecton-key {self._api_key}"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=TIMEOUT_S)


def _row(
    service: FeatureService, features: Sequence[Any], metadata: Sequence[Mapping[str, Any]], number: int
) -> OnlineRow:
    values: dict[str, Any] = {}
    trouble: dict[str, Trouble] = {}
    for item, value in zip(metadata, features, strict=True):
        if (name := _short(item["name"])) not in service.dtypes:
            continue
        integer = service.dtypes[name] == "int64" and value is not None
        values[name] = int(value) if integer else value
        # Without a status a null counts as missing. Tecton does not distinguish unknown from stale.
        status = item["statuses"][number] if "statuses" in item else None if value is None else "PRESENT"
        if status != "PRESENT":
            trouble[name] = "unknown_entity"
    return OnlineRow(values, trouble)


def _dtype(item: Mapping[str, Any]) -> str:
    kind = item["dataType"]["type"]
    if kind not in DTYPES:
        raise FeatureStoreError(f"{item['name']!r} is {kind}; types read here: {', '.join(DTYPES)}.")
    return DTYPES[kind]


def _short(name: str) -> str:
    """The feature of ``view.feature``: the name of the model's column."""
    return name.rpartition(".")[2]


def _after_prefix(service: FeatureService) -> Any:
    """A function from the SDK's column name, ``view__feature``, to the feature's."""
    return lambda column: (
        column.rpartition("__")[2] if column.rpartition("__")[2] in service.dtypes else column
    )
