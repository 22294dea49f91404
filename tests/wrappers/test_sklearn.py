"""SklearnWrapper: estimators and pipelines of the user's own, for both tasks."""

import subprocess
import sys

import mlflow
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from mlops_lib import loaders, registry, tracking, wrappers
from mlops_lib.columns.schema import Column, Schema
from mlops_lib.errors import ConfigError, TrainingError
from mlops_lib.wrappers import estimator_fit
from mlops_lib.wrappers.sklearn import SklearnWrapper


def trained_model(stored):
    """Train and evaluate the model of the project's config.yaml."""
    settings = stored.settings()
    loaders.from_settings(settings).write(loaders.prepared_folder(settings))
    dataset = loaders.prepared(settings)
    model = wrappers.from_settings(settings)
    result = model.train(dataset, settings)
    return settings, dataset, model, result, model.evaluate(dataset, settings)


@pytest.mark.slow
def test_a_users_own_pipeline_takes_text(stored):
    """The model has preprocessing by column name: raw rows with text go in, P(positive) comes out."""
    stored.configure(
        data={"prepare": "toy_data:with_segment"},
        model={"wrapper": "sklearn", "implementation": "toy_models:own_pipeline", "params": {"C": 0.5}},
        evaluation={"baselines": ["majority"]},
    )
    settings, dataset, model, result, report = trained_model(stored)
    assert report.metrics["roc_auc"].value > 0.65 and report.verdict.passed
    rows = dataset.load("test").head(5)
    again = wrappers.load(result.model_uri)
    assert isinstance(again, SklearnWrapper)
    expected = model.predict(rows)
    assert expected.shape == (5,)
    assert again.predict(rows[again.feature_names].to_dict("records")).tolist() == expected.tolist()
    run = mlflow.MlflowClient().get_run(result.run_id)
    assert run.data.params["model.params"] == "{'C': 0.5}" and run.info.status == "FINISHED"
    assert registry.register_run(settings, result.run_id).stage == "Staging"


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("model", "inputs", {"x": "age"}),
        ("model", "collate", "a:b"),
        ("model", "format", "pickle"),
        ("train", "trainer", {"gradient_clip_val": 1.0}),
        ("train", "callbacks", ["a:B"]),
        ("train", "datamodule", "a:B"),
        ("train", "dataset", "a:B"),
        ("train", "profiler", "simple"),
        ("train", "find_lr", True),
        ("train", "warm_start", "weights.pt"),
        ("train", "compile", True),
    ],
)
def test_a_setting_of_networks_is_refused_by_its_name(stored, section, name, value):
    """An estimator would ignore it; no run is opened."""
    stored.configure(model={"wrapper": "sklearn", "implementation": "auto", "params": {}})
    settings = stored.configure(**{section: {name: value}}).settings()
    with pytest.raises(ConfigError, match=rf"sets {section}\.{name}, and only networks read it.*'sklearn'"):
        wrappers.from_settings(settings).train(None, settings)


@pytest.mark.slow
def test_an_estimator_of_sklearn_by_dotted_path(stored):
    """An estimator needs no code; its random_state is the seed of config.yaml."""
    stored.configure(
        model={
            "wrapper": "sklearn",
            "implementation": "sklearn.ensemble:RandomForestClassifier",
            "params": {"n_estimators": 20, "max_depth": 4},
        }
    )
    _, dataset, model, result, report = trained_model(stored)
    assert tracking.choice(result.run_id).to_dict("records") == [
        {"learner": "RandomForestClassifier", "train rows": dataset.count("train")}
    ]
    again = trained_model(stored)[2]
    rows = dataset.load("test")
    assert report.metrics["roc_auc"].value > 0.65
    assert model.predict(rows).tolist() == again.predict(rows).tolist()


