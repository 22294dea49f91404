"""Several workers of one service, as real processes."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
import pytest

from mlops_lib import processes as process_names
from mlops_lib.processes import started
from mlops_lib.registry import Registry
from serving.operations.workers import State, Workers
from tests.support.shop import ROOT, ROW, Service, add_pyfunc, copy, free_port, running
from tests.support.waiting import LIMIT_S, until


class Asked(NamedTuple):
    """One request: when it began, and its status or the error of the connection."""

    began: float
    outcome: int | str


@contextmanager
def clients(service: Service, path: str, body: object = None, number: int = 1):
    """Send requests from `number` threads, each over a new connection, for as long as the block runs."""
    asked: list[Asked] = []
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(0.05):
            began = time.monotonic()
            try:
                outcome = (service.post(path, body) if body else service.get(path))[0]
            except OSError as error:
                outcome = repr(error)
            asked.append(Asked(began, outcome))

    threads = [threading.Thread(target=send) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield asked
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def workers_of(service: Service) -> list[psutil.Process]:
    """The worker processes; uvicorn starts a helper of multiprocessing's beside them."""
    children = psutil.Process(service.process.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def below(pid: int) -> list[psutil.Process]:
    """The processes that a process started, and theirs."""
    return psutil.Process(pid).children(recursive=True)


def ended(processes: list[psutil.Process]) -> bool:
    """Whether none of these runs any longer."""
    return not psutil.wait_procs(processes, timeout=0)[1]


def metrics(service: Service) -> list[str]:
    """The lines of /metrics."""
    return service.get("/metrics")[1].decode().splitlines()


def processes(service: Service) -> set[int]:
    """Process ids that gauges of /metrics name."""
    return {int(line.split('pid="')[1].split('"')[0]) for line in metrics(service) if 'pid="' in line}


def answered(service: Service) -> float:
    """How many predictions /metrics has counted."""
    wanted = 'mlops_serving_requests_total{route="/predict",status="200"}'
    return sum(float(line.split()[-1]) for line in metrics(service) if line.startswith(wanted))


@pytest.mark.slow
def test_no_request_reaches_a_worker_that_still_loads(shop, tmp_path):
    """One worker loads for 5 s longer, at the start and after a kill -9: once ready, every request is answered.

    Only requests under way when the worker was killed may break. Its model processes end, and the other worker has its
    own. Its gauges leave /metrics; its counters stay.
    """
    settings = copy(shop, tmp_path / "project")
    add_pyfunc(settings, "slow_start")
    first = tmp_path / "first"
    environment = {"MLFLOW_MODEL_NAME": "slow_start", "SLOW_START_FILE": str(first)}
    with (
        running(settings, "--workers", "2", ready=False, **environment) as service,
        clients(service, "/predict", {"x": 1.5}, number=4) as predictions,
        clients(service, "/readyz") as probes,
    ):
        service.until_ready()
        ready_at = time.monotonic()
        assert service.log.read_text().count("champion is now") == 2, "ready before both workers were"
        service.until(lambda: processes(service) >= {worker.pid for worker in workers_of(service)})
        before = answered(service)
        killed, other = workers_of(service)
        service.until(lambda: len(below(killed.pid)) == len(below(other.pid)) == 2)  # template and model
        lost = below(killed.pid)
        killed_at = time.monotonic()
        killed.kill()
        service.until(lambda: not started(killed.pid))
        dead_at = time.monotonic()
        until(lambda: ended(lost), "the processes of the killed worker have ended")
        service.until(lambda: killed.pid not in processes(service))
        service.until(lambda: service.log.read_text().count("champion is now") == 3)
        service.until(lambda: processes(service) == {worker.pid for worker in workers_of(service)})
        assert len(workers_of(service)) == 2 and answered(service) >= before
        restarted_at = time.monotonic()
        service.until(lambda: sum(each.began > restarted_at for each in predictions) > 100)
    later = [each for each in predictions + probes if each.began > ready_at]
    failed = [each for each in later if each.outcome != 200]
    under_way = [each for each in failed if each.began < dead_at]
    assert failed == under_way and len(under_way) <= 5, "only what the killed worker was doing may fail"
    assert 503 not in {each.outcome for each in failed}
    assert sum(dead_at < each.began < restarted_at for each in predictions) > 100, "nobody answered meanwhile"
    assert killed_at < dead_at < restarted_at


@pytest.mark.slow
def test_workers_without_a_model_are_live_and_become_ready_together(shop, tmp_path):
    """No model at the stage: /livez 200, /readyz 503 with the reason. After a promotion: no 503 once ready."""
    settings = copy(shop, tmp_path / "project")
    with running(settings, "--workers", "2", ready=False, MLFLOW_MODEL_STAGE="Staging") as service:
        service.until(lambda: "No model" in service.get("/readyz")[1]["detail"])
        assert {service.get("/livez")[0] for _ in range(20)} == {200}
        assert {service.get("/readyz")[1]["code"] for _ in range(20)} == {"model_not_ready"}
        Registry(settings).promote("shop", 2, "Staging")
        service.until_ready()
        assert {service.post("/predict", ROW)[0] for _ in range(40)} == {200}


@pytest.mark.slow
def test_several_workers_serve_and_count_together(shop, tmp_path):
    """`mlops serve --workers 2`: both answer, /metrics adds them up, SIGTERM ends them all; no folder is left in temp."""
    settings = copy(shop, tmp_path / "project")
    temp = tmp_path / "temp"
    crashed, other = temp / "mlops-serving-workers-1-0", temp / "mlops-serving-workers-of-somebody"
    running_ = temp / f"mlops-serving-workers-{os.getpid()}-{started(os.getpid())}"
    for folder in (crashed, other, running_):
        folder.mkdir(parents=True)
    port, log = free_port(), tmp_path / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "mlops"), "serve", "--workers", "2", "--port", str(port),
             "--config", str(settings.root / "config.yaml")],
            cwd=ROOT, stdout=stream, stderr=stream, env={**os.environ, "TMPDIR": str(temp)},
        )  # fmt: skip
    service = Service(f"http://127.0.0.1:{port}", process, log)
    try:
        service.until_ready()
        assert log.read_text().count("champion is now") == 2, "ready before both workers were"
        assert all(service.post("/predict", ROW)[0] == 200 for _ in range(40))
        assert "server" not in httpx.get(f"{service.url}/livez", timeout=LIMIT_S).headers
        assert [answered(service) for _ in range(8)] == [40.0] * 8
        own = temp / f"mlops-serving-workers-{process.pid}-{started(process.pid)}"
        assert own.is_dir() and running_.is_dir() and not crashed.exists()
    finally:
        process.terminate()
        assert process.wait(LIMIT_S) is not None
    with pytest.raises(OSError):
        service.get("/livez")
    assert set(temp.glob("mlops-serving-workers-*")) == {other, running_}


