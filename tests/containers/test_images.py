"""The two images, built once from a clean checkout and run as they are deployed."""

import http.client
import json
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mlops_lib import config, loaders, wrappers
from mlops_lib.registry import Registry
from tests.conftest import ROOT
from tests.containers import platform
from tests.containers.platform import ask, service
from tests.support.promoting import promote
from tests.support.waiting import LIMIT_S, until

CUSTOMER = {
    "frequency": 3, "recency_days": 200, "tenure_days": 250, "mean_amount": 25.0,
    "total_amount": 100.0, "quantity": 7, "days_since_last": 50,
}  # fmt: skip
QUESTION = "How do I give Production back to the version that held it before?"
HARDENED = (
    "--rm",
    "--read-only",
    "--tmpfs=/tmp",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--memory=1g",
)


@pytest.fixture(scope="module")
def registry(docker, make_project, tmp_path_factory) -> Iterator[tuple[str, str, float]]:
    """An MLflow server on the host with both examples at Production.

    Its address for containers, its address for the host, and the PyTorch example's own prediction for `CUSTOMER`.
    """
    folder = tmp_path_factory.mktemp("registry")
    with platform.mlflow_server(docker, folder) as (outside, inside):
        project = make_project(folder / "project", mlflow={"tracking_uri": outside}, train={"max_epochs": 1})
        expected = publish(project.settings())
        assistant = yaml.safe_load((ROOT / "examples/assistant/config.yaml").read_text())
        assistant["mlflow"]["tracking_uri"] = outside
        assistant["pipeline"]["work_dir"] = str(folder / "assistant")
        shutil.copytree(ROOT / "examples/assistant", folder / "example")
        (folder / "example/config.yaml").write_text(yaml.safe_dump(assistant))
        publish(config.load(folder / "example/config.yaml"), QUESTION)
        yield inside, outside, expected


def publish(settings, question=None):
    """Train a model, promote it to Production, and return its own prediction."""
    result = wrappers.from_settings(settings).train(loaders.from_settings(settings), settings)
    store = Registry(settings)
    version = store.register(settings.model.name, result.run_id, {})
    promote(store, settings.model.name, version.version)
    asked = {"question": question} if question else CUSTOMER
    return wrappers.load(version.uri).predict([asked])[0]


@pytest.fixture(scope="module")
def served(docker, serve_image, registry):
    """The service in its container, with the PyTorch example."""
    with service(docker, serve_image, "-e", f"MLFLOW_TRACKING_URI={registry[0]}") as container:
        yield container


def test_the_service_predicts_as_the_model_does(served, registry):
    """The PyTorch example, loaded from a registry over HTTP, predicts the same inside the container and outside."""
    status, answer = ask(f"{served.url}/predict", {"inputs": [CUSTOMER]})
    assert status == 200, answer
    assert answer["predictions"] == [pytest.approx(registry[2], abs=1e-5)]
    assert (answer["model"]["name"], answer["model"]["stage"]) == ("repurchase", "Production")
    with urllib.request.urlopen(f"{served.url}/livez") as alive:
        assert "server" not in alive.headers


def test_the_same_image_serves_the_langgraph_example(docker, serve_image, registry):
    """Only the name differs; no key is needed for the example's own model."""
    options = ("-e", f"MLFLOW_TRACKING_URI={registry[0]}", "-e", "MLFLOW_MODEL_NAME=assistant")
    with service(docker, serve_image, *options) as container:
        status, answer = ask(f"{container.url}/invoke", {"inputs": {"question": QUESTION}})
        assert status == 200 and answer["model"]["name"] == "assistant", answer
        assert "rollback" in json.dumps(answer["predictions"])


def test_the_service_has_no_rights(served):
    """No root, no capability, no set-uid rights, no writable folder but /tmp, and limits of memory and processes."""
    assert served.shell("id -u") == "10001"
    status = dict(
        line.split(":\t", 1) for line in served.shell("cat /proc/1/status").splitlines() if ":\t" in line
    )
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0 and status["NoNewPrivs"] == "1"
    for folder in ("/app", "/opt/venv", "/var/tmp", "/home/mlops"):
        assert "Read-only file system" in served.shell(f"touch {folder}/x"), folder
    assert served.shell("touch /tmp/x && echo written") == "written"
    limits = served.docker(
        "inspect", "--format", "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}", served.name
    )
    assert limits == f"{2**30} 512"


def test_the_service_is_healthy_by_its_own_check(served):
    """The image's HEALTHCHECK, run by the engine."""
    until(lambda: served.state("Health.Status") == "healthy", "healthy", lambda: served.state("Health"))


def test_the_notebook_image_is_healthy_and_shows_its_login(docker, notebook_image):
    """JupyterLab starts with a read-only root and without rights, and asks for its token."""
    name = f"mlops-test-jupyter-{platform.free_port()}"
    try:
        docker("run", "--detach", "--name", name, "--health-interval=1s", *HARDENED[1:], notebook_image)
        health = ("inspect", "--format", "{{.State.Health.Status}}", name)
        until(lambda: docker(*health) == "healthy", "JupyterLab", lambda: docker("logs", name))
        page = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8888/lab').read().decode())"
        assert "Password or token" in docker("exec", name, "python", "-c", page)
    finally:
        platform.remove(docker, "container", [name])


