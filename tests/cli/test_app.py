"""The command line: help with examples, clear errors, secrets masked."""

import ast
import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_lib.cli import app
from mlops_lib.errors import ConfigError
from mlops_lib.registry import Registry
from mlops_lib.search import space
from tests.support.projects import ROOT

COMMANDS = (
    "run",
    "evaluate",
    "search",
    "compile",
    "serve",
    "promote",
    "rollback",
    "export",
    "models",
    "init",
    "config",
    "ui",
)


@pytest.fixture
def mlops(project, monkeypatch, capsys):
    """Run the command line in this process, in the project's folder: exit code, stdout, stderr."""
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("COLUMNS", "250")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mlops", *arguments])
        for console in (app.out, app.err):
            monkeypatch.setattr(console, "_width", 250, raising=False)
        code = 0
        try:
            app.main()
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.mark.parametrize("name", ["01_get_data", "02_train", "04_register"])
def test_a_notebook_that_lost_its_tag_stops_the_run_before_the_first_step(mlops, project, name):
    """Editors drop the tag; the notebook's own values would then replace the arguments of the run."""
    file = project.root / "notebooks" / f"{name}.ipynb"
    file.write_text(file.read_text().replace('"parameters"', '"other"'))
    code, _, said = mlops("run", "--max-epochs", "1")
    assert code == 1 and f"{file} has no code cell tagged 'parameters'" in said
    assert not (project.root / ".mlops").exists()


def test_epochs_without_effect_are_said(mlops, project):
    """An estimator has no epochs, so --max-epochs changes nothing and trains nothing again; a search refuses them."""
    project.configure(
        model={"wrapper": "sklearn", "implementation": "sklearn.tree:DecisionTreeClassifier", "params": {}},
        search={"space": {"train.max_epochs": {"type": "int", "low": 1, "high": 5}}},
    )
    (project.root / "notebooks" / "01_get_data.ipynb").unlink()  # so that nothing runs
    assert "--max-epochs has no effect: model.wrapper 'sklearn'" in mlops("run", "--max-epochs", "3")[2]
    assert "no effect" not in mlops("run")[2]
    with pytest.raises(ConfigError, match=r"names train.max_epochs, and model.wrapper 'sklearn'"):
        space.check(project.settings())


def test_settings_of_networks_beside_an_estimator_stop_the_run_before_the_first_step(mlops, project):
    """The estimator would ignore them without a word; a network takes them."""
    project.configure(
        model={"wrapper": "sklearn", "implementation": "sklearn.tree:DecisionTreeClassifier", "params": {}},
        train={"dataset": "a:B", "find_lr": True},
    )
    (project.root / "notebooks" / "01_get_data.ipynb").unlink()  # so that nothing runs
    code, _, said = mlops("run")
    assert code == 1 and "sets train.dataset, train.find_lr, and only networks read them" in " ".join(
        said.split()
    )
    project.configure(model={"wrapper": "lightning"})
    assert "01_get_data" in mlops("run")[2]


def test_every_command_has_help_with_an_example(mlops):
    """And the list of commands is the list of commands."""
    code, listed, _ = mlops("--help")
    assert code == 0 and all(command in listed for command in COMMANDS)
    for command in COMMANDS:
        code, said, _ = mlops(command, "--help")
        assert code == 0 and re.search(rf"Example: .*mlops {command}", said), said


def test_config_shows_every_value_and_where_it_came_from(mlops, monkeypatch):
    """File, environment, default."""
    monkeypatch.setenv("MLFLOW_MODEL_STAGE", "Staging")
    code, said, _ = mlops("config")
    assert code == 0
    lines = {line.split()[0]: line for line in said.splitlines() if "." in line.split(" ")[0]}
    assert re.search(r"environment MLFLOW_MODEL_STAGE\s+Staging", lines["serving.stage"])
    assert re.search(r"config\.yaml\s+0\.6", lines["evaluation.threshold"])
    assert re.search(r"default\s+auto$", lines["train.accelerator"].strip())


