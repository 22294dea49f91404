"""The environment of a version: compared with this one, or built from its lock."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mlops_lib.errors import ReproductionError
from mlops_lib.lineage.lock import normalised, read_lock
from mlops_lib.lineage.manifest import NUMERIC_VARIABLES


def differences(
    manifest: Mapping[str, Any], locked: str, here: Mapping[str, Any], installed: str
) -> list[str]:
    """The differences between the environment of a version and another one, a line each.

    Args:
        manifest: Of the version.
        locked: Its lock.
        here: The same facts of the other environment.
        installed: The other one's lock.
    """
    lines = [
        f"{name}: {manifest[name] or 'none'} then, {here[name] or 'none'} now"
        for name in ("python", "platform", "accelerator")
        if manifest.get(name, "") != here[name]
    ]
    then, now = read_lock(locked), read_lock(installed)
    for name in sorted({*then, *now}):
        before, after = then.get(name, "not installed"), now.get(name, "not installed")
        # An editable installation is code of the project, which has a commit.
        if before != after and not (before.startswith("file:") and after.startswith("file:")):
            lines.append(f"{name}: {before} then, {after} now")
    return lines


def build(locked: str, python: str, top: Path, code: Path, target: Path) -> Path:
    """Make a virtual environment from a lock, and return its interpreter.

    Args:
        locked: The lock.
        python: Version of the interpreter.
        top: The user's project or repository: editable installations below it are code of the version.
        code: The same folder of the version.
        target: Folder to make.

    Raises:
        ReproductionError: uv is not there, or cannot install a distribution.
    """
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if not uv:
        raise ReproductionError("--environment needs uv. Install it with: pip install uv")
    file = target.with_suffix(".txt")
    file.write_text(_adapted(locked, top, code), encoding="utf-8")
    links = {"UV_FIND_LINKS": os.environ["PIP_FIND_LINKS"]} if os.environ.get("PIP_FIND_LINKS") else {}
    environment = {**links, **os.environ}
    interpreter = target / "bin" / "python"
    for command in (
        [uv, "venv", "--quiet", "--python", python, str(target)],
        # A lock is whole: nothing is left to resolve.
        [uv, "pip", "install", "--quiet", "--no-deps", "--python", str(interpreter), "-r", str(file)],
    ):
        done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise ReproductionError(f"The environment cannot be built from the lock:\n{done.stderr.strip()}")
    return interpreter


def variables(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The variables that change numbers, as they were; one that was not set is empty."""
    return {name: manifest["environment"].get(name, "") for name in NUMERIC_VARIABLES}


def editable_folders() -> list[Path]:
    """Folders that are installed in this environment as they are."""
    found = []
    for distribution in metadata.distributions():
        if text := distribution.read_text("direct_url.json"):
            direct = json.loads(text)
            if direct.get("dir_info", {}).get("editable"):
                found.append(_folder(direct["url"]))
    return found


def import_path(top: Path, code: Path) -> str:
    """PYTHONPATH in which folders of the version take the place of the user's repository.

    Args:
        top: The user's project or repository.
        code: The same folder of the version.
    """
    top = top.resolve()
    found = []
    for folder in editable_folders():
        if folder.is_relative_to(top):
            mapped = code / folder.relative_to(top)
            found += [str(path) for path in (mapped / "src", mapped) if path.is_dir()]
    for given in filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        inside = Path(given).resolve().is_relative_to(top)
        found.append(str(code / Path(given).resolve().relative_to(top)) if inside else given)
    return os.pathsep.join(dict.fromkeys(found))


def _adapted(locked: str, top: Path, code: Path) -> str:
    return "\n".join(_line(line, top, code) for line in locked.splitlines()) + "\n"


def _line(line: str, top: Path, code: Path) -> str:
    """A line of the lock, for this machine: an editable installation is that of the version's code."""
    name, at, address = line.partition(" @ ")
    address = address.partition("#")[0].strip()
    if not at or not address.startswith("file:"):
        return line
    folder = _folder(address)
    own = folder
    if folder.is_relative_to(top.resolve()):
        own = code / folder.relative_to(top.resolve())
    elif _name_of(code) == name:  # installed from another clone
        own = code
    return f"-e {own}" if _name_of(own) else f"# {name}: {own} is no project here"


def _name_of(folder: Path) -> str:
    """Normalised name of the distribution that a folder holds; "" for none."""
    try:
        content = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        return normalised(content["project"]["name"])
    except (OSError, tomllib.TOMLDecodeError, KeyError):
        return folder.name if (folder / "setup.py").is_file() else ""


def _folder(address: str) -> Path:
    return Path(url2pathname(urlsplit(address).path)).resolve()
