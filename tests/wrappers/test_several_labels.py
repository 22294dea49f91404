"""Models of several labels: trained, judged against a champion, logged, and loaded as they answer."""

from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml

from mlops_lib import config, loaders, wrappers
from mlops_lib.columns.schema import Column, Schema
from mlops_lib.data_checks import declared
from mlops_lib.errors import ConfigError, DataError, EvaluationError, TrainingError
from mlops_lib.wrappers.lightning import PytorchLightningWrapper

#: In another order than the columns of the table.
TAGS, NUMBERS = ["차", "커피", "케이크"], ["방문", "금액"]
ROWS = 400


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A table with yes/no labels, one of them a boolean, and labels of numbers."""
    folder, rng = tmp_path_factory.mktemp("labels"), np.random.default_rng(0)
    age, spent = rng.integers(18, 80, ROWS), rng.gamma(2.0, 100.0, ROWS)
    rows = pd.DataFrame({"나이": age, "지출": spent, "지역": rng.choice(["서울", "부산"], ROWS)})
    rows["커피"] = (age + rng.normal(0, 10, ROWS) > 50).astype(int)
    rows["케이크"] = spent + rng.normal(0, 50, ROWS) > 200
    rows["차"] = (rows["지역"] == "서울").astype(int)
    rows["금액"], rows["방문"] = spent * 1.2 + rng.normal(0, 20, ROWS), age / 10 + rng.normal(0, 1, ROWS)
    rows["이름"] = "어떤 이름"
    rows.to_parquet(folder / "rows.parquet")
    return folder


def settings_of(folder, labels, task, wrapper="lightning", implementation="tabular", **more):
    metric = {"multilabel": "mean_roc_auc", "multioutput": "mean_r2", "regression": "r2"}.get(
        task, "accuracy"
    )
    others = {name: "drop" for name in [*TAGS, *NUMBERS, "이름"] if name not in labels}
    content = {
        "mlflow": {"tracking_uri": "sqlite:///mlflow.db", "experiment": "labels"},
        "data": {"source": "rows.parquet", "label": labels, "columns": others, **more},
        "model": {"wrapper": wrapper, "implementation": implementation},
        "train": {"max_epochs": 30},
        "evaluation": {"task": task, "metric": metric, "threshold": 0.2},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(content, allow_unicode=True))
    return config.load(folder / "config.yaml")


def dataset_of(settings):
    declared.write(settings, loaders.from_settings(settings), loaders.prepared_folder(settings))
    return loaders.prepared(settings)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("labels", "task", "wrapper", "implementation", "streaming"),
    [
        (TAGS, "multilabel", "lightning", "tabular", False),
        (NUMBERS, "multioutput", "lightning", "tabular", False),
        (NUMBERS, "multioutput", "lightning", "tabular", True),
        (TAGS, "multilabel", "sklearn", "tests.wrappers.test_several_labels:one_for_each", False),
        (NUMBERS, "multioutput", "sklearn", "tests.wrappers.test_several_labels:ridge", False),
    ],
)
def test_every_label_is_learned_and_answers_are_the_same_everywhere(
    project, labels, task, wrapper, implementation, streaming
):
    """Scores of each label, the loaded model, one row alone, and MLflow without the platform."""
    settings = settings_of(project, labels, task, wrapper, implementation, streaming=streaming)
    dataset = dataset_of(settings)
    assert dataset.schema.labels == tuple(labels) and list(dataset.schema.features) == [
        "나이",
        "지출",
        "지역",
    ]
    model = wrappers.from_settings(settings)
    result = model.train(dataset, settings)
    found = model.evaluate(dataset, settings)
    assert found.verdict.passed, found.verdict.reasons
    assert list(found.tables["Labels"]["label"]) == labels
    rows = dataset.load("test").head(7)[list(dataset.schema.features)]
    answers = wrappers.load(result.model_uri).predict(rows)
    assert answers.shape == (7, len(labels))
    one = wrappers.load(result.model_uri).predict(rows.head(1).to_dict("records"))
    np.testing.assert_allclose(one[0], answers[0], rtol=1e-6)
    pyfunc = mlflow.pyfunc.load_model(result.model_uri).predict(rows)
    np.testing.assert_allclose(np.asarray(pyfunc, dtype=float), answers, rtol=1e-6)


def test_labels_in_another_order_are_not_judged():
    """Predictions carry no names, so that each column would be compared with another label."""
    ours, theirs = (Schema(tuple(Column(n, "number", "label") for n in names)) for names in ("ab", "ba"))
    model = type("Trained", (PytorchLightningWrapper,), {"columns": ours})()
    with pytest.raises(
        EvaluationError, match="predicts the labels a, b, in this order, and the data has b, a"
    ):
        model.judge(SimpleNamespace(schema=theirs), None, "test")


def one_for_each():
    """A probability for each label."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline

    return make_pipeline(_numbers(), OneVsRestClassifier(LogisticRegression(max_iter=500)))


