"""The service and the registry: moves are followed under load, and a registry that is away stops nothing."""

import asyncio
import os
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path

import httpx
import mlflow
import psutil
import pytest

from mlops_lib.errors import RegistryError
from mlops_lib.registry import MODEL_DIGEST_TAG, ModelVersion, Registry, model_digest
from serving.models import registry_query
from serving.models.cache import ModelCache
from serving.models.registry_query import RegistryQuery
from serving.web.api_keys import make
from tests.support.promoting import promote
from tests.support.proxy import Proxy
from tests.support.servers import mlflow_server
from tests.support.shop import ROOT, ROW, add_pyfunc, add_version, answers, copy, free_port, running
from tests.support.waiting import LIMIT_S

pytestmark = pytest.mark.slow


async def load(url: str, stop: asyncio.Event, concurrency: int) -> list[tuple[int, int, float]]:
    """Ask, all clients at once and again after a pause, until told to stop.

    Returns (status, version, prediction) of each answer; the error, for a lost connection.
    """
    seen: list[tuple[int, int, float]] = []

    async def client() -> None:
        # To read certificates, which nobody asks for here, takes longer than many requests.
        async with httpx.AsyncClient(timeout=LIMIT_S, verify=False) as http:
            while not stop.is_set():
                await asyncio.sleep(0.3)
                try:
                    answer = await http.post(f"{url}/predict", json=ROW)
                except httpx.TransportError as error:
                    seen.append((repr(error), 0, 0.0))
                    continue
                said = answer.json()
                version = said["model"]["version"] if answer.status_code == 200 else 0
                seen.append((answer.status_code, version, said.get("predictions", 0.0)))

    await asyncio.gather(*(client() for _ in range(concurrency)))
    return seen


def test_ten_moves_of_the_stage_under_load_fail_no_request(shop, tmp_path):
    """Concurrency 64, ten moves between three versions, of which one runs in a thread and the others on the event loop:
    every answer is 200 and from the version that it names, and versions that are gone leave neither thread nor memory."""
    settings = copy(shop, tmp_path / "project")
    add_version(
        settings,
        seed=0,
        wrapper="sklearn",
        implementation="sklearn.linear_model:LogisticRegression",
        params={},
    )
    expected = {version: answers(settings, version) for version in (1, 2, 3)}
    assert len({round(each, 3) for each in expected.values()}) == 3, (
        "versions that answer alike prove nothing"
    )
    registry = Registry(settings)

    async def soak(service):
        stop = asyncio.Event()
        asking = asyncio.create_task(load(service.url, stop, 64))
        process = psutil.Process(service.process.pid)
        for move in range(10):
            version = (2, 3, 1)[move % 3]
            await asyncio.to_thread(promote, registry, "shop", version)
            served = lambda v=version: service.get("/readyz")[1]["model"]["version"] == v
            await asyncio.to_thread(service.until, served)
            rss.append(process.memory_info().rss)
        stop.set()
        return await asking

    rss: list[int] = []
    with running(settings) as service:
        seen = asyncio.run(soak(service))
        threads = len(os.listdir(f"/proc/{service.process.pid}/task"))
    assert {status for status, _, _ in seen} == {200}
    assert {version for _, version, _ in seen} == {1, 2, 3} and len(seen) > 200
    assert all(said == pytest.approx(expected[version], abs=1e-6) for _, version, said in seen)
    assert threads < 40, "swapped versions leave their threads behind"
    assert min(rss[-3:]) < 1.25 * max(rss[:4]), "swapped versions leave their memory behind"


def test_a_version_that_cannot_be_served_is_refused_and_the_old_one_goes_on(shop, tmp_path):
    """Broken files: /model/reload says 409 with the reason, /status too, and version 1 answers; then 2 is taken."""
    keys = tmp_path / "keys.yaml"
    key, line = make("ops", admin=True)
    keys.write_text(line)
    settings = copy(shop, tmp_path / "project", poll_s=60.0, api_keys=str(keys))
    admin = {"Authorization": f"Bearer {key}"}
    broken = add_version(settings, seed=5)
    registry = Registry(settings)
    source = registry._client.get_model_version_download_uri("shop", str(broken.version))
    for file in Path(source.removeprefix("file://")).rglob("*.npz"):
        file.write_bytes(b"not a model")
    registry.describe(broken, {MODEL_DIGEST_TAG: model_digest(Path(source.removeprefix("file://")))})
    with running(settings) as service:
        promote(registry, "shop", broken.version)
        status, problem = service.post("/model/reload", {}, **admin)
        assert (status, problem["code"]) == (409, "version_refused") and f"{broken.version}" in problem[
            "detail"
        ]
        assert service.post("/predict", ROW, **admin)[1]["model"]["version"] == 1
        assert service.get("/status", **admin)[1]["refused"]["champion"]["version"] == broken.version
        promote(registry, "shop", 2)
        status, moved = service.post("/model/reload", {}, **admin)
        assert status == 200 and moved["champion"]["version"] == 2 and not moved["refused"]
        assert service.post("/predict", ROW, **admin)[1]["model"]["version"] == 2
        assert service.post("/model/reload", {})[0] == 401


