"""Names of a step's inputs and outputs, by the naming rules of OpenLineage, and the facts known of them.

https://openlineage.io/docs/spec/naming
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from mlops_lib import loaders
from mlops_lib.columns.schema import COLUMNS_FILE, Column, Schema
from mlops_lib.openlineage.facets import facet
from mlops_lib.redact import mask, without_password
from mlops_lib.settings import Settings
from mlops_lib.tracking import tracking_uri

#: Databases whose namespace has a port, also where the address leaves it out.
PORTS = {"postgres": 5432, "mysql": 3306, "redshift": 5439, "mssql": 1433, "oracle": 1521}
#: Schema of a table that is named without one.
SCHEMAS = {"postgres": "public", "mssql": "dbo"}


def dataset(kind: str, settings: Settings, values: Mapping[str, Any]) -> dict[str, Any]:
    """A dataset of an event: namespace, name and facets.

    Args:
        kind: As of `mlops_lib.steps.table.Dataset`.
        settings: Settings of the step.
        values: Parameters and, once the step has ended, outputs of the step.
    """
    facets: dict[str, Any] = {}
    version = values.get("run_id", "")
    if kind == "source":
        namespace, name = source_name(settings)
        facets["dataSource"] = facet("Datasource", name=namespace, uri=_uri(namespace, name))
        return {"namespace": namespace, "name": name, "facets": facets}
    experiment = settings.mlflow.experiment
    name = f"{experiment}/{kind}/{settings.model.name}"
    if kind == "dataset":
        name, version = f"{experiment}/dataset", values.get("fingerprint", "")
        if columns := _columns(settings, values.get("data", "")):
            fields = [{"name": column.name, "type": column.kind} for column in columns]
            facets["schema"] = facet("Schema", fields=fields)
    if kind == "version":
        name, version = f"models/{values['model_name']}", str(values["version"])
    namespace = mask(tracking_uri(settings)).partition("?")[0]
    facets["dataSource"] = facet("Datasource", name=namespace, uri=namespace)
    if version:
        facets["version"] = facet("DatasetVersion", datasetVersion=version)
    return {"namespace": namespace, "name": name, "facets": facets}


def quality(kind: str, settings: Settings, values: Mapping[str, Any]) -> dict[str, Any]:
    """The facets of an input with what is known of its columns:
    figures of the train split of the prepared dataset."""
    columns = _columns(settings, values.get("data", "")) if kind == "dataset" else []
    figures = {
        column.name: {"distinctCount": column.distinct}
        | ({} if column.least is None else {"min": column.least, "max": column.most})
        for column in columns
    }
    return {"dataQualityMetrics": facet("DataQualityMetrics", columnMetrics=figures)} if figures else {}


def statistics(values: Mapping[str, Any]) -> dict[str, Any]:
    """The facets of an output whose rows a step has counted by split; else none."""
    rows = [value for key, value in values.items() if key.endswith("_rows")]
    return {"outputStatistics": facet("OutputStatistics", rowCount=sum(rows))} if rows else {}


def source_name(settings: Settings) -> tuple[str, str]:
    """Namespace and name of ``data.source``; they have neither user nor password."""
    data = settings.data
    if data.loader == "feature_store":
        store = data.feature_store
        return (
            f"{store.provider}://{store.workspace or store.repo or urlsplit(store.url).netloc}",
            store.service,
        )
    if "://" not in data.source:
        return "file", str(settings.path(data.source))
    address = urlsplit(without_password(data.source))
    if data.loader == "sql":
        return _database(settings, address)
    if address.scheme == "file":
        return "file", address.path
    scheme = "s3" if address.scheme in ("s3a", "s3n") else address.scheme
    host = address.hostname or address.netloc.rpartition("@")[2]
    if address.port:
        host = f"{host}:{address.port}"
    return f"{scheme}://{host}", address.path.lstrip("/") or "/"


def _database(settings: Settings, address: SplitResult) -> tuple[str, str]:
    """A query may read several tables, which only its database knows: then the name is the database's."""
    backend = address.scheme.partition("+")[0].replace("postgresql", "postgres")
    table, database = settings.data.sql.table, address.path.lstrip("/")
    if backend == "sqlite":
        return "file", f"{settings.path(address.path[1:])}{table and f'#{table}'}"
    if table and "." not in table and backend in SCHEMAS:
        table = f"{SCHEMAS[backend]}.{table}"
    port = address.port or PORTS.get(backend)
    host = f"{address.hostname}:{port}" if port else f"{address.hostname}"
    return f"{backend}://{host}", f"{database}.{table}" if table else database


def _uri(namespace: str, name: str) -> str:
    return f"file://{name}" if namespace == "file" else f"{namespace}/{name}"


def _columns(settings: Settings, folder: str) -> list[Column]:
    """The columns of the prepared dataset; empty while it is not there."""
    file = loaders.prepared_folder(settings, folder) / COLUMNS_FILE
    if not file.is_file():
        return []
    columns = Schema.from_json(file.read_text(encoding="utf-8")).columns
    return [column for column in columns if column.role != "unused"]
