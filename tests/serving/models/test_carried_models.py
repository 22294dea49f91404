"""Estimators of a user's own, loaded where only the platform is installed: their code and requirements travel."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from mlops_lib import config
from mlops_lib.registry import Registry
from tests.support import carrying, shop
from tests.support.promoting import promote

pytestmark = pytest.mark.slow

ROW = {"delay": 45}
#: P(yes) of each version: its factor times the delay plus the package's offset, in thousandths.
ANSWERS = {1: 0.05, 2: 0.095}


@pytest.fixture(scope="module")
def store(blank_store, tmp_path_factory):
    """The folder of a registry with versions 1 and 2, whose modules differ; their project is gone."""
    folder = tmp_path_factory.mktemp("carried")
    project, store = folder / "project", folder / "store"
    carrying.write(project, store, carrying.MODULES)
    shutil.copy(blank_store, store / "mlflow.db")
    carrying.train(project)
    carrying.write_modules(project, {"helpers.py": "FACTOR = 2.0\n"})
    carrying.train(project)
    project.rename(folder / "gone")
    (store / "config.yaml").write_text(carrying.CONFIG.format(store=store))
    return store


def artifacts(store, version):
    """The folder with the files of a version."""
    uri = MlflowClient(f"sqlite:///{store}/mlflow.db", f"sqlite:///{store}/mlflow.db")
    return uri.get_model_version_download_uri("flights", str(version)).removeprefix("file://")


def test_it_is_served_from_an_empty_folder(store, tmp_path):
    """`mlops serve` with the address of the registry and the model's name."""
    (tmp_path / "empty").mkdir()
    registry = Registry(config.load(store / "config.yaml"))
    promote(registry, "flights", 1)
    environment = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{store}/mlflow.db",
        "MLFLOW_MODEL_NAME": "flights",
        "MLFLOW_MODEL_STAGE": "Production",
    }
    with shop.started(["mlops", "serve"], tmp_path / "empty", tmp_path / "log", **environment) as service:
        service.until_ready()
        status, answer = service.post("/predict", {"inputs": [ROW]})
    assert status == 200 and answer["predictions"] == pytest.approx([ANSWERS[1]])


def test_a_service_takes_versions_with_other_code(store, tmp_path):
    """It follows the registry from version 1 to 2 and back, each with its own modules, and starts again from its cache."""
    text = carrying.CONFIG.format(store=store) + "serving: {poll_s: 0.3}\n"
    (tmp_path / "config.yaml").write_text(text)
    settings = config.load(tmp_path / "config.yaml")
    registry = Registry(settings)
    for versions in ((1, 2, 1), (1,)):
        promote(registry, "flights", versions[0])
        with shop.running(settings) as service:
            for version in versions:
                promote(registry, "flights", version)
                service.until(lambda v=version: service.get("/readyz")[1]["model"]["version"] == v)
                status, answer = service.post("/predict", {"inputs": [ROW]})
                assert status == 200 and answer["predictions"] == pytest.approx([ANSWERS[version]])
        assert "Traceback" not in service.log.read_text()
    assert not list((tmp_path / ".mlops").rglob("*.pyc"))


@pytest.mark.parametrize("version", [1, 2])
def test_mlflow_alone_loads_it(store, tmp_path, version):
    """`mlflow.pyfunc.load_model` in an empty folder, in a process that does not import the platform."""
    script = (
        "import json, sys, mlflow, pandas\n"
        "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        f"answers = model.predict(pandas.DataFrame([{ROW}]))\n"
        "assert not [name for name in sys.modules if name.startswith('mlops_lib')]\n"
        "print(json.dumps(answers.tolist()))"
    )
    done = carrying.python(script, tmp_path, artifacts(store, version))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])[0][1] == pytest.approx(ANSWERS[version])


def test_it_carries_what_it_imports_and_lists_the_distributions(store):
    """Modules that are imported, packages with their files; versions of the distributions of all classes in it."""
    folder = Path(artifacts(store, 1))
    files = [
        file for file in (folder / "code").rglob("*.*") if file.suffix != ".pyc"
    ]  # MLflow compiles on use
    carried = {file.relative_to(folder / "code").as_posix() for file in files}
    assert carried == set(carrying.MODULES) - {"unused.py"}
    lines = (folder / "requirements.txt").read_text().split()
    names = {line.partition("==")[0] for line in lines}
    assert {"mlflow", "numpy", "scikit-learn", "skops"} <= names and all("==" in line for line in lines)
    assert any(name.startswith("xgboost") for name in names)
    assert (
        f"python_version: {sys.version_info.major}.{sys.version_info.minor}"
        in (folder / "MLmodel").read_text()
    )
