"""The service as it is deployed: `uvicorn main:app`, started in serving/, a process of its own."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from mlops_lib import loaders
from mlops_lib.registry import Registry
from tests.conftest import BIN, ROOT
from tests.support import shop as shop_module

pytestmark = pytest.mark.slow


@contextmanager
def service(project, **environment):
    """Start uvicorn on a free port for a project; gives a client and the process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = project.root / "service.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "main:app", "--host", "127.0.0.1", "--port", str(port)],
            cwd=ROOT / "serving", stdout=stream, stderr=stream,
            env={**os.environ, "MLOPS_CONFIG": str(project.config_file), **environment},
        )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client, process, log
    finally:
        process.terminate()
        process.wait(120)


def wait_for(client, process, path, status, seconds=120):
    """Poll until `path` answers with `status`; the answer."""
    deadline = time.monotonic() + seconds
    answer = None
    while time.monotonic() < deadline and process.poll() is None:
        try:
            answer = client.get(path)
            if answer.status_code == status:
                return answer
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(
        f"{path} never answered {status}; last {answer and answer.text}; exit {process.poll()}"
    )


def test_it_is_unready_without_a_model_and_becomes_ready_by_promotion(trained_copy):
    """Alive at once; 503 with the stages there are and how to promote; ready without a restart; ends cleanly."""
    project = trained_copy.project
    settings = project.settings()
    dataset = loaders.prepared(settings)
    row = dataset.load("test")[list(dataset.schema.features)].head(1).to_dict("records")[0]
    with service(project) as (client, process, log):
        wait_for(client, process, "/livez", 200)
        deadline = time.monotonic() + 180
        while "promote" not in (problem := wait_for(client, process, "/readyz", 503).json())["detail"]:
            assert time.monotonic() < deadline, problem
            time.sleep(0.1)
        assert "'Production'" in problem["detail"] and "Staging (1)" in problem["detail"]
        assert "mlops promote repurchase 1" in problem["detail"]
        refused = client.post("/predict", json={"inputs": row})
        assert refused.status_code == 503 and refused.json()["code"] and "promote" in refused.json()["detail"]
        assert client.get("/livez").status_code == 200
        assert project.mlops("promote", "repurchase", "1").returncode == 0
        wait_for(client, process, "/readyz", 200)
        answer = client.post("/predict", json={"inputs": row})
        assert answer.status_code == 200 and 0 < answer.json()["predictions"] < 1
        assert answer.json()["model"]["version"] == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) in (0, -signal.SIGTERM)
        assert "Traceback" not in log.read_text()


def test_the_environment_names_model_and_stage(trained_copy):
    """MLFLOW_MODEL_NAME and MLFLOW_MODEL_STAGE win over config.yaml; a name that is not there lists those that are."""
    with service(trained_copy.project, MLFLOW_MODEL_STAGE="Staging") as (client, process, _):
        assert wait_for(client, process, "/readyz", 200).json()["model"]["stage"] == "Staging"
    with service(trained_copy.project, MLFLOW_MODEL_NAME="nobody") as (client, process, _):
        deadline = time.monotonic() + 180
        while "'nobody'" not in (said := wait_for(client, process, "/readyz", 503).json()["detail"]):
            assert time.monotonic() < deadline, said
            time.sleep(0.1)
        assert "Models it has: repurchase" in said


@pytest.mark.parametrize(
    "command",
    [
        [str(BIN / "mlops"), "serve"],
        [str(BIN / "uvicorn"), "main:app", "--app-dir", str(ROOT / "serving")],
    ],
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


def test_a_bad_setting_stops_it_with_one_sentence(trained_copy):
    """Unlike a missing model, a mistyped setting will not mend itself: exit code and reason, no traceback."""
    project = trained_copy.project.configure(serving={"prot": 80})
    with service(project) as (_, process, log):
        assert process.wait(120) != 0
        assert "The service cannot start" in log.read_text() and "'serving.prot'" in log.read_text()
        assert "Traceback" not in log.read_text()


def test_a_model_whose_files_are_gone_is_told_and_tried_again(trained_copy, tmp_path):
    """The registry has the version, the store has lost it: unready, with the address; ready when it is back."""
    project = trained_copy.project
    store = Registry(project.settings())
    store.promote("repurchase", 1, "Production")
    source = Path(store._client.get_model_version_download_uri("repurchase", "1").removeprefix("file://"))
    aside = tmp_path / "aside"
    shutil.move(source, aside)
    try:
        with service(project) as (client, process, _):
            deadline = time.monotonic() + 180
            while "models:/repurchase/1" not in (
                said := wait_for(client, process, "/readyz", 503).json()["detail"]
            ):
                assert time.monotonic() < deadline, said
                time.sleep(0.1)
            shutil.move(aside, source)
            wait_for(client, process, "/readyz", 200)
    finally:
        if aside.exists():
            shutil.move(aside, source)


OWN_MODULES = {
    "features.py": """
from mlops_lib.wrappers.lightning import PytorchLightningWrapper
from models import NAME

class Own(PytorchLightningWrapper):
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
    Registry(settings).promote("shop", version.version, "Production")
    file = settings.root / "config.yaml"
    file.write_text(file.read_text().replace("wrapper: lightning", "wrapper: features:Own"))
    with shop_module.running(settings, "--workers", workers) as running:
        status, answer = running.post("/predict", shop_module.ROW)
        assert (status, answer["model"]["version"]) == (200, version.version)
        loaded = f"champion is now {{'name': 'shop', 'version': {version.version}"
        running.until(lambda: running.log.read_text().count(loaded) == int(workers))
