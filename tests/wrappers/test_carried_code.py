"""carried_code: modules of a logged model, imported beside those of other versions."""

import importlib
import sys

import pytest

from mlops_lib.wrappers.code.carried_code import carried_code
from tests.support.carrying import write_modules

NAMES = ("own_head", "own_tail", "own_package")


@pytest.fixture(autouse=True)
def forgotten():
    """No test leaves its modules behind."""
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in NAMES]:
        del sys.modules[name]


def model(folder, modules):
    """A model's folder that carries these modules; the ending .py is added."""
    write_modules(folder / "code", {f"{name}.py": text for name, text in modules.items()})
    return folder


def loaded(folder, name="own_head"):
    """The module as a model that is loaded from the folder has it."""
    with carried_code(folder):
        return importlib.import_module(name)


def test_each_version_runs_its_own_code(tmp_path):
    """Two versions in one process differ in a module that an equal one imports."""
    head = "from own_tail import value\n\ndef answer():\n    return value()\n"
    first, second = (
        loaded(model(tmp_path / name, {"own_head": head, "own_tail": f"def value():\n    return {name!r}\n"}))
        for name in ("1", "2")
    )
    assert (first.answer(), second.answer()) == ("1", "2")
    assert sys.modules["own_head"] is first and str(tmp_path) not in "".join(sys.path)


def test_a_package_is_compared_with_its_files(tmp_path):
    """A submodule that differs is enough for a version to have the whole package alone."""
    texts = {"own_package/part": "VALUE = 1\n", "own_package/__init__": ""}
    first = loaded(model(tmp_path / "1", texts), "own_package.part")
    again = loaded(model(tmp_path / "2", texts), "own_package.part")
    other = loaded(model(tmp_path / "3", texts | {"own_package/part": "VALUE = 3\n"}), "own_package.part")
    assert again is first and (first.VALUE, other.VALUE) == (1, 3)
    assert sys.modules["own_package.part"] is first


def test_the_projects_edited_module_is_not_mixed_up(tmp_path, monkeypatch):
    """A model runs the code of its training; the project's other code runs as it is now, before and after."""
    project = write_modules(tmp_path / "project", {"own_head.py": "VALUE = 'edited'\n"})
    monkeypatch.syspath_prepend(project)
    old = loaded(model(tmp_path / "old", {"own_head": "VALUE = 'trained'\n"}))
    assert (old.VALUE, importlib.import_module("own_head").VALUE) == ("trained", "edited")


def test_the_same_code_is_the_projects_own(tmp_path, monkeypatch):
    """A package that has not changed is imported from the project, so that a module added to it is found."""
    text = {"own_package/__init__.py": "", "own_package/part.py": "VALUE = 1\n"}
    project = write_modules(tmp_path / "project", text | {"own_package/metric.py": "VALUE = 2\n"})
    monkeypatch.syspath_prepend(project)
    write_modules(tmp_path / "model" / "code", text)
    assert loaded(tmp_path / "model", "own_package.part").__file__ == str(project / "own_package/part.py")
    assert importlib.import_module("own_package.metric").VALUE == 2


def test_imports_in_functions_find_the_models_modules(tmp_path):
    """They work after the load, when the folder is no longer on the path."""
    head = "def answer():\n    import own_tail\n    from own_package import part\n    return own_tail.VALUE + part.VALUE\n"
    found = loaded(
        model(tmp_path, {"own_head": head, "own_tail": "VALUE = 1\n", "own_package/part": "VALUE = 2\n"})
    )
    assert found.answer() == 3


def test_an_import_in_a_function_finds_the_code_of_its_own_version(tmp_path):
    """Of two versions in one process, each function imports the module of its version, at each call."""
    inside = "def answer():\n    import own_tail\n    from own_package import part\n    return own_tail.VALUE, part.VALUE\n"
    versions = [
        loaded(
            model(
                tmp_path / str(number),
                {
                    "own_head": inside,
                    "own_tail": f"VALUE = {number}\n",
                    "own_package/part": f"VALUE = {number}\n",
                },
            )
        )
        for number in (1, 2, 3)
    ]
    assert [head.answer() for head in versions * 2] == [(1, 1), (2, 2), (3, 3)] * 2
    assert sys.modules["own_head"] is versions[0] and sys.modules["own_tail"].VALUE == 1


def test_a_package_imports_its_parts_late_and_relatively(tmp_path):
    """A relative import in a function finds the version's own part, and a module in the middle of its import is not loaded twice."""
    texts = {
        "own_package/__init__": "from own_package.part import later\n",
        "own_package/part": "import own_package\n\n\ndef later():\n    from .tail import VALUE\n    return VALUE, own_package\n",
    }
    first, second = (
        loaded(model(tmp_path / name, texts | {"own_package/tail": f"VALUE = {name!r}\n"}), "own_package")
        for name in ("1", "2")
    )
    assert first.later() == ("1", first) and second.later() == ("2", second)


def test_no_compiled_files_are_left(tmp_path):
    """The service keeps a digest of the model's files."""
    loaded(model(tmp_path, {"own_head": "VALUE = 1\n"}))
    assert [path.name for path in (tmp_path / "code").iterdir()] == ["own_head.py"]


def test_a_distribution_that_is_missing_is_named(tmp_path):
    """The error has the command that installs it."""
    folder = model(tmp_path, {"own_head": "import no_such_package\n"})
    (tmp_path / "requirements.txt").write_text("mlflow==3.0\nno-such-package==1.2\n")
    with pytest.raises(ImportError, match=r"'no_such_package'.*pip install no-such-package==1\.2$"):
        loaded(folder)