def ridge():
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    return make_pipeline(_numbers(), Ridge())


def forest():
    """Gives a list with the probabilities of both classes of each label."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline

    return make_pipeline(_numbers(), RandomForestClassifier(5))


def _numbers():
    from sklearn.compose import make_column_transformer
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    return make_column_transformer((StandardScaler(), ["나이", "지출"]), (OneHotEncoder(), ["지역"]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("implementation", "words"),
    [
        ("auto", "auto learns one label, and data.label names 3"),
        ("tests.wrappers.test_several_labels:forest", "does not predict one column for each of the 3 labels"),
    ],
)
def test_an_estimator_of_another_form_is_refused(project, implementation, words):
    settings = settings_of(project, TAGS, "multilabel", "sklearn", implementation)
    with pytest.raises(TrainingError, match=words):
        wrappers.from_settings(settings).train(dataset_of(settings), settings)


@pytest.mark.parametrize(
    ("labels", "task", "words"),
    [
        (TAGS, "classification", "task classification predicts one. Set evaluation.task: multilabel"),
        (NUMBERS, "regression", "names 2 columns"),
        (["커피"], "multilabel", "multilabel predicts several labels, and data.label names '커피'"),
        (["커피", "금액"], "multilabel", "Label '금액' has the value .* 0 and 1, or true and false"),
        (["지역", "차"], "multilabel", "Label '지역' holds category values"),
        (["금액", "지역"], "multioutput", "Label '지역' holds category values"),
        (["없음", "차"], "multilabel", "'없음'"),
    ],
)
def test_labels_that_do_not_suit_the_task_are_refused_before_training(project, labels, task, words):
    with pytest.raises(DataError, match=words):
        dataset_of(settings_of(project, labels, task))


@pytest.mark.parametrize(
    ("labels", "more", "words"),
    [
        (["차", "차"], {}, "names a column twice"),
        (["차", "커피"], {"split": {"by": "label"}}, "needs one label"),
        ([], {}, "label"),
    ],
)
def test_settings_that_contradict_several_labels_are_refused(project, labels, more, words):
    with pytest.raises(ConfigError, match=words):
        settings_of(project, labels, "multilabel", **more)


def test_a_row_without_one_of_its_labels_is_no_row_to_learn_from(project, tmp_path):
    """An error that names the label, or left out and counted."""
    rows = pd.read_parquet(project / "rows.parquet")
    rows["방문"] = rows["방문"].mask(rows.index % 10 == 3)
    rows["금액"] = rows["금액"].mask(rows.index % 20 == 0)
    rows.to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=f"{ROWS // 10} rows have no '방문'"):
        dataset_of(settings_of(tmp_path, NUMBERS, "multioutput"))
    settings = settings_of(tmp_path, NUMBERS, "multioutput", missing_label="drop")
    dataset = dataset_of(settings)
    kept = sum(dataset.count(split) for split in ("train", "validation", "test"))
    assert kept == ROWS - ROWS // 10 - ROWS // 20
