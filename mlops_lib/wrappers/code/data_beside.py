"""Data files that the user's own modules read from their folders, found in the source;
nothing is imported."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from mlops_lib.errors import TrainingError
from mlops_lib.wrappers.code.source_imports import files_of

#: Functions that add a name to a folder.
JOINS = ("joinpath", "with_name", "join")
#: Functions that take a path; beginnings of names of those that take the path of a file.
OPENS = ("open", "Path", "PurePath")
READS = ("read", "load", "from_file")
WRITES = frozenset("wax")
MAX_NAME_CHARS = 200


class Named(NamedTuple):
    """A text in a source that may be a path: the text, its line, and whether it is added to a folder."""

    text: str
    line: int
    is_joined: bool


def data_of(
    modules: Mapping[Path, Iterable[Path]], root: Path, carried: Mapping[Path, Iterable[Path]] | None = None
) -> dict[Path, Path]:
    """Data files beside modules that read them -> the folder that the modules are imported from.

    Args:
        modules: As of `Needs.imported`: the place of a module or package -> its modules.
        root: The project's folder.
        carried: As of `Needs.own`: files that travel anyway, which are left out.

    Raises:
        TrainingError: A module opens a file by a path from the working folder, which a service does not have.
    """
    known = {file for files in (carried or {}).values() for file in files}
    found: dict[Path, Path] = {}
    for place, module, named, target in _reads(modules, root):
        if not named.is_joined and target not in known:
            raise TrainingError(
                f"{module}, line {named.line}, opens {named.text!r} from the working folder, which a service does "
                f"not have. Write Path(__file__).parent / {named.text!r}: the file then travels with the model."
            )
        found |= {file: place.parent for file in _data(target) if file not in known}
    return found


def read_by(modules: Mapping[Path, Iterable[Path]], root: Path) -> set[Path]:
    """Data files that modules read, from their folders or from the working folder `root`."""
    reads = _reads(modules, root)
    return {
        file for _, _, named, target in reads if named.is_joined or target.is_file() for file in _data(target)
    }


def _reads(modules: Mapping[Path, Iterable[Path]], root: Path) -> Iterator[tuple[Path, Path, Named, Path]]:
    """Place, module, text in the source, and the file or folder that it names."""
    for place, files in modules.items():
        for module in files:
            for named in _named_in(module):
                places = [*(() if named.is_joined else (root,)), *_folders(module, place.parent)]
                targets = (_inside(folder, named.text) for folder in places)
                if target := next(filter(None, targets), None):
                    yield place, module, named, target


def _data(target: Path) -> Iterator[Path]:
    return (file for file in files_of(target) if file.suffix != ".py")


def _folders(module: Path, root: Path) -> Iterator[Path]:
    """The folder of a module, and those above it up to the folder of import."""
    for folder in module.parents:
        yield folder
        if folder == root:
            return


def _inside(folder: Path, text: str) -> Path | None:
    """The file or folder of this name in a folder; None if there is none, or it is hidden."""
    try:
        target = (folder / text).resolve()
        if target == folder or not target.is_relative_to(folder.resolve()) or not target.exists():
            return None
    except (OSError, ValueError):
        return None
    parts = target.relative_to(folder.resolve()).parts
    return None if any(part.startswith(".") for part in parts) or target.suffix == ".py" else target


def _named_in(file: Path) -> Iterator[Named]:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    texts = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(node.value.value, str)
    }

    def text_of(node: ast.expr) -> str:
        value = texts.get(node.id) if isinstance(node, ast.Name) else getattr(node, "value", None)
        ok = isinstance(value, str) and 0 < len(value) <= MAX_NAME_CHARS and "\n" not in value
        return str(value) if ok else ""

    def mode_of(call: ast.Call) -> str:
        named = [keyword.value for keyword in call.keywords if keyword.arg == "mode"]
        modes = named or call.args[1:2]
        return text_of(modes[0]) if modes else ""

    for node in _nodes(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and (text := text_of(node.right)):
            yield Named(text, node.lineno, True)
        elif isinstance(node, ast.Call) and node.args:
            function = getattr(node.func, "attr", getattr(node.func, "id", ""))
            first = text_of(node.args[0])
            if function in JOINS:  # os.path.join("a", "b") starts from the working folder
                is_joined = [function != "join", *(True for _ in node.args[1:])]
                texts_of = map(text_of, node.args)
                yield from (
                    Named(text, node.lineno, joined)
                    for text, joined in zip(texts_of, is_joined, strict=True)
                    if text
                )
            elif (first and function in OPENS and not WRITES & set(mode_of(node))) or (
                "." in first and function.startswith(READS)
            ):
                yield Named(first, node.lineno, False)


def _nodes(tree: ast.Module) -> Iterator[ast.AST]:
    """All nodes, without those that run only when the file is the program."""
    for statement in tree.body:
        if not (isinstance(statement, ast.If) and "__main__" in ast.unparse(statement.test)):
            yield from ast.walk(statement)