def test_a_pinned_version_stays(shop, tmp_path):
    """MLFLOW_MODEL_VERSION wins over the stage: that moves, the service looks, stays, and says what it wants and why."""
    keys = tmp_path / "keys.yaml"
    key, line = make("ops", admin=True)
    keys.write_text(line)
    settings = copy(shop, tmp_path / "project", api_keys=str(keys))
    admin = {"Authorization": f"Bearer {key}"}
    expected = answers(settings, 1)
    with running(settings, MLFLOW_MODEL_VERSION="1") as service:
        assert service.get("/status", **admin)[1]["champion"]["stage"] == "Production"
        promote(settings, "shop", 2)
        status, said = service.post("/model/reload", {}, **admin)
        assert status == 200 and said["wanted"] == "version 1" and not said["refused"]
        # Archived: it has asked the registry since, and knows that its version is no longer the stage's.
        assert (said["champion"]["version"], said["champion"]["stage"]) == (1, "Archived")
        assert 'mlops_serving_reloads_total{outcome="loaded"} 1.0' in service.get("/metrics")[1].decode()
        answer = service.post("/predict", ROW, **admin)[1]
        assert answer["model"]["version"] == 1 and answer["predictions"] == pytest.approx(expected, abs=1e-6)
        assert service.get("/readyz")[1]["model"]["version"] == 1


@pytest.fixture(scope="module")
def remote(shop, tmp_path_factory):
    """Settings of a copy of the registry, and the port of a real MLflow server over it, through which all files go."""
    settings = copy(shop, tmp_path_factory.mktemp("remote") / "project")
    store = f"sqlite:///{settings.root}/mlflow.db"
    with mlflow_server(store, f"{settings.root}/uploaded", proxy=True) as address:
        yield settings, int(address.rpartition(":")[2])


@pytest.fixture
def served_once(shop, tmp_path):
    """Settings of a copy of the registry, with the cache of a service that served version 1 in it."""
    settings = copy(shop, tmp_path / "project")
    cache = ModelCache(settings.path(settings.serving.cache))
    cache.mark_good("stage Production", cache.fetch(Registry(settings).at_stage("shop", "Production")))
    return settings


def test_a_registry_that_dies_during_and_before_the_start_stops_nothing(remote):
    """Gone while serving: answers go on, `stale`. Started without it: the last good version, `stale`, same answer."""
    settings, port = remote
    expected = answers(settings, 1)
    own = free_port()
    environment = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{own}", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    with Proxy(port, own) as registry, running(settings, **environment) as service:
        service.until(lambda: service.get("/readyz")[1]["stale"] is False)
        registry.close()
        service.until(lambda: service.get("/readyz")[1]["stale"])
        assert service.post("/predict", ROW)[1]["predictions"] == pytest.approx(expected, abs=1e-6)
    with running(settings, **environment) as service:
        said = service.get("/readyz")[1]
        assert said["stale"] is True and said["model"]["version"] == 1
        assert service.post("/predict", ROW)[1]["predictions"] == pytest.approx(expected, abs=1e-6)
        with Proxy(port, own):
            service.until(lambda: service.get("/readyz")[1]["stale"] is False)


def test_a_registry_that_never_answers_holds_up_no_start(served_once):
    """It takes connections and says nothing: the last good version is served, `stale`, and SIGTERM is not held up."""
    settings, expected = served_once, answers(served_once, 1)
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(50)
        uri = f"http://127.0.0.1:{hole.getsockname()[1]}"
        with running(settings, MLFLOW_TRACKING_URI=uri) as service:  # ready long before MLflow gives up
            assert service.get("/readyz")[1]["stale"] is True
            assert service.post("/predict", ROW)[1]["predictions"] == pytest.approx(expected, abs=1e-6)
            assert "has not answered within" in service.get("/status")[1]["problem"]


