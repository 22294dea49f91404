"""Small real models in an embedded registry, and the service started on them as a process."""

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from mlops_lib import config, loaders, tracking, wrappers
from mlops_lib.registry import ModelVersion, Registry
from mlops_lib.settings import Settings
from tests.support import warm
from tests.support.promoting import promote
from tests.support.servers import free_port
from tests.support.waiting import LIMIT_S, until

ROOT = Path(__file__).parents[2]
FEATURES = ("frequency", "recency", "amount")
ROW = {"frequency": 3, "recency": 2.5, "amount": 7.25}
CONFIG = """
mlflow: {tracking_uri: "sqlite:///mlflow.db", experiment: serving}
data: {source: rows.parquet, label: bought, key: user_id}
model:
  name: shop
  wrapper: sklearn
  implementation: auto
evaluation: {threshold: 0.0}
serving:
  {poll_s: 0.3, retry_s: 0.3, drain_s: 0.5, cache: cache, load_timeout_s: 600.0, predict_timeout_s: 300.0, request_timeout_s: 400.0}
"""


def make(folder: Path) -> Settings:
    """A folder with config.yaml, data, and a registry that has versions 1 (Production) and 2 of `shop`."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({name: rng.random(200) * 10 for name in FEATURES})
    rows["frequency"] = rows["frequency"].astype(int)
    rows["amount"] = rows["amount"].round()
    # Without noise, every seed would make the same model.
    rows["bought"] = (rows["recency"] + rng.normal(0, 3, 200) > 5).astype(int)
    rows["user_id"] = np.arange(200)
    rows.to_parquet(folder / "rows.parquet")
    (folder / "config.yaml").write_text(CONFIG)
    settings = config.load(folder / "config.yaml")
    for seed in (0, 1):
        add_version(settings, seed)
    promote(settings, "shop", 1)
    return settings


def add_version(settings: Settings, seed: int, **different: Any) -> ModelVersion:
    """Train a version that differs from the others by its seed, or by settings of its model, and register it."""
    train, model = (
        settings.train.model_copy(update={"seed": seed}),
        settings.model.model_copy(update=different),
    )
    changed = settings.model_copy(update={"train": train, "model": model})
    result = wrappers.from_settings(changed).train(loaders.from_settings(changed), changed)
    return Registry(settings).register("shop", result.run_id, {})


def add_pyfunc(settings: Settings, name: str, stage: str = "Production") -> None:
    """Register the model of the file `name`.py in this folder under its name, and promote it."""
    import mlflow
    from mlflow.models import infer_signature

    tracking.connect(settings)
    registry = Registry(settings)
    example = pd.DataFrame({"x": [1.5, 2.5]})
    with mlflow.start_run():
        mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name(f"{name}.py")),
            signature=infer_signature(example, np.array([1.5, 2.5])),
            input_example=example,
            pip_requirements=["mlflow"],
            registered_model_name=name,
        )
    promote(registry, name, 1, stage)


def copy(settings: Settings, folder: Path, **serving: Any) -> Settings:
    """A copy of the registry, to move stages in; artifacts stay shared."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("rows.parquet", "mlflow.db"):
        shutil.copy(settings.root / name, folder / name)
    content = yaml.safe_load(CONFIG)
    content["serving"] |= serving
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return config.load(folder / "config.yaml")


def answers(settings: Settings, version: int) -> float:
    """A version's own prediction for `ROW`."""
    Registry(settings)
    return float(wrappers.load(f"models:/shop/{version}").predict([ROW])[0])


@dataclass
class Service:
    """A running service."""

    url: str
    process: "subprocess.Popen[bytes] | warm.Process"
    log: Path

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """Status and JSON of a GET."""
        return answer_to(urllib.request.Request(self.url + path, headers=headers))

    def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        """Status and JSON of a POST."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **headers}
        return answer_to(urllib.request.Request(self.url + path, data, sent))

    def try_examples(self) -> list[str]:
        """Send each example of /openapi.json, which is answered with 200; return their paths."""
        tried = []
        for path, operations in self.get("/openapi.json")[1]["paths"].items():
            post = operations.get("post", {})
            for media in post.get("requestBody", {}).get("content", {}).values():
                if "example" in media:
                    parameters = post["parameters"] if "{" in path else []
                    places = {one["name"]: one["schema"]["enum"][0] for one in parameters}
                    status, answer = self.post(path.format(**places), media["example"])
                    assert status == 200, (path, media["example"], answer)
                    tried.append(path)
        return tried

    def until(self, holds: Callable[[], Any]) -> Any:
        """Wait until `holds()` gives something true, and return it; a missing key counts as "not yet"."""

        def met() -> Any:
            try:
                if found := holds():
                    return found
            except (OSError, KeyError):
                pass
            assert self.process.poll() is None, self.log.read_text()
            return None

        return until(met, "the service", self.log.read_text)

    def until_ready(self) -> None:
        """Wait until it is ready."""
        self.until(lambda: self.get("/readyz")[0] == 200)


def answer_to(request: urllib.request.Request) -> tuple[int, Any]:
    """Status and JSON of any answer; bytes when it is not JSON."""
    try:
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            text, status = answer.read(), answer.status
    except urllib.error.HTTPError as error:
        text, status = error.read(), error.code
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text


@contextmanager
def running(
    settings: Settings, *options: str, ready: bool = True, fresh: bool = False, **environment: str
) -> Iterator[Service]:
    """Start the service on a free port with the command of the image.

    Args:
        fresh: Start a new process instead of a fork; options always do.
    """
    command = ["uvicorn", "main:app", *options]
    if fresh or options:
        command = [sys.executable, "-m", *command]
    environment = {"MLOPS_CONFIG": str(settings.root / "config.yaml"), **environment}
    with started(command, ROOT / "serving", settings.root / "service.log", **environment) as service:
        if ready:
            service.until_ready()
        yield service


@contextmanager
def started(command: list[str], folder: Path, log: Path, **environment: str) -> Iterator[Service]:
    """Start a command that serves, in a folder, on a free port; its output goes to the file `log`.

    ``uvicorn`` and ``mlops`` without a path start as forks, see `warm`.
    """
    port = free_port()
    command, variables = [*command, "--port", str(port)], {**os.environ, **environment}
    process: subprocess.Popen[bytes] | warm.Process
    with log.open("w") as stream:
        if command[0] in warm.NAMES:
            process = warm.start(command, folder, variables, stream.fileno(), stream.fileno())
        else:
            process = subprocess.Popen(command, cwd=folder, stdout=stream, stderr=stream, env=variables)
    try:
        yield Service(f"http://127.0.0.1:{port}", process, log)
    finally:
        process.terminate()
        try:
            process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
