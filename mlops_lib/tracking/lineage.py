"""Tags that tie a run to its code, configuration and image."""

import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from mlops_lib import __version__
from mlops_lib.settings import Settings


def lineage(settings: Settings) -> dict[str, str]:
    """The lineage tags of a run. A tag without a value is left out."""
    tags = {
        "mlops.version": __version__,
        "mlops.config_digest": settings.digest(),
        "mlops.image": os.environ.get("MLOPS_IMAGE", ""),
        "mlops.git_commit": _git_commit(settings.root),
    }
    return {key: value for key, value in tags.items() if value}


def list_tag(values: Iterable[str]) -> str:
    """The value of a tag that holds a list: JSON."""
    return json.dumps(list(values), separators=(",", ":"), ensure_ascii=False)


def read_list_tag(tag: str) -> list[str]:
    """The list in a tag; "" is an empty list. Older versions have lists without JSON, separated by commas."""
    if tag.startswith("["):
        return json.loads(tag)
    return tag.split(",") if tag else []


def _git_commit(folder: Path) -> str:
    """The commit of `folder`, with ``+changes`` for uncommitted ones; GIT_COMMIT or "" outside a checkout."""
    try:
        result = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes"],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return os.environ.get("GIT_COMMIT", "")
    return result.stdout.strip()