def test_config_masks_secrets(mlops, monkeypatch):
    """Neither the table nor --get prints a key."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "ak-very-secret")
    for arguments in (["config"], ["config", "--get", "secrets.openai_api_key"]):
        code, said, error = mlops(*arguments)
        assert code == 0 and "very-secret" not in said + error and "****" in said


def test_config_get_is_for_scripts(mlops):
    """One value, nothing around it; an unknown name lists the known ones."""
    assert mlops("config", "--get", "model.name") == (0, "repurchase\n", "")
    code, _, error = mlops("config", "--get", "model.nam")
    assert code == 1 and "'model.nam'" in error and "model.name" in error


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        (
            {"evaluation": {"threshold": "high"}},
            ["'evaluation.threshold'", "'high'", "number", "config.yaml"],
        ),
        ({"evaluation": {"threshold": 2}}, ["'evaluation.threshold'", "2", "roc_auc is 1 at most"]),
        (
            {"evaluation": {"task": "regression", "metric": "rmse", "threshold": -5}},
            ["'evaluation.threshold'", "-5", "lower is better"],
        ),
        ({"evaluation": {"metric": "auc"}}, ["'evaluation.metric'", "'auc'", "roc_auc", "config.yaml"]),
        ({"evaluation": {"task": "regression"}}, ["'evaluation.metric'", "'roc_auc'", "rmse"]),
        ({"data": {"lodaer": "local"}}, ["'data.lodaer'", "loader"]),
        (
            {"model": {"wrapper": "lightening"}},
            ["'lightening'", "Available: ", "lightning", "pyfunc", "sklearn"],
        ),
    ],
)
def test_a_bad_setting_is_one_message_and_nothing_is_made(project, mlops, sections, words):
    """Exit code 1, the message on stderr, no traceback, no run, no folder."""
    project.configure(**sections)
    code, said, error = mlops("run")
    assert code == 1 and said == "" and "Traceback" not in error
    assert [word for word in words if word not in error.replace("\n", " ")] == []
    assert not (project.root / ".mlops").exists()


def test_an_option_of_the_wrong_type_is_refused(mlops, project):
    """Before anything starts: a text by Typer, a number that no score can be compared with by the settings."""
    code, _, error = mlops("run", "--threshold", "high")
    assert code == 2 and "--threshold" in error and "number" in error
    code, _, error = mlops("run", "--threshold", "nan")
    assert code == 1 and "'evaluation.threshold'" in error and "nan" in error and "finite" in error
    assert not (project.root / ".mlops").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--cron", "0 0 3 * * *"), "--runner kfp: leave out --cron"),
        (("--host", "http://kfp", "--namespace", "team"), "--runner kfp: leave out --host, --namespace"),
        (("--runner", "kfp", "--host", "http://kfp", "--resume", "abc"), "leave out --resume"),
        (("--resume", "abc", "--limit", "5", "--seed", "0"), "leave out --limit, --seed"),
    ],
)
def test_an_option_that_would_not_be_followed_is_refused(mlops, project, arguments, said):
    """A schedule without a cluster trains nothing now, and a resumed run takes no arguments."""
    code, _, error = mlops("run", *arguments)
    assert code == 1 and said in error
    assert not (project.root / ".mlops").exists()


@pytest.mark.slow
def test_models_and_promotion(trained_copy, mlops, monkeypatch):
    """The list shows version, stage and score; promote and rollback say what they did, or why not."""
    monkeypatch.chdir(trained_copy.project.root)
    code, said, _ = mlops("models")
    assert code == 0 and re.search(r"repurchase\s+1\s+Staging\s+staging\s+roc_auc 0\.\d{4}", said)
    code, said, _ = mlops("promote", "repurchase", "1")
    assert code == 0 and "version 1 is at Production" in said and "Next: mlops serve" in said
    assert Registry(trained_copy.project.settings()).resolve("repurchase", "Production").version == 1
    code, _, error = mlops("promote", "repurchase", "9")
    assert code == 1 and "version 9" in error
    code, _, error = mlops("promote", "repurchase", "1", "--stage", "Live")
    assert code == 1 and "'Live'" in error and "Production" in error
    code, _, error = mlops("rollback", "repurchase")
    assert code == 1 and "replaced no version" in error
    code, said, _ = mlops("models", "nobody")
    assert code == 1 and "No model 'nobody'" in said and "mlops run" in said


@pytest.mark.slow
def test_a_network_is_exported_as_onnx(trained_copy, mlops, monkeypatch, tmp_path):
    """The command names the file, the largest difference and the tensors; a version that is missing is an error."""
    monkeypatch.chdir(trained_copy.project.root)
    file = tmp_path / "network.onnx"
    code, said, error = mlops("export", "repurchase", "1", "--format", "onnx", "--output", str(file))
    assert code == 0, error
    assert "the largest difference from the network is" in said and "output  predictions" in said
    assert file.is_file()
    code, _, error = mlops("export", "repurchase", "9")
    assert code == 1 and "version 9" in error


@pytest.mark.slow
def test_compile_writes_a_pipeline(mlops, project):
    """A file for a cluster, and what to do with it."""
    code, said, _ = mlops("compile", "mine.yaml")
    assert code == 0 and "mine.yaml" in said and "pipelineInfo" in (project.root / "mine.yaml").read_text()


def test_without_a_config_file_the_answer_is_how_to_name_one(mlops, tmp_path, monkeypatch):
    """In any other folder."""
    monkeypatch.chdir(tmp_path)
    code, _, error = mlops("models")
    assert code == 1 and "No config.yaml" in error and "MLOPS_CONFIG" in error


@pytest.mark.slow
def test_the_installed_command_is_the_same(project):
    """`mlops` on the path, as a process."""
    result = project.mlops("--version")
    assert result.returncode == 0 and re.fullmatch(r"\d+\.\d+\.\d+", result.stdout.strip())


@pytest.mark.slow
def test_importing_the_library_imports_nothing_heavy():
    """`import mlops_lib` has no torch, pandas, MLflow, kfp or pydantic; the command line's help has no MLflow."""
    heavy = ["torch", "pandas", "mlflow", "numpy", "sklearn", "kfp", "fastapi", "lightning", "matplotlib"]
    code = "import sys, json; {}; print(json.dumps([m for m in " + repr(heavy) + " if m in sys.modules]))"
    for statement in (
        "import mlops_lib",
        "import mlops_lib.cli.app",
        "import mlops_lib.config, mlops_lib.steps.contracts",
    ):
        command = [sys.executable, "-c", code.format(statement)]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert json.loads(found) == [], statement


