"""The registry: registration behind the gate, promotion, rollback, and their errors."""

import mlflow
import numpy as np
import pytest
from mlflow.exceptions import MlflowException
from sklearn.dummy import DummyClassifier

from mlops_lib import config, notebooks, registry, tracking, wrappers
from mlops_lib.errors import ConfigError, NotebookError, RegistryError
from mlops_lib.registry import GATE_TAG, METRIC_TAG, Registry, promotion, signing
from mlops_lib.wrappers import download
from tests import toy_notebooks
from tests.support.keys import make_keys
from tests.support.promoting import promote

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(stored):
    """Settings of a project with an empty registry."""
    return stored.settings()


@pytest.fixture
def run_with_model(settings):
    """Make a run with a model and a verdict; None for a run that was never evaluated."""

    def make(verdict: str | None, score: float = 0.8) -> str:
        tags = {GATE_TAG: verdict} if verdict else {}
        with tracking.child_run(settings, "train-model", "", tags) as run:
            mlflow.MlflowClient().log_metric(run.info.run_id, "test.roc_auc", score)
            with mlflow.start_run(run_id=run.info.run_id):
                model = DummyClassifier().fit(np.zeros((2, 1)), [0, 1])
                mlflow.sklearn.log_model(model, name="model", pip_requirements=[], input_example=None)
        return run.info.run_id

    return make


def test_a_run_that_passed_is_registered_at_staging(settings, run_with_model):
    """Stage and alias both, with score and lineage on the version."""
    made = registry.register_run(settings, run_with_model("passed"))
    assert (made.name, made.version, made.stage, made.aliases) == ("repurchase", 1, "Staging", ("staging",))
    assert made.tags["mlops.score"] == "0.8" and made.tags["mlops.metric"] == "roc_auc"
    assert made.tags["mlops.config_digest"] == settings.digest()
    assert registry.scores(settings, made) == {1: 0.8}
    # The run has no digest, as of a model that was logged without the platform: registration computed it.
    assert made.tags[registry.MODEL_DIGEST_TAG] == registry.model_digest(wrappers.download(made.uri))


def test_registration_signs_where_there_is_a_key(stored, run_with_model, monkeypatch, tmp_path):
    """The version at Staging has its signature; with a key that cannot sign, no version is left."""
    private, public = make_keys(tmp_path)
    run_id = run_with_model("passed")
    monkeypatch.setenv("MODEL_SIGNING_KEY", str(public))
    with pytest.raises(ConfigError, match="cannot sign"):
        registry.register_run(stored.settings(), run_id)
    assert Registry(stored.settings()).versions("repurchase") == []
    monkeypatch.setenv("MODEL_SIGNING_KEY", str(private))
    registry.register_run(stored.settings(), run_id)
    made = Registry(stored.settings()).resolve("repurchase", "Staging")
    signing.check(made, download(made.uri), public)


@pytest.mark.parametrize("verdict", ["refused", None])
def test_a_run_that_did_not_pass_is_not_registered(settings, run_with_model, verdict):
    """Neither a refused model nor one that was not evaluated gets a version."""
    run_id = run_with_model(verdict)
    with pytest.raises(
        RegistryError, match=f"{run_id} has not passed the gate .*{verdict or 'not evaluated'}"
    ):
        registry.register_run(settings, run_id)
    assert Registry(settings).versions("repurchase") == []


def test_a_run_that_another_metric_let_pass_is_not_registered(stored, settings, run_with_model):
    """evaluation.metric was changed after 03_evaluate: the version would have a score that no gate has seen."""
    run_id = run_with_model("passed")
    mlflow.MlflowClient().set_tag(run_id, METRIC_TAG, "roc_auc")
    other = settings.evaluation.model_copy(update={"metric": "accuracy"})
    changed = settings.model_copy(update={"evaluation": other})
    said = (
        f"{run_id} pass by roc_auc, and evaluation.metric is accuracy now.*mlops evaluate --run-id {run_id}"
    )
    with pytest.raises(RegistryError, match=said):
        registry.register_run(changed, run_id)
    mlflow.MlflowClient().delete_tag(run_id, METRIC_TAG)  # of an older release
    with pytest.raises(RegistryError, match="by another metric, and evaluation.metric is accuracy now"):
        registry.register_run(changed, run_id)
    assert Registry(settings).versions("repurchase") == []
    assert registry.register_run(settings, run_id).tags[METRIC_TAG] == "roc_auc"


