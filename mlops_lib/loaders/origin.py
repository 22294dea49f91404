"""Where the rows of a prepared dataset came from: a file beside them, which no loader reads as rows."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mlops_lib import files
from mlops_lib.errors import DataError
from mlops_lib.redact.keys import Masker
from mlops_lib.settings import Settings

if TYPE_CHECKING:
    from mlops_lib.loaders.base import BaseDataLoader

ORIGIN_FILE = "origin.yaml"


def write_origin(settings: Settings, dataset: "BaseDataLoader", folder: Path, limit: int) -> None:
    """Write what another preparation of the same rows needs, without secrets.

    Args:
        settings: Section `data` is stored whole.
        dataset: The loader that has read the rows.
        folder: Folder of the prepared dataset.
        limit: Most rows of each split; 0: all.
    """
    origin = {
        "loader": settings.data.loader,
        "source": dict(dataset.origin),
        "source_fingerprint": dataset.fingerprint(),
        "limit": limit,
        "settings": settings.data.model_dump(mode="json"),
    }
    with files.replacing(folder / ORIGIN_FILE) as partial:
        plain = json.loads(json.dumps(origin, default=str))  # a value of a query may be a date
        text = yaml.safe_dump(Masker().values(plain), sort_keys=False, allow_unicode=True)
        partial.write_text(text, encoding="utf-8")


def read_origin(file: Path) -> dict[str, Any]:
    """The content of the file.

    Raises:
        DataError: It is no mapping.
    """
    found = yaml.safe_load(file.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise DataError(f"{file} must be a mapping; write the folder again with 01_get_data.")
    return found
