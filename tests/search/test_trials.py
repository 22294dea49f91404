"""Hyper-parameter search: proposals, records, failed and interrupted trials."""

import json

import lightning.pytorch
import pytest
import torch
import yaml

from mlops_lib import search, tracking
from mlops_lib.errors import ConfigError, GpuStoppedError, MlopsError
from tests.support.projects import written

TREE = {
    "wrapper": "sklearn",
    "implementation": "sklearn.tree:DecisionTreeClassifier",
    "params": {"random_state": 0},
}
SPACE = {
    "model.params.max_depth": {"type": "int", "low": 1, "high": 30, "log": True},
    "model.params.min_impurity_decrease": {"type": "float", "low": 0.0, "high": 0.01},
    "model.params.criterion": {"type": "categorical", "choices": ["gini", "entropy"]},
}


@pytest.fixture
def tree(stored):
    """A project that searches a decision tree, which takes a moment to fit."""
    return stored.configure(model=TREE, search={"trials": 4, "space": SPACE})


@pytest.mark.slow
def test_a_resumed_search_is_the_same_as_an_uninterrupted_one(tree):
    """Ctrl-C after the second trial, then resume: same values and scores as without, and all are on the runs."""
    settings, dataset = written(tree)
    client = tracking.connect(settings)
    whole = search.begin(settings, dataset)
    best = search.run(settings, dataset, whole)

    def interrupt(trial, done):
        if len(done) == 2:
            raise KeyboardInterrupt

    cut = search.begin(settings, dataset)
    with pytest.raises(KeyboardInterrupt):
        search.run(settings, dataset, cut, interrupt)
    assert client.get_run(cut).info.status == "KILLED"
    search.run(settings, dataset, search.begin(settings, dataset, resume=cut))
    tried = [[(t.values, t.score) for t in search.trials(settings, parent)] for parent in (whole, cut)]
    assert len(tried[0]) == 4 and tried[0] == tried[1]

    parent, trial = client.get_run(whole), client.get_run(best.run_id)
    assert parent.info.status == "FINISHED" and parent.data.tags[search.BEST_TAG] == best.run_id
    assert parent.data.metrics["best.validation.roc_auc"] == max(score for _, score in tried[0])
    kept = [file.path for file in client.list_artifacts(whole, "search")]
    assert kept == ["search/best.yaml", "search/trials.png"]
    assert trial.data.params.keys() == SPACE.keys() and trial.data.tags["mlflow.parentRunId"] == whole
    # No trial has seen the test split.
    experiment = [parent.info.experiment_id]
    assert not [name for run in client.search_runs(experiment) for name in run.data.metrics if "test" in name]
    below = client.search_runs(experiment, f"tags.`mlflow.parentRunId` = '{best.run_id}'")
    assert [run.data.tags["mlops.step"] for run in below] == ["trial-train"]


@pytest.mark.slow
def test_a_failed_trial_is_recorded_and_the_search_goes_on(tree):
    """An impossible choice is a FAILED run with its reason; the best other trial wins. If all fail: an error."""
    space = {"model.params.criterion": {"type": "categorical", "choices": ["gini", "no such thing"]}}
    settings, dataset = written(tree.configure(search={"trials": 5, "seed": 1, "space": space}))
    parent = search.begin(settings, dataset)
    best = search.run(settings, dataset, parent)
    done = search.trials(settings, parent)
    assert best.values == {"model.params.criterion": "gini"}
    failed = [trial for trial in done if trial.score is None]
    assert failed and all("no such thing" in trial.error for trial in failed)
    assert tracking.connect(settings).get_run(failed[0].run_id).info.status == "FAILED"

    space["model.params.criterion"]["choices"] = ["this", "that"]
    settings = tree.configure(search={"trials": 50, "space": space}).settings()
    parent = search.begin(settings, dataset)
    with pytest.raises(MlopsError, match="All 3 trials failed. The last one: .*criterion"):
        search.run(settings, dataset, parent)
    assert tracking.connect(settings).get_run(parent).info.status == "FAILED"


@pytest.mark.slow
def test_a_stopped_gpu_ends_the_search_which_can_be_resumed(stored, monkeypatch):
    """Later trials of the process would fail for no fault of their own, and never be tried again."""

    def stopped(seed, **options):
        raise torch.AcceleratorError("CUDA error: device-side assert triggered\nSearch for `cudaErrorAssert'")

    monkeypatch.setattr(lightning.pytorch, "seed_everything", stopped)
    space = {"model.params.dropout": {"type": "float", "low": 0.0, "high": 0.5}}
    stored.configure(search={"trials": 2, "space": space}, train={"max_epochs": 1})
    settings, dataset = written(stored)
    parent = search.begin(settings, dataset)
    words = rf"This trial stopped the GPU\. Continue the search without it: .*search --resume {parent}"
    with pytest.raises(GpuStoppedError, match=words):
        search.run(settings, dataset, parent)
    (failed,) = search.trials(settings, parent)
    assert failed.score is None and "with CUDA error: device-side assert triggered, and this" in failed.error

    monkeypatch.undo()
    best = search.run(settings, dataset, search.begin(settings, dataset, resume=parent))
    assert [trial.score is None for trial in search.trials(settings, parent)] == [True, False]
    assert best.score > 0.5


