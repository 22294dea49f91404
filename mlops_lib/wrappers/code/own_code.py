"""What a model's code needs to be loaded elsewhere: modules of the user's own, and installed distributions."""

import csv
import importlib.metadata
import inspect
import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

from mlops_lib.errors import TrainingError
from mlops_lib.wrappers.code.source_imports import files_of, files_on_import, imports_in, place_of, place_on

#: Most that a logged model carries of a user's own files.
MIB = 1024 * 1024
MAX_BYTES = 100 * MIB
#: Names of files with keys and passwords.
SECRETS = (
    ".env*", "*.env", "*credentials.json", "credentials*", "client_secret*.json", "service[-_]account*.json", "secrets.*",
    "token.json", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "id_rsa*", "id_ed25519*", ".netrc", ".pgpass",
)  # fmt: skip
LIBRARY = __name__.partition(".")[0]


class Needs:
    """The closure of some modules over the imports of the user's own ones.

    Args:
        modules: Dotted names; the part after a module may be the name of an object in it.
        root: The project's folder.
        path: Folders in which imports look first.

    Attributes:
        own: Top-level module file or package folder of the user's own -> its files.
        imported: The same -> those of its modules that the imports run.
        others: Dotted names of the other modules.
    """

    def __init__(self, modules: Iterable[str], root: Path, path: Sequence[Path] = ()) -> None:
        self.own: dict[Path, set[Path]] = {}
        self.imported: dict[Path, set[Path]] = {}
        self.others: set[str] = set()
        self._root, self._path = root.resolve(), path
        todo, seen = list(modules), set()
        while todo:
            if (name := todo.pop()) not in seen:
                seen.add(name)
                todo += self._add(name)

    def require_portable(self) -> None:
        """Raise TrainingError if files of the user's own modules must not travel with each model, or are too large."""
        for place, files in self.own.items():
            require_portable(files, f"{place}, which the model's code imports")

    def copy_into(self, folder: Path) -> list[str]:
        """Copy the user's own modules into a folder, and return MLflow's ``code_paths``."""
        for place, files in self.own.items():
            for file in files:
                target = folder / file.relative_to(place.parent)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
        return [str(folder / place.name) for place in self.own]

    def requirements(self) -> list[str]:
        """The installed distributions of the other modules, with their versions."""
        found = {name for module in self.others for name in distributions_of(module)}
        # A local version (2.9.0+cpu) is on no index.
        return sorted(f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in found)

    def _add(self, name: str) -> Iterator[str]:
        """Note where a module comes from; give the imports of one of the user's own."""
        place = own_place(name.partition(".")[0], self._path)
        if place is None:
            self.others.add(name)
            return
        files = self.own.setdefault(place, set())
        if not self._root.is_relative_to(place.resolve()):
            files.update(files_of(place))
        for file, package in files_on_import(place, name):
            files.add(file)  # of a package that holds the project, with its data, only the modules
            self.imported.setdefault(place, set()).add(file)
            yield from (imported for imported, _ in imports_in(file, package))


def require_portable(files: Iterable[Path], name: str) -> None:
    """Raise TrainingError if files look like secrets, or are too large to travel with each model; `name` says what they are."""
    sizes = {file: file.stat().st_size for file in files}
    require_no_secret(sizes, name)
    if (size := sum(sizes.values())) > MAX_BYTES:
        raise TrainingError(
            f"The model would carry {name}. It holds {size / MIB:.0f} MiB, and the limit is {MAX_BYTES / MIB:.0f}. Move "
            f"data out of it; the largest file is {max(sizes, key=lambda file: sizes[file])}."
        )


def require_no_secret(files: Iterable[Path], name: str) -> None:
    """Raise TrainingError if a file looks like a secret; `name` says what the files are."""
    secrets = [
        file
        for file in files
        if file.suffix != ".py" and any(fnmatch(file.name.lower(), pattern) for pattern in SECRETS)
    ]
    if secrets:
        raise TrainingError(
            f"The model would carry {name}, and with it {min(secrets)}, which by its name holds a secret. Read secrets from "
            "the environment. Give the file another name if it holds none."
        )


def own_place(top: str, path: Sequence[Path] = ()) -> Path | None:
    """`place_of` a module of the user's own; None for one of Python, of this library, or that was installed.

    An editable installation is the user's own: no index has it.

    Args:
        top: Name of a top-level module.
        path: Folders in which the import looks first.
    """
    # A graph's folder may have a langgraph.py, which nothing imports by this name.
    if top in sys.stdlib_module_names or top in ("__main__", LIBRARY, "langgraph"):
        return None
    if place := place_on(path, top):
        return place
    place = place_of(top)
    if place is None or {"site-packages", "dist-packages"} & set(place.parts):
        return None
    for distribution in importlib.metadata.distributions(
        path=[str(place.parent)]
    ):  # installed by pip --target
        if distribution.read_text("RECORD") and place.name in {f.parts[0] for f in distribution.files or ()}:
            return None
    return place


def distributions_of(module: str) -> set[str]:
    """The distributions that installed a module; several only where their files do not tell."""
    names = set(_installed().get(module.partition(".")[0], ()))
    parts = module.split(".")
    for end in range(len(parts), 1, -1):  # google.cloud.storage is of one of many with a folder google
        if len(names) > 1:
            stem = "/".join(parts[:end])
            names = {name for name in names if _has(name, stem)} or names
    # mlflow brings mlflow-skinny, which has the same folder.
    return names - {needed for name in names for needed in _needed_by(name)} or names


@cache
def _installed() -> Mapping[str, set[str]]:
    """Top-level module -> the distributions that installed it.

    `packages_distributions` gives the same. When importlib_metadata is imported, as by MLflow, it looks on the disk for each
    of some 50,000 files.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for distribution in importlib.metadata.MetadataPathFinder.find_distributions():
        name = distribution.metadata["Name"]
        modules = (distribution.read_text("top_level.txt") or "").split() or _recorded(distribution)
        for module in modules:
            found[module].add(name)
    return found


def _recorded(distribution: importlib.metadata.Distribution) -> Iterator[str]:
    """The top-level modules of a distribution, by the list of its files."""
    for name, *_ in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
        top, slash, _ = name.partition("/")
        module = top if slash else inspect.getmodulename(top)
        if module and "." not in module:
            yield module


def _has(distribution: str, stem: str) -> bool:
    files = importlib.metadata.files(distribution) or ()
    return any(file.as_posix().startswith((f"{stem}/", f"{stem}.")) for file in files)


def _needed_by(distribution: str) -> set[str]:
    return {
        re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in importlib.metadata.requires(distribution) or ()
    }