def test_a_reload_takes_no_answer_from_before(project, monkeypatch):
    """A registry that answered late said how things were then; whoever asks now is told how they are now."""
    versions, answers_now = iter(["before", "now"]), threading.Event()

    def resolve():
        if (version := next(versions)) == "before":
            answers_now.wait(LIMIT_S)
        return {"champion": version}

    async def asked():
        query = RegistryQuery(project.settings())
        monkeypatch.setattr(query, "_resolve", resolve)
        monkeypatch.setattr(registry_query, "REGISTRY_TIMEOUT_S", 0.1)
        for anew in (False, True):
            with pytest.raises(RegistryError, match="has not answered within"):
                await query(anew)
        monkeypatch.setattr(registry_query, "REGISTRY_TIMEOUT_S", LIMIT_S)
        answers_now.set()
        return await query(anew=True)

    assert asyncio.run(asked()) == {"champion": "now"}


def test_files_that_were_changed_on_disk_are_not_served(served_once):
    """Without a registry: unready, naming the folder; with one: downloaded again and served."""
    settings = served_once
    (kept,) = (settings.root / "cache" / "shop").glob("1-*/MLmodel")
    kept.write_text(kept.read_text() + "\n")
    away = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    with running(settings, ready=False, **away) as service:
        detail = service.until(
            lambda: "have changed since" in (d := service.get("/readyz")[1]["detail"]) and d
        )
        assert str(kept.parent) in detail
    with running(settings) as service:
        assert service.post("/predict", ROW)[0] == 200 and service.get("/readyz")[1]["stale"] is False


def test_a_download_through_the_registrys_server_leaves_nothing_behind(remote, tmp_path, monkeypatch):
    """A model whose files come over HTTP is on disk once, in the cache."""
    settings, port = remote
    address = f"http://127.0.0.1:{port}"
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    mlflow_settings = settings.mlflow.model_copy(update={"tracking_uri": address})
    Registry(settings.model_copy(update={"mlflow": mlflow_settings}))
    with mlflow.start_run():
        mlflow.pyfunc.log_model(
            name="model",
            python_model=str(ROOT / "tests/support/naughty.py"),
            pip_requirements=[],
            registered_model_name="uploaded",
        )
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("TMPDIR", str(temporary))
    folder = ModelCache(tmp_path / "cache").fetch(ModelVersion("uploaded", 1, "None", "r"))
    assert (folder / "MLmodel").is_file() and folder.parent == tmp_path / "cache" / "uploaded"
    assert not list(temporary.iterdir()) and not list(folder.parent.glob(".*"))


def test_sigterm_under_load_loses_no_accepted_request(shop, tmp_path):
    """Unready first, then gone with exit code 0; calls that outlast `drain_s` are answered, and no connection breaks."""
    settings = copy(shop, tmp_path / "project", drain_s=10.0)
    add_pyfunc(settings, "naughty")
    asked: list[dict[str, float | int | str]] = []

    async def client(service) -> None:
        """Asks what takes 1.5 s, each time on a connection of its own, until it is sent elsewhere."""
        while True:
            each: dict[str, float | int | str] = {"began": time.monotonic()}
            asked.append(each)
            try:
                async with httpx.AsyncClient(timeout=LIMIT_S, verify=False) as http:
                    answer = await http.post(f"{service.url}/predict", json={"x": 5})
                each["said"] = answer.json().get("code", answer.status_code)
            except httpx.TransportError as error:
                each["said"] = type(error).__name__
            each["ended"] = time.monotonic()
            if each["said"] != 200:
                return

    async def scenario(service):
        asking = asyncio.gather(*(client(service) for _ in range(16)))
        async with asyncio.timeout(LIMIT_S):
            while len(asked) < 32:  # each has had an answer
                await asyncio.sleep(0.1)
        service.process.send_signal(signal.SIGTERM)
        told = time.monotonic()
        unready = await asyncio.to_thread(service.get, "/readyz")
        await asyncio.to_thread(service.process.wait, LIMIT_S)
        await asking
        return told, unready

    with running(settings, MLFLOW_MODEL_NAME="naughty") as service:
        told, unready = asyncio.run(scenario(service))
        assert unready[0] == 503 and unready[1]["code"] == "draining"
        assert service.process.returncode in (0, -signal.SIGTERM)
        assert "Traceback" not in service.log.read_text()
    assert {each["said"] for each in asked if each["began"] < told} == {200}
    # A connection that waits to be accepted when the socket is closed is reset.
    later = {each["said"] for each in asked if each["began"] > told}
    assert later <= {200, "draining", "ConnectError", "ReadError"}
    under_way = [each["said"] for each in asked if each["began"] < told < each["ended"]]
    assert len(under_way) == 16 and set(under_way) == {200}
