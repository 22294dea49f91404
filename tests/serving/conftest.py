"""The registry with two versions of a small model, made once."""

import os
import shutil
import subprocess

import pytest

from mlops_lib import config
from tests.support import gallery, model_process
from tests.support import shop as shop_module
from tests.support.shared import made_once


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """Settings of a folder whose registry has `shop` 1 (Production) and 2; copy it before moving stages."""
    return config.load(made_once(tmp_path_factory, "shop", shop_module.make) / "config.yaml")


@pytest.fixture(scope="session")
def shop_service(shop, tmp_path_factory):
    """The service on `shop` 1 with a prediction log and nothing else changed."""
    folder = tmp_path_factory.mktemp("service")
    settings = shop_module.copy(shop, folder / "project", poll_s=60.0, prediction_log=str(folder / "log"))
    with shop_module.running(settings) as service:
        yield service


@pytest.fixture(scope="session")
def gallery_project(tmp_path_factory):
    """Settings of a project whose model takes pictures; services may run in it, and nothing else is changed."""
    return config.load(made_once(tmp_path_factory, "gallery", gallery.make) / "config.yaml")


@pytest.fixture(scope="session")
def chromium():
    """Debian's Chromium and a font with Korean, installed when they are not here."""
    has_korean = shutil.which("fc-list") and subprocess.check_output(["fc-list", ":lang=ko", "family"])
    if not (found := shutil.which("chromium")) or not has_korean:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-y", "-qq", "chromium", "fontconfig", "fonts-nanum"]
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(install, check=True, env=environment)
        found = shutil.which("chromium")
    assert found, "no chromium here, and Debian's package did not bring it"
    return found


@pytest.fixture(scope="module")
def browser(chromium):
    """Chromium; of the module, because its event loop would be in the way of asyncio.run."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        found = play.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


@pytest.fixture(scope="session")
def naughty(shop, tmp_path_factory):
    """The service on a model that raises, hangs, exits or miscounts on request, with tight limits."""
    settings = shop_module.copy(
        shop, tmp_path_factory.mktemp("naughty") / "project",
        poll_s=60.0, predict_timeout_s=2.0, request_timeout_s=12.0, queue_rows=8, body_bytes=20_000, challenger="",
    )  # fmt: skip
    shop_module.add_pyfunc(settings, "naughty")
    with shop_module.running(settings, MLFLOW_MODEL_NAME="naughty") as service:
        yield service


@pytest.fixture(scope="session")
def obedient(tmp_path_factory):
    """Files of a model from code that evaluates its rows."""
    return model_process.make_pyfunc(tmp_path_factory.mktemp("obedient"))


@pytest.fixture(scope="session")
def graph(tmp_path_factory):
    """Files of a graph that evaluates its questions."""
    return model_process.make_graph(tmp_path_factory.mktemp("graph"))