#: Prints the compilers, packages and leftovers of builds that are found; the packages to look for are arguments.
LOOK = """
import importlib.util, os, shutil, sys
print([p for p in ("gcc", "cc", "g++", "clang", "make", "pip", "pip3", "uv") if shutil.which(p)])
print([m for m in ("pip", "uv", "setuptools", "wheel", "ensurepip", *sys.argv[1:]) if importlib.util.find_spec(m)])
homes = ["/root", "/home/mlops", "/tmp", "/var/cache", "/build"]
files = [os.path.join(folder, name) for home in homes for folder, _, names in os.walk(home) for name in names]
print([file for file in files if {"pip", "uv"} & set(file.split("/")) or file.endswith((".whl", ".deb"))])
"""
NEVER_SERVED = (
    "lightning",
    "pytorch_lightning",
    "kfp",
    "papermill",
    "scrapbook",
    "jupyterlab",
    "nbconvert",
    "ragas",
)


@pytest.mark.parametrize("image", ["notebook_image", "serve_image"])
def test_no_compiler_no_installer_and_no_cache_is_left(docker, image, request):
    """Neither image has build tools or caches; root looks, since root sees every folder."""
    said = docker("run", "--user=0", *HARDENED, request.getfixturevalue(image), "python", "-c", LOOK)
    assert said.splitlines() == ["[]", "[]", "[]"]


def test_nothing_that_trains_is_in_the_serving_image(docker, serve_image, notebook_image):
    """Importing it fails there; the same names are found in the notebook image, so the check can fail."""
    for name in ("lightning", "kfp", "papermill"):
        said = docker("run", *HARDENED, serve_image, "python", "-c", f"import {name}", check=False)
        assert f"No module named '{name}'" in said
    assert docker("run", *HARDENED, serve_image, "python", "-c", LOOK, *NEVER_SERVED).splitlines()[1] == "[]"
    found = docker("run", *HARDENED, notebook_image, "python", "-c", LOOK, *NEVER_SERVED).splitlines()[1]
    assert "lightning" in found and "kfp" in found and "papermill" in found
    # What the default example, a search, SQL data and MLflow on PostgreSQL import inside their containers.
    needed = "import pandera, optuna, matplotlib, docker, sqlalchemy, psycopg, psycopg2"
    docker("run", *HARDENED, notebook_image, "python", "-c", needed)


@pytest.mark.parametrize("image", ["notebook_image", "serve_image"])
def test_packages_have_the_pinned_versions(docker, image, request):
    """Every package of an image is in constraints.txt, at that version (the CPU build of torch is 2.x+cpu)."""
    code = "from importlib.metadata import distributions as d; print(*[f'{i.name}=={i.version}' for i in d()], sep='\\n')"
    said = docker("run", *HARDENED, request.getfixturevalue(image), "python", "-c", code).splitlines()
    pinned = {normal(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    assert len(said) > 100
    assert {normal(line) for line in said if not line.startswith("pip==")} <= pinned


def normal(requirement):
    """A requirement with its name normalised, and without local version and marker."""
    name, _, version = requirement.partition("==")
    return name.strip().lower().replace("_", "-").replace(".", "-"), version.split(";")[0].partition("+")[
        0
    ].strip()


def test_both_images_share_the_large_layer(docker, serve_image, notebook_image):
    """MLflow and torch are one layer, stored and pulled once."""
    sizes = [
        int(size)
        for size in docker(
            "history", "--no-trunc", "--human=false", "--format={{.Size}}", serve_image
        ).split()
    ]
    serving, notebooks = docker.layers(serve_image), docker.layers(notebook_image)
    common = [layer for layer, other in zip(serving, notebooks, strict=False) if layer == other]
    full = [size for size in reversed(sizes) if size]  # layers without content are not in RootFS
    assert sum(full[: len(common)]) > 0.8 * sum(sizes)


def test_a_changed_line_of_code_installs_nothing(docker, serve_image, checkout, local_wheels, tmp_path):
    """A build after an edit takes every layer below the code from the cache."""
    before = docker.layers(serve_image)
    edited = Path(shutil.copytree(checkout, tmp_path / "edited", symlinks=True))
    with (edited / "serving/main.py").open("a") as file:
        file.write("# one more line\n")
    with (edited / "pyproject.toml").open("a") as file:
        file.write("\n# not a requirement\n")
    try:
        docker.build(edited, "Dockerfile.serve", "mlops-test-edited:latest", *local_wheels)
        after = docker.layers("mlops-test-edited:latest")
    finally:
        docker("image", "rm", "--force", "mlops-test-edited:latest", check=False)
    same = [old == new for old, new in zip(before, after, strict=True)]
    changed = same.index(False)
    history = docker("history", "--no-trunc", "--format={{.CreatedBy}}", serve_image).splitlines()
    assert changed >= len(before) - 3, f"rebuilt from layer {changed} of {len(before)}:\n" + "\n".join(
        history
    )


def test_stopping_answers_the_request_in_flight(docker, serve_image, registry):
    """A request whose second half comes after `docker stop` is answered; the container ends by itself."""
    options = ("-e", f"MLFLOW_TRACKING_URI={registry[0]}")
    with service(docker, serve_image, *options) as container:
        body = json.dumps({"inputs": [CUSTOMER] * 50}).encode()
        connection = http.client.HTTPConnection(container.url.removeprefix("http://"), timeout=LIMIT_S)
        connection.putrequest("POST", "/predict")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[:100])
        waiting = subprocess.Popen(
            [docker.program, "wait", container.name], stdout=subprocess.PIPE, text=True
        )
        stopping = threading.Thread(target=docker, args=("stop", "--time=60", container.name))
        stopping.start()
        until(lambda: refuses(container), "the service to refuse", container.logs)
        connection.send(body[100:])
        answer = connection.getresponse()
        assert answer.status == 200 and len(json.load(answer)["predictions"]) == 50
        stopping.join()
        assert waiting.communicate(timeout=LIMIT_S)[0].strip() in ("0", "143")


def refuses(container):
    try:
        return ask(f"{container.url}/predict", {"inputs": CUSTOMER})[0] == 503
    except OSError:
        return True