def test_a_worker_sees_the_others_that_run(tmp_path):
    """States of live workers by process id; records of dead ones are removed, and the last one removes the folder."""
    folder = tmp_path / "workers"
    workers = Workers(folder)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        record = folder / f"worker-{other.pid}-{started(other.pid)}"
        record.write_text(State.UNREADY)
        (folder / f"worker-{other.pid}-1").write_text(
            State.READY
        )  # the process id was another process's before
        assert workers.others() == {other.pid: State.UNREADY} and workers.unready() == 1
        assert workers.remove_dead() == [other.pid] and record.exists()
        workers.leave()
        assert folder.exists()
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert workers.others() == {}
    workers.leave()
    assert not folder.exists()


def test_a_worker_that_died_is_noticed_without_proc(tmp_path, monkeypatch):
    """On a system that has no /proc, a killed worker neither keeps the service unready nor counts as ready."""
    monkeypatch.setattr(process_names, "_stat", lambda pid: [])
    workers = Workers(tmp_path / "workers")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        (tmp_path / "workers" / f"worker-{other.pid}-").write_text(State.UNREADY)
        assert workers.unready() == 1
        other.kill()
        other.wait()
    assert workers.others() == {} and workers.unready() == 0
    assert workers.remove_dead() == [other.pid]