@pytest.mark.slow
def test_a_fresh_process_loads_an_estimator(stored):
    """Nothing of scikit-learn is imported yet, and SciPy is imported without torch being in its way."""
    stored.configure(
        model={
            "wrapper": "sklearn",
            "implementation": "sklearn.linear_model:LogisticRegression",
            "params": {},
        }
    )
    _, dataset, model, result, _ = trained_model(stored)
    row = dataset.load("test")[model.feature_names].head(1).to_dict("records")
    folder = wrappers.download(result.model_uri)
    code = (
        "from mlops_lib.wrappers.sklearn import SklearnWrapper\n"
        f"print(SklearnWrapper().load({str(folder)!r}).predict({row!r}).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split("\n")[-2] == str(model.predict(row).tolist()), done.stderr[-2000:]


@pytest.mark.slow
def test_a_regression_end_to_end(stored):
    """A regressor's values, regression metrics, residual figures, a gate where lower is better."""
    stored.configure(
        data={"label": "year_amount", "prepare": "toy_data:first_total"},
        model={"wrapper": "sklearn", "implementation": "toy_models:own_regressor", "params": {}},
        evaluation={"task": "regression", "metric": "mae", "threshold": 80.0, "baselines": ["mean"]},
    )
    settings, _, _, result, report = trained_model(stored)
    assert report.metrics["mae"].value < report.baselines["mean"]["mae"].value
    assert not report.verdict.higher_is_better and report.verdict.passed
    assert any("residual" in name for name in report.figures)
    assert registry.register_run(settings, result.run_id).tags["mlops.metric"] == "mae"


@pytest.mark.slow
def test_a_classifier_names_its_classes(stored):
    """Text labels come back as probabilities; the loaded model has the names in their order."""
    stored.configure(
        data={"label": "tier", "prepare": "toy_data:with_tier", "checks": {}},
        model={"wrapper": "sklearn", "implementation": "sklearn.tree:DecisionTreeClassifier", "params": {}},
        evaluation={"metric": "accuracy", "threshold": 0.1, "baselines": []},
    )
    _, dataset, model, _, _ = trained_model(stored)
    rows = dataset.load("train")
    assert model.classes == ["large", "medium", "small"]
    likeliest = [model.classes[place] for place in model.predict(rows).argmax(axis=1)]
    assert (rows["tier"] == likeliest).mean() > 0.5


@pytest.mark.parametrize(
    ("implementation", "params", "words"),
    [
        ("sklearn.linear_model:LogisticRegression", {"c": 1}, "'c'.*It takes: .*C"),
        ("sklearn.linear_model:LogisticRegression", {"C": -1.0}, "cannot be fitted.*C"),
    ],
)
def test_parameters_that_do_not_fit_are_named(stored, implementation, params, words):
    """The error names an unknown or impossible parameter, and lists the known ones."""
    stored.configure(model={"wrapper": "sklearn", "implementation": implementation, "params": params})
    with pytest.raises(TrainingError, match=words):
        trained_model(stored)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        ("toy_data:with_segment", "segment holds text.*implementation: auto"),
        ("toy_data:with_photo", "photo: images.*wrapper: lightning"),
    ],
)
def test_columns_that_an_estimator_cannot_take_are_named(stored, prepare, words):
    """The error adds columns and remedies to scikit-learn's message, which is cut: it may hold the bytes of a file."""
    stored.configure(
        data={"prepare": prepare},
        model={
            "wrapper": "sklearn",
            "implementation": "sklearn.linear_model:LogisticRegression",
            "params": {},
        },
    )
    with pytest.raises(TrainingError, match=rf"cannot be fitted(.|\n)*{words}") as caught:
        trained_model(stored)
    assert len(str(caught.value)) < 1_000


def test_an_amount_is_no_class(stored):
    """A forgotten evaluation.task is an error before the fit, which names the setting."""
    stored.configure(
        data={"label": "year_amount", "prepare": "toy_data:first_total"},
        model={"wrapper": "sklearn", "implementation": "sklearn.tree:DecisionTreeClassifier", "params": {}},
    )
    with pytest.raises(TrainingError, match=r"'year_amount' is no class label.*evaluation\.task: regression"):
        trained_model(stored)


def test_pyfunc_says_that_it_cannot_train(stored):
    """The error of the wrapper for foreign models names model.wrapper."""
    stored.configure(model={"wrapper": "pyfunc"})
    with pytest.raises(TrainingError, match=r"only loads models.*model\.wrapper"):
        trained_model(stored)


def test_a_classifier_without_probabilities_is_refused_before_the_fit(stored):
    """The error names the remedies; nothing is fitted."""
    stored.configure(
        model={"wrapper": "sklearn", "implementation": "sklearn.svm:LinearSVC", "params": {}},
    )
    with pytest.raises(TrainingError, match=r"LinearSVC gives no probabilities.*CalibratedClassifierCV"):
        trained_model(stored)


@pytest.mark.parametrize("task", ["ranking", "regression"])
def test_probabilities_of_several_classes_are_refused_where_one_number_is_needed(task, stored):
    """A classifier of relevance 0, 1, 2 is refused before the fit, with the remedy."""
    metric = {"ranking": "ndcg_at_k", "regression": "r2"}[task]
    stored.configure(
        model={
            "wrapper": "sklearn",
            "implementation": "sklearn.linear_model:LogisticRegression",
            "params": {},
        },
        evaluation={"task": task, "metric": metric, "threshold": 0.1, "baselines": []},
    )
    classifier, rows = LogisticRegression(), pd.DataFrame({"relevance": [0, 1, 2, 0]})
    schema = Schema((Column("relevance", "integer", "label"),))
    with pytest.raises(
        TrainingError, match=f"probability for each of the 3 values.*task {task} takes one number"
    ):
        estimator_fit.require_predictions(classifier, rows, schema, stored.settings())
    estimator_fit.require_predictions(classifier, rows.clip(upper=1), schema, stored.settings())
    estimator_fit.require_predictions(Ridge(), rows, schema, stored.settings())