@pytest.mark.slow
def test_imports_run_one_way():
    """import-linter, with the contracts of pyproject.toml."""
    root = Path(__file__).parents[2]
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert re.search(r"Contracts: [1-9]\d* kept, 0 broken", result.stdout)


def test_a_project_without_notebooks_is_told_how_to_get_them(mlops, project):
    """One sentence, not the traceback of a missing file."""
    shutil.rmtree(project.root / "notebooks")
    code, _, error = mlops("run")
    assert code == 1 and "01_get_data.ipynb" in error and "mlops init" in error and "Traceback" not in error


@pytest.mark.slow
def test_nothing_is_cut_off_in_a_pipe(project):
    """A value as long as it is, whatever the terminal's width; it pads no other line."""
    project.configure(data={"prepare": f"examples.repurchase.features:{'customers' * 9}"})
    piped = project.mlops("config", COLUMNS="60").stdout
    assert "customers" * 9 in piped
    (short,) = (line for line in piped.splitlines() if line.startswith("data.loader"))
    assert short.endswith("local") and len(short) < 80


def test_a_port_in_use_is_said_before_a_model_is_loaded(mlops):
    """With the address and what to do, and not with the exit status of a refused model."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, error = mlops("serve", "--port", str(port))
    assert code == 1 and f"port {port}" in error and "--port" in error


@pytest.mark.slow
def test_a_printed_command_names_the_config_file() -> None:
    """Commands to copy come from Settings.command, which adds -c; only those before there are settings are literal."""
    has_no_settings = {"config.py", "skew.py", "feast.py"}  # `mlops features` has no -c
    literal = re.compile(r"(with|as in|by|version): `?mlops \w")
    found = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for package in ("mlops_lib", "pipelines", "serving")
        for file in (ROOT / package).rglob("*.py")
        if file.name not in has_no_settings
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and literal.search(node.value)
    ]
    assert not found
