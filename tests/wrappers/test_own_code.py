"""Needs: which modules and distributions an estimator needs elsewhere."""

import importlib.metadata
import sys
from pathlib import Path

import pytest
from sklearn.preprocessing import FunctionTransformer

from mlops_lib.errors import TrainingError
from mlops_lib.wrappers.code import own_code
from mlops_lib.wrappers.code.own_code import Needs
from mlops_lib.wrappers.skops_facts import skops_facts
from tests.support.carrying import write_modules


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Writes modules into a folder that is on the path, and returns the folder."""
    monkeypatch.syspath_prepend(tmp_path)

    yield lambda modules: write_modules(tmp_path, modules)
    for name in [n for n in sys.modules if n.startswith("own_")]:
        del sys.modules[name]


def carried(needs, root):
    """The relative paths of the files that would be carried."""
    return {str(file.relative_to(root)) for files in needs.own.values() for file in files}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import own_b", {"own_b.py"}),
        ("import own_b as b, json", {"own_b.py"}),
        ("from own_b import *", {"own_b.py"}),
        ("def late():\n    from own_b import x", {"own_b.py"}),
        ("try:\n    import own_b\nexcept ImportError:\n    pass", {"own_b.py"}),
        ("import own_p.q", {"own_p/q.py", "own_p/__init__.py", "own_c.py"}),
        ("from own_p import q", {"own_p/q.py", "own_p/__init__.py", "own_c.py"}),
        ("from own_space import r", {"own_space/r.py", "own_b.py"}),
        ("import numpy, json, mlops_lib.errors", set()),
        ("import nobody_has_this", set()),
    ],
)
def test_imports_are_followed(project, text, found):
    """Every form of import statement; packages with and without __init__; relative imports; nothing is run."""
    root = project(
        {
            "own_a.py": text,
            "own_b.py": "raise RuntimeError",
            "own_c.py": "",
            "own_p/__init__.py": "",
            "own_p/q.py": "from . import q as again\nimport own_c",
            "own_space/r.py": "import own_b",
        }
    )
    assert carried(Needs(["own_a"], root), root) == {"own_a.py"} | found


def test_requirements_are_of_the_imported_distributions(project):
    """By the module's name, not the distribution's; Python's own modules and missing ones need none."""
    text = "import yaml, json\nfrom PIL import Image\nimport nobody_has_this\nimport own_b"
    root = project({"own_a.py": text, "own_b.py": "import numpy"})
    versions = {name: importlib.metadata.version(name) for name in ("numpy", "pillow", "PyYAML")}
    assert Needs(["own_a", "builtins"], root).requirements() == sorted(
        f"{name}=={version}" for name, version in versions.items()
    )


@pytest.mark.slow
def test_the_installed_modules_are_found_without_a_look_at_their_files(monkeypatch):
    """The same table as `packages_distributions`, also when importlib_metadata is imported, which looks for each file."""
    import importlib_metadata  # noqa: F401 - takes the place of the standard library's finder

    expected = {name: set(found) for name, found in importlib.metadata.packages_distributions().items()}
    exists, looked = Path.exists, []
    monkeypatch.setattr(Path, "exists", lambda path: looked.append(path) or exists(path))
    found = own_code._installed.__wrapped__()
    assert len(looked) < 100
    assert {name: set(distributions) for name, distributions in found.items()} == expected


def test_a_distribution_outside_site_packages_is_not_the_users_own(project):
    """pip --target writes the list of its files beside it; an egg-info in a project has none."""
    record = {"own_t-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: own-t\nVersion: 1\n"}
    record["own_t-1.dist-info/RECORD"] = "own_t/__init__.py,,\nown_u.py,,\n"
    root = project(
        {**record, "own_t/__init__.py": "", "own_u.py": "", "own_a.py": "import own_t, own_u, own_b"}
    )
    write_modules(root, {"own_b.py": ""})
    assert carried(Needs(["own_a"], root), root) == {"own_a.py", "own_b.py"}


def test_of_a_package_that_holds_the_project_only_modules_are_carried(project):
    """Data, store and settings of the project's folder stay."""
    expected = {"own_p/__init__.py": "", "own_p/q.py": "from own_p import r", "own_p/r.py": ""}
    root = project({**expected, "own_p/s.py": "", "own_p/rows.csv": "private"})
    assert carried(Needs(["own_p.q"], root / "own_p"), root) == set(expected)


def test_what_nobody_wants_in_a_package_stays(project):
    """Hidden files, compiled ones and virtual environments; a link to a folder above ends."""
    wanted = {"own_p/__init__.py": "", "own_p/words.txt": "a"}
    root = project({**wanted, "own_p/.env": "SECRET", "own_p/env/pyvenv.cfg": "", "own_p/env/lib.py": ""})
    write_modules(root, {"own_p/__pycache__/x.pyc": ""})
    (root / "own_p" / "up").symlink_to(root)
    assert carried(Needs(["own_p"], root), root) == set(wanted)


def test_a_package_with_much_data_is_refused(project, monkeypatch):
    """The error names package, size and the largest file."""
    monkeypatch.setattr(own_code, "MAX_BYTES", 100)
    root = project({"own_p/__init__.py": "", "own_p/rows.csv": "1" * 101})
    with pytest.raises(TrainingError, match=r"own_p, which.*Move data out.*rows\.csv\."):
        Needs(["own_p"], root).require_portable()


@pytest.mark.parametrize(
    "name",
    ["credentials.json", "google-credentials.json", "tls/Server.PEM", "prod.env", "id_rsa", "secrets.yaml"],
)
def test_a_file_that_looks_like_a_secret_is_refused(project, name):
    """The error names the file and the remedy; a model's code may still be called so."""
    root = project({"own_p/__init__.py": "", "own_p/credentials.py": "", f"own_p/{name}": "x"})
    with pytest.raises(TrainingError, match=rf"{name}, which by its name holds a secret.*the environment"):
        Needs(["own_p"], root).require_portable()


@pytest.mark.parametrize(("function", "name"), [("lambda x: x", "<lambda>"), ("outer()", "inner")])
def test_a_function_without_a_place_is_refused_before_the_fit(project, function, name):
    """A lambda or a function inside another could not be found by a loaded model."""
    outer = "def outer():\n    def inner(x):\n        return x\n    return inner\n"
    project({"own_a.py": f"{outer}\nMADE = {function}\n"})
    import own_a

    with pytest.raises(TrainingError, match=f"uses '{name}' of own_a.*top level of own_a"):
        skops_facts(FunctionTransformer(own_a.MADE), "own_a:make")
