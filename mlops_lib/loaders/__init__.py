"""Data loaders: every source of training data behind one interface.

`from_settings` makes the loader that config.yaml names; `prepared` opens the folder that 01_get_data wrote.
"""

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib import plugins, tracking
from mlops_lib.columns.schema import COLUMNS_FILE
from mlops_lib.settings import Settings

#: Kind of a column -> the type that MLflow shows.
MLFLOW_TYPES: dict[str, Any] = {
    "number": "double", "integer": "long", "boolean": "boolean", "category": "string", "datetime": "datetime",
    "text": "string", "image": "binary", "array": {"type": "array", "items": {"type": "double"}},
    "sequence": {"type": "array", "items": {"type": "double"}},
}  # fmt: skip

if TYPE_CHECKING:
    from mlops_lib.columns.schema import Schema
    from mlops_lib.loaders.base import BaseDataLoader
    from mlops_lib.loaders.splits import Split


def from_settings(settings: Settings) -> "BaseDataLoader":
    """The loader named by ``data.loader``, on ``data.source``."""
    loader: type[BaseDataLoader] = plugins.load("loader", settings.data.loader)
    return loader.from_settings(settings)


def prepared(settings: Settings, folder: str | Path = "") -> "BaseDataLoader":
    """The dataset that 01_get_data wrote to `folder` (empty: ``data`` in the work folder)."""
    from mlops_lib.loaders.files import LocalDataLoader
    from mlops_lib.loaders.fingerprints import cache_file

    data = settings.data
    return LocalDataLoader(
        prepared_folder(settings, folder),
        label=data.label,
        key=data.key,
        features=data.features,
        streaming=data.streaming,
        cache=cache_file(settings),
    )


def log_inputs(settings: Settings, dataset: "BaseDataLoader", run_id: str, *splits: "Split") -> None:
    """Log splits of a dataset as inputs of a run, each with the dataset's fingerprint as its digest.

    The schema is logged as MLflow's own description of the columns and, with the train split,
    as ``columns.json``.
    """
    if not run_id:
        return
    # This may be the first use of MLflow in the notebook's process.
    tracking.connect(settings)
    digest, schema = dataset.fingerprint(), dataset.schema
    shown = {"features": len(schema.features), "label": ", ".join(schema.labels), "kinds": schema.kinds}
    profile = json.dumps({**shown, "classes": schema.classes}, ensure_ascii=False)
    columns = json.dumps({"mlflow_colspec": _mlflow_columns(schema)}, ensure_ascii=False)
    for split in splits:
        # MLflow keeps one dataset for each name and digest in a run, so the name has the split.
        name = f"{settings.mlflow.experiment}-{split}"
        source = settings.data.source
        tracking.log_dataset(settings, run_id, name, split, digest, source, profile, columns)
    if "train" in splits:
        tracking.keep_text(settings, run_id, schema.to_json(), COLUMNS_FILE)


def _mlflow_columns(schema: "Schema") -> list[dict[str, Any]]:
    used = set(schema.used)
    return [
        {"name": one.name, "type": MLFLOW_TYPES[one.kind], "required": not one.nullable}
        for one in schema.columns
        if one.name in used
    ]


def prepared_folder(settings: Settings, folder: str | Path = "") -> Path:
    """The folder that 01_get_data writes and the other notebooks read: `folder`, or the default if empty."""
    return settings.path(str(folder) or f"{settings.pipeline.work_dir}/data")


def __getattr__(name: str) -> Any:
    """Old import path of `checks`: notebooks in existing projects use it."""
    if name == "checks":  # by name, since data_checks imports loaders and not the other way round
        return importlib.import_module("mlops_lib.data_checks.declared")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
