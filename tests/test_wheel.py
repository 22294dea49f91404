"""The built wheel, in an environment that cannot see the checkout."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pandas as pd
import pytest

from tests.support.shop import started


@pytest.fixture
def mlops(checkout, tmp_path):
    """The `mlops` command of a fresh environment: this one's packages, and the project from its wheel alone."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(checkout)]
    run(*pip, *build, cwd=tmp_path)
    environment = tmp_path / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", str(environment), cwd=tmp_path)
    site = environment / "lib/python3.11/site-packages"
    # A path in a .pth file is searched, and the .pth files in it are not read: no editable checkout.
    (site / "packages.pth").write_text(sysconfig.get_path("purelib"))
    (environment / "share").symlink_to(Path(sys.prefix) / "share")  # nbconvert's templates, Jupyter's kernel
    (wheel,) = tmp_path.glob("*.whl")
    python = str(environment / "bin/python")
    run(*pip, "--python", python, "install", "--no-deps", "--ignore-installed", str(wheel), cwd=tmp_path)
    where = run(python, "-c", "import mlops_lib, serving, pipelines; print(mlops_lib.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(environment)
    return environment / "bin/mlops"


def run(*command: str, cwd: Path) -> str:
    """What a command printed; it must succeed, and nothing of this checkout is on its path."""
    done = subprocess.run(
        command, cwd=cwd, env=without_checkout(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-4000:]}"
    return done.stdout


def without_checkout() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"COLUMNS": "200"}


@pytest.mark.slow
def test_a_wheel_is_enough_for_init_run_promote_and_serve(mlops, tmp_path):
    """A project begun from the wheel runs its pipeline, and its promoted model answers a request."""
    rows = pd.DataFrame({"x": range(400), "who": range(400)}).assign(y=lambda rows: rows["x"] % 2)
    rows.assign(x=rows["x"] + 500.5 * rows["y"]).to_csv(tmp_path / "rows.csv", index=False)
    run(str(mlops), "init", "churn", "--source", "rows.csv", "--label", "y", "--key", "who", cwd=tmp_path)
    project = tmp_path / "churn"
    for name in ("agent", "prompt", "rag"):
        run(str(mlops), "init", name, "--template", name, cwd=tmp_path)
    assert (tmp_path / "rag/docs/leave.ko.md").is_file() and (tmp_path / "agent/agent.py").is_file()
    assert "churn version 1 at Staging" in run(str(mlops), "run", cwd=project)
    run(str(mlops), "promote", "churn", "1", cwd=project)
    serve = [str(mlops), "serve"]
    with started(
        serve, project, tmp_path / "service.log", PYTHONPATH=""
    ) as service:  # nothing of this checkout
        service.until_ready()
        _, answer = service.post("/predict", {"inputs": [{"x": 3}, {"x": 900}]})
    assert answer["predictions"][0] < 0.5 < answer["predictions"][1]
    assert (answer["model"]["name"], answer["model"]["version"]) == ("churn", 1)
