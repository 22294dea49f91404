"""`make demo`: raw purchases -> four notebooks -> registry -> service -> one prediction."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from rich.console import Console

from mlops_lib import config, features, loaders, tracking
from mlops_lib.cli import app
from mlops_lib.cli.display import PipelineDisplay
from mlops_lib.errors import MlopsError
from mlops_lib.promotion import promote
from mlops_lib.settings import Settings
from mlops_lib.steps.contracts import EvaluateOutputs, RegisterOutputs
from mlops_lib.steps.events import Event, Finished

START_TIMEOUT_S = 600
#: Imports the slow packages of the service, waits for a word on its standard input, and becomes the service.
SERVICE = """
import contextlib, importlib, sys
del sys.path[0]  # the service's folder, whose modules must not hide packages
for name in ("uvicorn", "fastapi", "mlflow.pyfunc", "pandas", "torch"):
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
if sys.stdin.read():
    sys.argv[1:] = ["main:app", "--fd", sys.argv[1], "--log-level", "warning"]
    sys.modules["uvicorn"].main()
"""
console = Console()


def main() -> None:
    """Run the pipeline, promote the new version, and ask the service for one prediction."""
    began = time.monotonic()
    loaded = config.load_with_origins()
    settings = loaded.settings
    if settings.data.loader == "feature_store":
        console.rule("[bold]0  Feature store: compute, register, materialise", align="left")
        fill_feature_store(settings)
    with Service(loaded.file) as service:
        result = run_pipeline(settings, loaded.file, service)
        registered = result.of(RegisterOutputs)
        if registered is None:
            evaluated = result.of(EvaluateOutputs)
            raise MlopsError(f"The gate refused the model ({evaluated}). Nothing was promoted.")
        console.rule("[bold]2  Promotion", align="left")
        version = promote(
            settings,
            registered.model_name,
            registered.version,
            say=lambda text: console.print(text, style="dim"),
        ).version
        console.print(f"{version.name} version {version.version} is at {version.stage}")
        console.rule("[bold]3  Service", align="left")
        row = one_customer(settings)
        url = service.start()
        console.print(f"listening at {url}")
        answer = post(f"{url}/predict", {"inputs": row})
    console.print_json(json.dumps({"request": row, "answer": answer}))
    console.rule("[bold]Summary", align="left")
    summary(settings, result.parent_run_id, version.version, time.monotonic() - began)


def run_pipeline(settings: Settings, config_file: Path, service: "Service") -> Any:
    """Run the pipeline and show its progress; the service imports its packages after the first step."""
    from pipelines.local import run_local

    console.rule("[bold]1  Pipeline: get-data, train-model, evaluate-model, register-model", align="left")
    with PipelineDisplay(Console(stderr=True)) as display:

        def on_event(event: Event) -> None:
            display.update(event)
            if isinstance(event, Finished) and not event.cached:
                service.import_ahead()

        return run_local(settings, config_file, {}, on_event)


def fill_feature_store(settings: Settings) -> None:
    """Run the feature job and copy its values to the online store."""
    from examples.repurchase.feature_job import write_features

    write_features(settings)
    store = features.from_settings(settings)
    console.print(f"registered {', '.join(store.apply())}")
    store.materialize(datetime(1970, 1, 1, tzinfo=UTC), datetime.now(UTC))


def one_customer(settings: Settings) -> dict[str, Any]:
    """The first customer of the test split as a request row: with a feature store the id only,
    else the features."""
    dataset = loaders.from_settings(settings)
    key, in_store = settings.data.key, settings.data.loader == "feature_store"
    columns = [key] if in_store else list(dataset.schema.features)
    return json.loads(dataset.load("test")[columns].head(1).to_json(orient="records"))[0]


class Service:
    """The service as a process of its own, which ends with the block.

    Its packages can be imported ahead, while something else runs.
    """

    def __init__(self, config_file: Path) -> None:
        self.config_file = config_file
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(120)

    def import_ahead(self) -> None:
        """Start the process, which imports its packages and waits for `start`."""
        if self.process:
            return
        with socket.socket() as bound:  # now, so that no other program takes the port meanwhile
            bound.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{bound.getsockname()[1]}"
            self.process = subprocess.Popen(
                [sys.executable, "-c", SERVICE, str(bound.fileno())],
                cwd=Path(__file__).parents[2] / "serving",
                env={**os.environ, config.CONFIG_ENV: str(self.config_file)},
                stdin=subprocess.PIPE,
                pass_fds=[bound.fileno()],
            )

    def start(self) -> str:
        """Start the service on a free port, wait until it is ready, and return its address."""
        self.import_ahead()
        assert self.process and self.process.stdin
        with self.process.stdin as pipe:
            pipe.write(b"start")
        with console.status("loading the promoted model"):
            wait_until_ready(self.process, self.url)
        return self.url


def wait_until_ready(process: "subprocess.Popen[bytes]", url: str) -> None:
    """Poll /readyz until it is 200.

    Raises:
        MlopsError: The process ended, or ten minutes passed; has the last answer.
    """
    said = "nothing yet"
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/readyz", timeout=5)
            return
        except urllib.error.HTTPError as error:
            said = json.load(error)["detail"]
        except OSError:
            pass
        time.sleep(0.2)
    raise MlopsError(f"The service at {url} did not become ready. It said: {said}")


def post(url: str, body: dict[str, Any]) -> Any:
    """POST JSON and return the JSON of the answer.

    Raises:
        MlopsError: The service refused; has its reason.
    """
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise MlopsError(f"{url} answered {error.code}: {json.load(error)['detail']}") from None


def summary(settings: Settings, parent_run_id: str, version: int, took_s: float) -> None:
    """Print the version, its score, its notebooks and the next commands."""
    client = tracking.connect(settings)
    metric, name = settings.evaluation.metric, settings.model.name
    parent = client.get_run(parent_run_id)
    scores = client.get_run(parent.data.tags["02_train.run_id"]).data.metrics
    lines = [
        ("model", f"[bold]{name} version {version}[/], at Production"),
        (
            "score",
            f"[bold]{metric} {scores[f'test.{metric}']:.4f}[/], threshold {settings.evaluation.threshold}",
        ),
    ]
    for baseline in settings.evaluation.baselines:
        lines.append(("", f"[dim]{baseline} baseline {scores[f'test.baseline.{baseline}.{metric}']:.4f}[/]"))
    files = [f.path for f in client.list_artifacts(parent_run_id, "notebooks") if f.path.endswith(".html")]
    lines += [("notebooks", tracking.artifact_location(parent, file)) for file in files]
    commands = (
        ("make ui", "runs, metrics, figures and models in the browser"),
        (f".venv/bin/mlops models {name}", "every version with its score"),
        (".venv/bin/mlops config", "every setting and where it came from"),
        ("make serve", "the service; then curl localhost:8080/readyz"),
        ("make notebook", "the notebooks in JupyterLab; change config.yaml, make demo again"),
    )
    lines += [("next", f"{command:<36} [dim]{what}[/]") for command, what in commands]
    before = ""
    for label, text in lines:
        # No wrapping, so that paths can be clicked and copied.
        console.print(f"{label if label != before else '':<11}{text}", soft_wrap=True, highlight=False)
        before = label
    console.print(f"[dim]done in {took_s:.0f} s[/]")


if __name__ == "__main__":
    app.guarded(main)
