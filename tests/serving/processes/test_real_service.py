"""Model processes of the service as it is deployed: started, followed, and ended with it."""

import json
import os
import signal
import sys

import pytest

from tests.serving.operations.test_workers import below, ended
from tests.support.promoting import promote
from tests.support.shop import ROOT, add_pyfunc, add_version, copy, running, started
from tests.support.waiting import LIMIT_S, until

pytestmark = pytest.mark.slow
#: uvicorn, in a process that writes the names of its modules to a file when it ends.
RECORDED = """
import atexit, json, signal, sys
import uvicorn
from pathlib import Path
port = int(sys.argv[sys.argv.index("--port") + 1])
server = uvicorn.Server(uvicorn.Config("serving.main:app", port=port))
atexit.register(lambda: Path("modules.json").write_text(json.dumps(sorted(sys.modules))))
signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # uvicorn raises it again when it has ended
server.run()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_service_ends(shop, tmp_path, number):
    """SIGTERM and SIGKILL: template and model process end too, also with a call that hangs."""
    settings = copy(shop, tmp_path / "project", drain_s=0.0, challenger="")
    add_pyfunc(settings, "naughty")
    with running(settings, fresh=True, MLFLOW_MODEL_NAME="naughty") as service:
        assert service.post("/predict", {"x": 1})[1]["predictions"] == 1
        processes = below(service.process.pid)
        assert len(processes) == 2, "the template, and the model"
        service.process.send_signal(number)
        service.process.wait(LIMIT_S)
        until(lambda: ended(processes), "template and model process have ended")


def test_the_gateway_imports_no_code_of_a_model(shop, tmp_path):
    """A scikit-learn model and a pyfunc, loaded, called, replaced: neither scikit-learn nor torch nor the model's own module
    was ever imported by the service."""
    settings = copy(shop, tmp_path / "project", challenger="")
    add_version(
        settings,
        seed=0,
        wrapper="sklearn",
        implementation="sklearn.linear_model:LogisticRegression",
        params={},
    )
    promote(settings, "shop", 3)
    environment = {"MLOPS_CONFIG": str(settings.root / "config.yaml"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", RECORDED]
    with started(command, tmp_path, tmp_path / "log", **environment) as service:
        service.until_ready()
        row = {"frequency": 3, "recency": 2.5, "amount": 7.25}
        assert 0 < service.post("/predict", row)[1]["predictions"] < 1
        (model,) = [p for p in below(service.process.pid) if not p.children()]
        os.kill(model.pid, signal.SIGKILL)
        assert service.until(lambda: service.post("/predict", row)[0] == 200)
        lines = service.get("/metrics")[1].decode().splitlines()
        assert 'mlops_serving_model_crashes_total{version="3"} 1.0' in lines
        assert 'mlops_serving_model_up{role="champion",version="3"} 1.0' in lines
    modules = set(json.loads((tmp_path / "modules.json").read_text()))
    assert "serving.processes.supervisor" in modules
    assert not modules & {
        "torch",
        "sklearn",
        "skops",
        "xgboost",
        "langgraph",
        "mlflow.pyfunc",
        "mlflow.sklearn",
    }
