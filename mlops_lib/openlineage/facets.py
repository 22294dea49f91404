"""Facets: the parts of an OpenLineage event that have a schema of their own."""

from typing import Any

from mlops_lib import __version__

PRODUCER = f"urn:mlops-lib:{__version__}"
#: Facet -> the version of its schema, and the rest of its schema's name.
SCHEMAS = {
    "DataQualityMetrics": ("1-0-3", "InputDatasetFacet"),
    "DatasetVersion": ("1-0-1", "DatasetFacet"),
    "Datasource": ("1-0-1", "DatasetFacet"),
    "ErrorMessage": ("1-0-1", "RunFacet"),
    "JobType": ("2-0-4", "JobFacet"),
    "NominalTime": ("1-0-1", "RunFacet"),
    "OutputStatistics": ("1-0-2", "OutputDatasetFacet"),
    "Parent": ("1-2-0", "RunFacet"),
    "ProcessingEngine": ("1-1-1", "RunFacet"),
    "Schema": ("1-2-0", "DatasetFacet"),
}


def facet(kind: str, **fields: Any) -> dict[str, Any]:
    """A facet with its fields, its producer and the address of its schema."""
    version, suffix = SCHEMAS[kind]
    name = f"{kind}{suffix}"
    schema = f"https://openlineage.io/spec/facets/{version}/{name}.json#/$defs/{name}"
    return {"_producer": PRODUCER, "_schemaURL": schema, **fields}
