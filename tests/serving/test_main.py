"""The service as it is deployed: `uvicorn main:app`, started in serving/, a process of its own."""

import shutil
import signal
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from mlops_lib import loaders
from mlops_lib.registry import Registry
from tests.conftest import BIN, ROOT
from tests.support import shop as shop_module
from tests.support.promoting import promote
from tests.support.shop import running
from tests.support.waiting import LIMIT_S

pytestmark = pytest.mark.slow


def unready(service, words):
    """Wait until /readyz is 503 with these words in its detail, and return the detail."""

    def detail():
        status, problem = service.get("/readyz")
        return problem["detail"] if status == 503 and words in problem["detail"] else ""

    return service.until(detail)


def test_it_is_unready_without_a_model_and_becomes_ready_by_promotion(trained_copy):
    """Alive at once; 503 with the stages there are and how to promote; ready without a restart; ends cleanly."""
    project = trained_copy.project
    settings = project.settings()
    dataset = loaders.prepared(settings)
    row = dataset.load("test")[list(dataset.schema.features)].head(1).to_dict("records")[0]
    with running(settings, ready=False) as service:
        detail = unready(service, "promote")
        assert "'Production'" in detail and "Staging (1)" in detail and "mlops promote repurchase 1" in detail
        status, refused = service.post("/predict", {"inputs": row})
        assert status == 503 and refused["code"] and "promote" in refused["detail"]
        assert service.get("/livez")[0] == 200
        assert project.mlops("promote", "repurchase", "1").returncode == 0
        service.until_ready()
        status, answer = service.post("/predict", {"inputs": row})
        assert status == 200 and 0 < answer["predictions"] < 1 and answer["model"]["version"] == 1
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(LIMIT_S) in (0, -signal.SIGTERM)
        assert "Traceback" not in service.log.read_text()


def test_the_environment_names_model_and_stage(trained_copy):
    """MLFLOW_MODEL_NAME and MLFLOW_MODEL_STAGE win over config.yaml; a name that is not there lists those that are."""
    settings = trained_copy.project.settings()
    with running(settings, MLFLOW_MODEL_STAGE="Staging") as service:
        assert service.get("/readyz")[1]["model"]["stage"] == "Staging"
    with running(settings, ready=False, MLFLOW_MODEL_NAME="nobody") as service:
        assert "Models it has: repurchase" in unready(service, "'nobody'")


@pytest.mark.parametrize(
    "command",
    [
        [str(BIN / "mlops"), "serve"],
        [str(BIN / "uvicorn"), "main:app", "--app-dir", str(ROOT / "serving")],
    ],
    ids=["mlops serve", "uvicorn"],
)
def test_environment_variables_are_enough(shop, tmp_path, command):
    """In a folder without config.yaml, the names of registry, model and stage start the service."""
    (tmp_path / "empty").mkdir()
    environment = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{shop.root}/mlflow.db",
        "MLFLOW_MODEL_NAME": "shop",
        "MLFLOW_MODEL_STAGE": "Production",
    }
    with shop_module.started(command, tmp_path / "empty", tmp_path / "log", **environment) as service:
        service.until_ready()
        status, answer = service.post("/predict", shop_module.ROW)
    assert (status, answer["model"]["name"], answer["model"]["version"]) == (200, "shop", 1)


def test_one_line_serves_a_model_of_any_name(shop, tmp_path):
    """Without a config file, with spaces, Korean letters and %: on every path, and from the cache without the registry."""
    name = "내 모델 50% #1"
    settings = shop_module.copy(shop, tmp_path / "registry")
    registry = Registry(settings)
    registry.register(name, registry.resolve("shop", version=1).run_id, {})
    registry._client.set_registered_model_alias(name, "champion", "1")
    (tmp_path / "empty").mkdir()
    database = settings.root / "mlflow.db"
    environment = {"MLFLOW_TRACKING_URI": f"sqlite:///{database}"}
    for _ in ("with the registry", "from the cache"):
        command = ["mlops", "serve", f"models:/{name}@champion"]
        with shop_module.started(command, tmp_path / "empty", tmp_path / "log", **environment) as service:
            service.until_ready()
            status, answer = service.post("/predict", shop_module.ROW)
            assert (status, answer["model"]["name"], answer["model"]["version"]) == (200, name, 1)
            for path in (f"/v2/models/{quote(name)}", f"/v2/models/{quote(name)}/versions/1/ready"):
                assert service.get(path)[1]["name"] == name
            tensors = [
                {
                    "name": column,
                    "shape": [1],
                    "datatype": "INT64" if column == "frequency" else "FP64",
                    "data": [value],
                }
                for column, value in shop_module.ROW.items()
            ]
            status, answer = service.post(f"/v2/models/{quote(name)}/infer", {"inputs": tensors})
            assert status == 200 and answer["model_name"] == name, answer
            assert service.post("/invocations", {"inputs": shop_module.ROW})[0] == 200
        database.write_bytes(b"no database")


def test_a_bad_setting_stops_it_with_one_sentence(trained_copy):
    """Unlike a missing model, a mistyped setting will not mend itself: exit code and reason, no traceback."""
    settings = trained_copy.project.settings()
    trained_copy.project.configure(serving={"prot": 80})
    with running(settings, ready=False) as service:
        assert service.process.wait(LIMIT_S) != 0
    said = service.log.read_text()
    assert "The service cannot start" in said and "'serving.prot'" in said and "Traceback" not in said


def test_a_model_whose_files_are_gone_is_told_and_tried_again(trained_copy, tmp_path):
    """The registry has the version, the store has lost it: unready, with the address; ready when it is back."""
    settings = trained_copy.project.settings()
    store = Registry(settings)
    promote(store, "repurchase", 1)
    source = Path(store._client.get_model_version_download_uri("repurchase", "1").removeprefix("file://"))
    aside = tmp_path / "aside"
    shutil.move(source, aside)
    try:
        with running(settings, ready=False) as service:
            unready(service, "models:/repurchase/1")
            shutil.move(aside, source)
            service.until_ready()
    finally:
        if aside.exists():
            shutil.move(aside, source)


OWN_MODULES = {
    "features.py": """
from mlops_lib.wrappers.sklearn import SklearnWrapper
from models import NAME

class Own(SklearnWrapper):
    name = NAME
""",
    "models.py": "NAME = 'features:Own'\n",
}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_users_modules_may_have_the_names_of_the_services_folders(shop, tmp_path, monkeypatch, workers):
    """A wrapper in the project's own features.py, which imports its models.py, is served from serving/."""
    settings = shop_module.copy(shop, tmp_path / "project")
    for name, text in OWN_MODULES.items():
        (settings.root / name).write_text(text)
        monkeypatch.delitem(sys.modules, name.removesuffix(".py"), raising=False)
    monkeypatch.syspath_prepend(settings.root)
    version = shop_module.add_version(settings, 2, wrapper="features:Own")
    for name in OWN_MODULES:
        monkeypatch.delitem(sys.modules, name.removesuffix(".py"))
    promote(settings, "shop", version.version)
    file = settings.root / "config.yaml"
    file.write_text(file.read_text().replace("wrapper: sklearn", "wrapper: features:Own"))
    with running(settings, "--workers", workers) as service:
        status, answer = service.post("/predict", shop_module.ROW)
        assert (status, answer["model"]["version"]) == (200, version.version)
        loaded = f"champion is now {{'name': 'shop', 'version': {version.version}"
        service.until(lambda: service.log.read_text().count(loaded) == int(workers))
