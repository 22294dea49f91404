"""The README's commands exist and run, and its code trains."""

import re
import shlex
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import typer
import yaml

from mlops_lib import config, loaders, plugins, registry, wrappers
from mlops_lib.cli import app
from mlops_lib.loaders.base import SPLITS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
MAKE_TARGETS = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def blocks(language: str) -> list[str]:
    """Fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands(program: str) -> list[list[str]]:
    """Arguments of each call of a program, in fenced blocks and in inline code; placeholders left out."""
    lines = [line for block in blocks("bash") for line in block.splitlines()] + re.findall(
        r"`([^`\n]+)`", README
    )
    calls = [re.sub(r"^(\w+=\S+ )+", "", line.split("  #")[0]).strip() for line in lines]
    return [shlex.split(call)[1:] for call in calls if call.split(" ")[0] == program and "..." not in call]


def test_every_make_target_exists():
    """And `make -n` accepts it."""
    named = {arguments[0] for arguments in commands("make") if arguments}
    assert {"demo", "test", "notebook", "serve", "ui", "lint"} <= named <= MAKE_TARGETS
    subprocess.run(["make", "-n", *sorted(named)], cwd=ROOT, check=True, capture_output=True)


def test_every_mlops_command_parses():
    """Command, arguments and options are those of the command line."""
    group = typer.main.get_command(app.app)
    calls = commands("mlops")
    assert {call[0] for call in calls} == {
        "run",
        "promote",
        "rollback",
        "models",
        "compile",
        "config",
        "init",
        "ui",
        "serve",
    }
    for call in calls:
        if len(call) > 1:
            command = group.get_command(None, call[0])
            command.make_context(call[0], call[1:], resilient_parsing=False)


def test_the_commands_that_look_run(trained_copy):
    """In a project with one model; promotion needs its second version first, which `mlops run` made in the tour."""
    project = trained_copy.project
    for call in commands("mlops"):
        if call[0] in ("models", "config", "compile"):
            result = project.mlops(*call)
            assert result.returncode == 0, (call, result.stderr)


def test_the_configuration_table_is_the_configuration():
    """Every variable that is read is documented beside its setting, and none that is not."""
    table = README.partition("## Configuration")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line[:1] == "|"
    ]
    documented = {v: row[0] for row in rows[2:] for v in re.findall(r"`([A-Z_]+)`", row[1])}
    assert set(documented) == {*config.ENVIRONMENT, config.CONFIG_ENV}
    for variable, key in config.ENVIRONMENT.items():
        assert (key in documented[variable]) or key.startswith("secrets."), variable


def test_the_metrics_it_names_are_those_there_are():
    """Every metric of the two tasks with numbers, beside its direction, and every baseline."""
    rows = re.findall(r"^\| `(classification|regression)` \| (.*?) \| (.*?) \|$", README, re.MULTILINE)
    for task, metrics, baselines in rows:
        higher, _, lower = metrics.partition("at most:")
        named = dict.fromkeys(re.findall(r"`(\w+)`", higher), True)
        named |= dict.fromkeys(re.findall(r"`(\w+)`", lower), False)
        assert named == plugins.load("task", task)().metrics
        assert re.findall(r"`(\w+)`", baselines) == plugins.names("baseline", task)
    assert [task for task, *_ in rows] == ["classification", "regression"]


def with_readme(project, *sections: str):
    """Put blocks of the README into a project's config.yaml."""
    for section in sections:
        project.configure(**yaml.safe_load(section))
    return project


def test_its_own_data_network_and_estimator_work(stored):
    """The three examples, one after the other, on a CSV file with the README's column names."""
    data, network, estimator = blocks("yaml")
    source = loaders.from_settings(stored.settings())
    frame = pd.concat([source.load(split) for split in SPLITS])
    frame = frame.rename(columns={"user_id": "customer", "repurchased": "churned"})
    frame.to_csv(stored.root / "churn.csv", index=False)
    (code,) = blocks("python")
    (stored.root / "churn.py").write_text(code)
    stored.configure(evaluation={"threshold": 0.6})
    for section in (network, estimator):
        settings = with_readme(stored, data, section).settings()
        loaders.from_settings(settings).write(loaders.prepared_folder(settings))
        dataset = loaders.prepared(settings)
        model = wrappers.from_settings(settings)
        result = model.train(dataset, settings)
        assert model.evaluate(dataset, settings).verdict.passed
        assert registry.register_run(settings, result.run_id).name == settings.model.name
    assert registry.Registry(settings).names() == ["churn", "churn-trees"]


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_every_link_leads_somewhere(link):
    """Relative links name files of the repository."""
    assert (ROOT / link).exists()