def test_a_search_is_resumed_only_where_scores_compare(tree):
    """Another space, other data, or a run that is not a search: refused with the reason."""
    settings, dataset = written(tree)
    parent = search.begin(settings, dataset)
    fewer = {name: SPACE[name] for name in list(SPACE)[:1]}
    other = tree.configure(search={"space": fewer}).settings()
    with pytest.raises(MlopsError, match="search.space, evaluation.metric, model or train has changed"):
        search.begin(other, dataset, resume=parent)
    other, dataset = written(tree.configure(search={"space": SPACE}), data__seed=7)
    with pytest.raises(MlopsError, match="the dataset has changed"):
        search.begin(other, dataset, resume=parent)
    with pytest.raises(MlopsError, match="is not a search"):
        search.begin(settings, dataset, resume=tracking.open_parent(settings))


@pytest.mark.slow
def test_proposals_follow_the_scores_and_their_direction(tree):
    """Thirty depths scored by their nearness to 5: proposals are near 5, or far from it if lower is better."""
    settings = tree.settings()

    def proposed(higher_is_better):
        done = []
        for depth in range(1, 31):
            values = {"max_depth": depth, "min_impurity_decrease": 0.005, "criterion": "gini"}
            values = {f"model.params.{name}": value for name, value in values.items()}
            done.append(search.Trial(str(depth), values, -float(abs(depth - 5)), higher_is_better))
        assert search.best(done).values["model.params.max_depth"] == (5 if higher_is_better else 30)
        asked = search.suggest(settings, done, 20)
        assert asked == search.suggest(settings, done, 20)
        return [values["model.params.max_depth"] for values in asked]

    near, far = proposed(True), proposed(False)
    assert all(isinstance(depth, int) and 1 <= depth <= 30 for depth in near + far)
    assert sum(abs(depth - 5) for depth in near) * 2 < sum(abs(depth - 5) for depth in far)


@pytest.mark.slow
def test_the_command_ends_with_lines_for_config_yaml(tree):
    """Pasted into config.yaml, they give the model of the best trial; a choice may be a list."""
    tree.configure(search={"space": {**SPACE, "train.seed": {"type": "int", "low": 0, "high": 9}}})
    result = tree.mlops("search", "--trials", "2", warm=True)
    assert result.returncode == 0, result.stderr
    assert "  1/2  roc_auc 0." in result.stderr and "  2/2  roc_auc 0." in result.stderr
    lines = result.stdout.partition("mlops run")[2].partition("Figure and trials")[0]
    settings = tree.configure(**yaml.safe_load(lines)).settings()
    client = tracking.connect(settings)
    experiment = client.get_experiment_by_name(settings.mlflow.experiment).experiment_id
    (parent,) = client.search_runs([experiment], f"tags.`{search.BEST_TAG}` != ''")
    tags = client.get_run(parent.data.tags[search.BEST_TAG]).data.tags
    best = json.loads(tags[search.VALUES_TAG])
    chosen = {f"model.params.{name}": value for name, value in settings.model.params.items()}
    assert {**chosen, "train.seed": settings.train.seed} == {**best, "model.params.random_state": 0}


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "search.space of config.yaml is empty"),
        ({"data.seed": {"type": "int", "low": 0, "high": 9}}, "'data.seed' cannot be searched"),
        ({"train.seed": {"type": "int", "low": 9, "high": 0}}, "low below high"),
        ({"train.seed": {"type": "int", "low": 0, "high": 9, "log": True}}, "low must be above 0"),
        ({"train.seed": {"type": "int", "low": 0.5, "high": 9}}, "int takes whole numbers"),
        ({"train.seed": {"type": "categorical", "choices": [1]}}, "two or more choices"),
        ({"train.seed": {"type": "float", "low": 0.5, "high": 9}}, "would try .*valid integer"),
        ({"train.patience": {"type": "int", "low": -1, "high": 9}}, "would try .*greater than or equal to 0"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused_before_a_trial(stored, space, message):
    """The error names the setting and the reason, before anything is logged."""
    with pytest.raises(ConfigError, match=message):
        search.begin(stored.configure(search={"space": space}).settings(), None)
