"""The documentation's graph of one's own: trained, evaluated, registered and served, without a key."""

import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml

from mlops_lib import config, wrappers
from mlops_lib.registry import Registry
from tests.support.projects import ROOT
from tests.support.promoting import promote
from tests.support.waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project of the documentation after `mlops run`; returns its config file."""
    folder = tmp_path_factory.mktemp("shop")
    page = (ROOT / "docs/llm.md").read_text()
    code, settings, row = (
        re.search(rf"```{kind}\n(.*?)```", page[page.index("## Bring your own graph") :], re.DOTALL)[1]  # type: ignore[index]
        for kind in ("python", "yaml", "json")
    )
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    (folder / "my_agent.py").write_text(code)
    lines = [
        row.replace("tea", item).replace("3", price)
        for item, price in (("tea", "3"), ("coffee", "4"), ("juice", "5"))
    ]
    (folder / "golden.jsonl").write_text("".join(lines * 4))
    content = yaml.safe_load(settings) | {"pipeline": {"notebooks": str(ROOT / "notebooks")}}
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    done = subprocess.run(
        [sys.executable, "-c", "from mlops_lib.cli.app import main; main()", "run"],
        cwd=folder, env=environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "config.yaml"


def test_the_graph_is_registered_with_its_scores(shop: Path) -> None:
    """Every question reached the tool, and the calls are in the record of the run."""
    settings = config.load(shop)
    (version,) = Registry(settings).versions("shop")
    metrics = mlflow.get_run(version.run_id).data.metrics
    assert metrics["test.rouge_l"] == 1.0
    # Two calls a row; rows with the same question share them if one is answered before the other begins.
    assert metrics["test.llm.calls"] + metrics["test.llm.calls_reused"] == 24
    model = wrappers.load(f"models:/shop/{version.version}")
    assert model.predict("What is the price of item=coffee?") == "coffee costs 4 dollars"


def test_the_graph_is_served(shop: Path, tmp_path: Path) -> None:
    """The service answers rows and chats, in the process of the version, which has the graph's code alone."""
    settings = config.load(shop)
    promote(settings, "shop", 1)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, log = f"http://127.0.0.1:{port}", tmp_path / "service.log"
    command = [sys.executable, "-m", "uvicorn", "main:app", "--host", "127.0.0.1", "--port", str(port)]
    hidden = shop.with_name("my_agent.py").rename(tmp_path / "hidden.py")
    with log.open("w") as output:
        environment = os.environ | {"MLOPS_CONFIG": str(shop)}
        process = subprocess.Popen(
            command, cwd=ROOT / "serving", env=environment, stdout=output, stderr=output
        )
        try:
            until(lambda: _post(f"{url}/readyz", None) is not None, "the service is ready", log.read_text)
            question = "What is the price of item=juice?"
            answer = "juice costs 5 dollars"
            assert _post(f"{url}/invoke", {"inputs": {"question": question}})["predictions"] == answer
            chat = {"model": "shop", "messages": [{"role": "user", "content": question}]}
            found = _post(f"{url}/v1/chat/completions", chat)
            assert found["choices"][0]["message"]["content"] == answer
        finally:
            process.terminate()
            process.wait(60)
            hidden.rename(shop.with_name("my_agent.py"))


def _post(url: str, body: Any) -> Any:
    request = urllib.request.Request(
        url, body and json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request) as response:
        return json.load(response) or {}