def test_promotion_archives_and_rollback_restores(settings, run_with_model):
    """One version holds a stage at a time; its alias moves along; the version before can be restored."""
    for _ in range(2):
        registry.register_run(settings, run_with_model("passed"))
    store = Registry(settings)
    promote(store, "repurchase", 1, "production")
    promote(store, "repurchase", 2)
    assert [(v.version, v.stage, v.aliases) for v in store.versions("repurchase")] == [
        (2, "Production", ("production",)),
        (1, "Archived", ()),
    ]
    assert store.resolve("repurchase", "Production").version == 2
    assert store.roll_back("repurchase", "Production").version == 1
    assert [(v.version, v.stage, v.aliases) for v in store.versions("repurchase")] == [
        (2, "Archived", ()),
        (1, "Production", ("production",)),
    ]


def test_each_stage_has_a_rollback_history_of_its_own(settings, run_with_model):
    """Version 2 replaced version 1 at Staging and none at Production: Production cannot be rolled back."""
    for _ in range(2):
        registry.register_run(settings, run_with_model("passed"))
    store = Registry(settings)
    promote(store, "repurchase", 2)
    with pytest.raises(RegistryError, match="replaced no version at Production"):
        store.roll_back("repurchase", "Production")
    assert store.resolve("repurchase", "Production").version == 2


def test_a_second_rollback_goes_further_back(settings, run_with_model):
    """From 3 to 2 to 1, then an error: a repeated rollback never deploys the bad version again."""
    for _ in range(3):
        registry.register_run(settings, run_with_model("passed"))
    store = Registry(settings)
    for version in (1, 2, 3):
        promote(store, "repurchase", version)
    assert [store.roll_back("repurchase", "Production").version for _ in range(2)] == [2, 1]
    with pytest.raises(RegistryError, match="version 1 replaced no version at Production.*mlops models"):
        store.roll_back("repurchase", "Production")


def test_rollbacks_over_a_version_promoted_twice_end(settings, run_with_model):
    """After 1, 2 and 1 again: back to 2, back to 1, then an error; no endless loop."""
    for _ in range(2):
        registry.register_run(settings, run_with_model("passed"))
    store = Registry(settings)
    for version in (1, 2, 1):
        promote(store, "repurchase", version)
    assert [store.roll_back("repurchase", "Production").version for _ in range(2)] == [2, 1]
    with pytest.raises(RegistryError, match="replaced no version"):
        store.roll_back("repurchase", "Production")


def test_a_registration_that_is_interrupted_leaves_no_version(settings, run_with_model, monkeypatch):
    """Ctrl-C between the new version and its stage: nothing half-registered, and the next try is version 2."""
    run_id = run_with_model("passed")

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(promotion, "_move", interrupt)
        with pytest.raises(KeyboardInterrupt):
            registry.register_run(settings, run_id)
    assert Registry(settings).versions("repurchase") == []
    assert registry.register_run(settings, run_id).stage == "Staging"


def stages(settings):
    return [(v.version, v.stage, v.aliases) for v in Registry(settings).versions("repurchase")]


def fail(*_, **__):
    raise MlflowException("the registry went away")


def test_a_run_is_registered_once_however_often_it_is_tried(settings, run_with_model):
    """A retried step: the same version, with the score of its last evaluation; in Production it stays there."""
    run_id = run_with_model("passed")
    made = registry.register_run(settings, run_id)
    tracking.connect(settings).log_metric(run_id, "test.roc_auc", 0.9)
    again = registry.register_run(settings, run_id)
    assert again == made and again.tags["mlops.score"] == "0.9"
    promote(settings, "repurchase", 1)
    assert registry.register_run(settings, run_id).stage == "Production"
    assert stages(settings) == [(1, "Production", ("production",))]


def test_a_move_that_fails_half_way_is_undone(settings, run_with_model, monkeypatch):
    """The stage is moved and the alias is not: the version before holds both again, and the new one is gone."""
    registry.register_run(settings, run_with_model("passed"))
    run_id = run_with_model("passed")
    with monkeypatch.context() as patched:
        patched.setattr(mlflow.MlflowClient, "set_registered_model_alias", fail)
        with pytest.raises(RegistryError, match="could not move 'repurchase' version 2 to Staging"):
            registry.register_run(settings, run_id)
    assert stages(settings) == [(1, "Staging", ("staging",))]


