"""The README's commands exist and run, and its code trains."""

import subprocess

import pandas as pd
import pytest
import yaml

from mlops_lib import loaders, registry, wrappers
from mlops_lib.loaders.base import SPLITS
from tests.support.pages import ROOT, TARGETS, blocks, commands

README = ROOT / "README.md"


def test_every_make_target_exists():
    """Each target is in the Makefile, and `make -n` accepts it."""
    named = {arguments[0] for arguments in commands(README, "make") if arguments}
    assert {"demo", "test", "notebook", "serve", "lint"} <= named <= TARGETS
    subprocess.run(["make", "-n", *sorted(named)], cwd=ROOT, check=True, capture_output=True)


def test_it_names_the_commands_of_the_tour():
    """The README shows each command that a newcomer needs; `tests/test_docs.py` checks their options."""
    named = {call[0] for call in commands(README, "mlops")}
    assert named == {"run", "promote", "rollback", "models", "compile", "init", "ui", "serve"}


@pytest.mark.slow
def test_the_commands_that_look_run(trained_copy):
    """`models` and `compile` succeed in a project with one model."""
    project = trained_copy.project
    for call in commands(README, "mlops"):
        if call[0] in ("models", "compile"):
            result = project.mlops(*call)
            assert result.returncode == 0, (call, result.stderr)


def with_readme(project, *sections: str):
    """Put blocks of the README into a project's config.yaml."""
    for section in sections:
        project.configure(**yaml.safe_load(section))
    return project


@pytest.mark.slow
def test_its_own_data_network_and_estimator_work(stored):
    """The three examples, one after the other, on a CSV file with the README's column names."""
    data, network, estimator = blocks(README, "yaml")
    source = loaders.from_settings(stored.settings())
    frame = pd.concat([source.load(split) for split in SPLITS])
    frame = frame.rename(columns={"user_id": "customer", "repurchased": "churned"})
    frame.to_csv(stored.root.parent / "churn.csv", index=False)
    (code,) = blocks(README, "python")
    (stored.root / "churn.py").write_text(code)
    stored.configure(data={"prepare": ""})
    for section in (network, estimator):
        settings = with_readme(stored, data, section).settings()
        loaders.from_settings(settings).write(loaders.prepared_folder(settings))
        dataset = loaders.prepared(settings)
        model = wrappers.from_settings(settings)
        result = model.train(dataset, settings)
        assert model.evaluate(dataset, settings).verdict.passed
        assert registry.register_run(settings, result.run_id).name == settings.model.name
    assert registry.Registry(settings).names() == ["churn", "churn-trees"]
