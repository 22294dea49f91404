"""The installed distributions with their exact versions, in the form that `uv pip install -r` takes."""

import json
import platform
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from mlops_lib.redact import mask_secrets, without_password

# Folder of a distribution: name-version.dist-info; a file or folder of old ones:
# name-version-py3.11.egg-info.
_FOLDER = re.compile(r"(?P<name>[^~].*?)-(?P<version>[^-]+)(?:-py[\d.]+)?\.(?:dist|egg)-info")


@cache
def lock() -> str:
    """One line a distribution, sorted; computed once in a process.

    Names and versions come from the names of the folders: importlib.metadata reads a file of each
    distribution, which takes many times as long.
    """
    head = f"# Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    lines = sorted(_lines(sys.path), key=str.lower)
    return mask_secrets("\n".join([head, *lines, ""]))


def read_lock(text: str) -> dict[str, str]:
    """Normalised name -> version or address, of the lines of a lock."""
    found = {}
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        name, _, rest = line.partition(" @ ") if " @ " in line else line.partition("==")
        if name and rest:
            found[normalised(name)] = rest.strip()
    return found


def _lines(folders: Iterable[str]) -> Iterator[str]:
    seen = set()
    for folder in dict.fromkeys(folders):
        # Setuptools puts its private copies of other packages on the path when it is imported:
        # they are not installed distributions.
        if Path(folder).parts[-2:] == ("setuptools", "_vendor"):
            continue
        for path in _distributions(Path(folder or ".")):
            parsed = _FOLDER.fullmatch(path.name)
            # The first folder on the path wins, as in an import.
            if not parsed or (name := normalised(parsed["name"])) in seen:
                continue
            seen.add(name)
            yield _line(name, parsed["version"], path)


def _distributions(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.suffix in (".dist-info", ".egg-info")]
    except OSError:  # a ZIP file, or a folder that is not there
        return []


def _line(name: str, version: str, path: Path) -> str:
    try:
        direct = json.loads((path / "direct_url.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # nearly all come from an index
        return f"{name}=={version}"
    return f"{name} @ {_address(direct)}  # version {version}{_editable(direct)}"


def _address(direct: dict[str, Any]) -> str:
    """The address of a distribution that came from no index, as PEP 508 has it."""
    url = without_password(str(direct.get("url", "")))
    if vcs := direct.get("vcs_info"):
        return f"{vcs.get('vcs', 'git')}+{url}@{vcs.get('commit_id', '')}"
    return url


def _editable(direct: dict[str, Any]) -> str:
    return ", editable" if direct.get("dir_info", {}).get("editable") else ""


def normalised(name: str) -> str:
    """The name of a distribution in the one form that all its spellings have."""
    return re.sub(r"[-_.]+", "-", name).lower()