def test_a_registry_that_goes_away_is_named_and_the_next_try_finishes(settings, run_with_model, monkeypatch):
    """The first error is reported, not the one of the clean-up; the next try makes no second version."""
    run_id = run_with_model("passed")
    with monkeypatch.context() as patched:
        patched.setattr(promotion, "_move", fail)
        patched.setattr(mlflow.MlflowClient, "delete_model_version", fail)
        with pytest.raises(RegistryError, match="could not move 'repurchase' version 1 to Staging"):
            registry.register_run(settings, run_id)
    assert stages(settings) == [(1, "None", ())]
    assert registry.register_run(settings, run_id).version == 1
    assert stages(settings) == [(1, "Staging", ("staging",))]


def test_the_next_run_finishes_the_registration_of_a_killed_kernel(stored, run_with_model, monkeypatch):
    """kill -9 inside 04_register, between the new version and its stage; run again, there is one version, at Staging."""
    register = """
import os
from pathlib import Path
from mlops_lib import config, notebooks, registry
from mlops_lib.registry import promotion
if not Path("killed").exists():
    Path("killed").touch()
    promotion._move = lambda *_: os.kill(os.getpid(), 9)
version = registry.register_run(config.load(), run_id)
notebooks.glue(model_name=version.name, version=version.version, stage=version.stage)
"""
    monkeypatch.setenv(config.CONFIG_ENV, str(stored.config_file))
    toy_notebooks.replace(stored.root, "04_register", register)
    run_id = run_with_model("passed")
    with pytest.raises(NotebookError, match="died"):
        notebooks.run("04_register", run_id=run_id)
    assert stages(stored.settings()) == [(1, "None", ())]
    assert notebooks.run("04_register", run_id=run_id).astuple() == ("repurchase", 1, "Staging")
    assert stages(stored.settings()) == [(1, "Staging", ("staging",))]


def test_resolving_gives_a_pinned_address(settings, run_with_model):
    """By stage in any case, by alias and by number; the address holds the number, never the stage."""
    registry.register_run(settings, run_with_model("passed"))
    store = Registry(settings)
    found = {store.resolve("repurchase", stage="staging"), store.resolve("repurchase", alias="staging"),
             store.resolve("repurchase", version=1)}  # fmt: skip
    assert [version.uri for version in found] == ["models:/repurchase/1"]


def test_a_missing_version_is_an_error_that_lists_the_versions(settings, run_with_model):
    """The message names the registry, the stages there are, and the command to promote."""
    store = Registry(settings)
    with pytest.raises(
        RegistryError, match="No model 'repurchase' at stage 'Production'.*sqlite:.*mlops run"
    ):
        store.resolve("repurchase", "Production")
    registry.register_run(settings, run_with_model("passed"))
    with pytest.raises(RegistryError, match=r"Staging \(1\).*mlops promote repurchase 1"):
        store.resolve("repurchase", "Production")
    with pytest.raises(RegistryError, match="No model 'other'.*Models it has: repurchase"):
        store.resolve("other", "Production")
    with pytest.raises(RegistryError, match="No model 'repurchase' at version 9"):
        promote(store, "repurchase", 9)


def test_an_empty_stage_does_not_advise_to_promote_the_version_at_production(settings, run_with_model):
    """A service that asks for Staging: how to serve Production, and how to fill Staging with another version."""
    registry.register_run(settings, run_with_model("passed"))
    store = Registry(settings)
    promote(store, "repurchase", 1)
    with pytest.raises(
        RegistryError, match="version 1, which is at Production: serving.stage: Production"
    ) as raised:
        store.resolve("repurchase", "Staging")
    assert "mlops promote" not in str(raised.value)
    registry.register_run(settings, run_with_model("passed"))
    store.promote("repurchase", 2, "Archived")
    with pytest.raises(RegistryError, match="with: mlops promote repurchase 2 --stage Staging"):
        store.resolve("repurchase", "staging")


def test_bad_names_are_refused(settings, run_with_model):
    """An unknown stage, a name with a quote, a rollback without a version before: each is an error."""
    store = Registry(settings)
    with pytest.raises(RegistryError, match="Unknown stage 'Live'. Stages: Staging, Production, Archived"):
        store.promote("repurchase", 1, "Live")
    with pytest.raises(RegistryError, match="quote"):
        store.versions("it's")
    registry.register_run(settings, run_with_model("passed"))
    with pytest.raises(RegistryError, match="replaced no version at Staging"):
        store.roll_back("repurchase", "Staging")


def test_an_unknown_run_is_a_registry_error(settings):
    """MLflow's exception becomes the platform's."""
    with pytest.raises(RegistryError, match="could not find run 'no-such-run'"):
        registry.register_run(settings, "no-such-run")
