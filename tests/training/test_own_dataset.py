"""`train.dataset`: a torch Dataset of the user's own gives the training items."""

import mlflow
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from mlops_lib import config, loaders, wrappers
from mlops_lib.columns.fit import fit as fit_encoder
from mlops_lib.errors import ConfigError, MlopsError, TrainingError
from mlops_lib.training.dataset_items import Rows
from tests.networks.test_architectures import films
from tests.support import own_batches
from tests.support.projects import ROOT


def configured(stored, own="OwnItems", network="Interrupted", train=None, **params):
    """Settings and dataset for a training with the items of a dataset."""
    return own_batches.configured(stored, "dataset", own, network, params, **(train or {}))


@pytest.mark.slow
def test_its_items_are_learned_from_and_the_logged_model_answers_the_same(stored, monkeypatch):
    """A fresh load and MLflow alone predict what the trained model does; an interrupted training ends with the same weights."""
    settings, dataset = configured(stored)
    model = wrappers.from_settings(settings)
    result = model.train(dataset, settings)
    features = dataset.load("test")[list(dataset.schema.features)]
    expected = model.predict(features)
    assert np.ptp(expected) > 0.01 and np.array_equal(
        wrappers.load(result.model_uri).predict(features), expected
    )
    monkeypatch.setenv("MLFLOW_DEFAULT_PREDICTION_DEVICE", "cuda")  # as on a machine with a GPU
    elsewhere = mlflow.pyfunc.load_model(result.model_uri).predict(features)
    assert np.allclose(np.ravel(elsewhere), expected, atol=1e-6)

    monkeypatch.setenv("TOY_INTERRUPT", "raise")
    with pytest.raises(RuntimeError, match="interrupted"):
        model.train(dataset, settings)
    monkeypatch.delenv("TOY_INTERRUPT")
    resumed = model.train(dataset, settings)
    assert "mlops.resumed_from" in mlflow.MlflowClient().get_run(resumed.run_id).data.tags
    assert np.array_equal(model.predict(features), expected)


@pytest.mark.slow
def test_numpy_arrays_and_pythons_numbers_become_what_the_platforms_batches_have(stored):
    """float64 becomes float32 and a label 1 becomes 1.0, so both ways learn the same."""
    answers = []
    for form in ("", "plain"):
        settings, dataset = configured(stored, network="Scheduled", form=form)
        model = wrappers.from_settings(settings)
        model.train(dataset, settings)
        answers.append(model.predict(dataset.load("test")))
    assert np.allclose(*answers, atol=1e-5)


def lists(tmp_path, monkeypatch, **params):
    """Settings and dataset for a training with lists of unlike lengths."""
    monkeypatch.syspath_prepend(str(ROOT / "tests/toys"))
    pq.write_table(films(90), tmp_path / "films.parquet")
    content = {
        "mlflow": {"tracking_uri": "sqlite:///mlflow.db", "experiment": "films"},
        "data": {"source": "films.parquet", "label": "liked", "columns": {"clicks": "sequence"}},
        "model": {"wrapper": "lightning", "implementation": "architectures:Lstm"},
        "train": {"max_epochs": 1, "dataset": {"class": "toy_training:Lists", "params": params}},
        "evaluation": {"threshold": 0.0},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    settings = config.load(tmp_path / "config.yaml")
    loaders.from_settings(settings).write(loaders.prepared_folder(settings))
    return settings, loaders.prepared(settings)


@pytest.mark.slow
def test_lists_of_unlike_lengths_have_a_collate_fn(tmp_path, monkeypatch):
    """Its padding is compared with the service's, row by row; it may put rows in another order."""
    settings, dataset = lists(tmp_path, monkeypatch, form="by length")
    model = wrappers.from_settings(settings)
    result = model.train(dataset, settings)
    rows = dataset.load("test")
    assert np.array_equal(wrappers.load(result.model_uri).predict(rows), model.predict(rows))

    import toy_training

    monkeypatch.delattr(toy_training.Lists, "collate_fn")
    with pytest.raises(
        TrainingError, match=r"a batch of \d+ items of the train split.*equal size.*method collate_fn"
    ):
        model.train(dataset, settings)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["labels stay", "padded"])
def test_a_batch_that_is_not_made_of_its_rows_is_an_error(tmp_path, monkeypatch, form):
    """Labels beside the inputs of other rows, or other padding than the service's: each item alone is right."""
    settings, dataset = lists(tmp_path, monkeypatch, form=form)
    words = r"a batch of \d+ items of the validation split whose place \d+ is none of its rows: clicks \[.*collate_fn mixes rows"
    with pytest.raises(TrainingError, match=words):
        wrappers.from_settings(settings).train(dataset, settings)


def test_an_item_that_is_changed_in_place_leaves_the_rows_as_they_were(stored):
    """`x += noise` in a dataset does not add up from epoch to epoch."""
    _, dataset = configured(stored)
    encoder = fit_encoder(dataset.schema, dataset.parts("train"))
    rows = Rows(dataset.head("train", 4), dataset, encoder, "train")
    x, y = (one.clone() for one in rows[2])
    for one in rows[2]:
        one += 1
    assert torch.equal(rows[2][0], x) and torch.equal(rows[2][1], y)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("own", "params", "words"),
    [
        ("Missing", {}, "no 'Missing'"),
        ("OwnItems", {"colour": 1}, "cannot be made for the train split: TypeError.*'colour'"),
        ("ItemsWithoutSplit", {}, "has no parameter split, and takes rows"),
        ("NoItems", {}, "a NoItems, which has no items by number"),
        ("OwnItems", {"form": "short"}, r"has \d+ items for the train split, which has \d+ rows.*data.prepare"),
        ("OwnItems", {"form": "raises"}, "fails in item 3 of the train split: FileNotFoundError"),
        ("OwnItems", {"form": "shuffled"}, r"Item \d+ of .* has the label \d, and row \d+ has \d"),
        ("OwnItems", {"form": "flipped"}, "Item 0 of .* for the train split has the label"),
        ("OwnItems", {"form": "words"}, "gives y as a tuple for 1 items"),
        ("OwnItems", {"form": "alone"}, r"gives float32 \[1, 7\], and training needs items \(inputs, y\)"),
        ("OwnItems", {"form": "narrow"}, r"'x' as float32 \[1, 6\], and forward gets x float32 \[rows, 7\]"),
        ("OwnItems", {"form": "scaled"}, r"Item 0 of .* validation split has other values in 'x' than the service makes of row 0"),
    ],
)  # fmt: skip
def test_wrong_items_are_an_error_before_training(stored, own, params, words):
    """The error names class, split and item, and no epoch is trained."""
    settings, dataset = configured(stored, own, "Scheduled", **params)
    with pytest.raises(MlopsError, match=words) as caught:
        wrappers.from_settings(settings).train(dataset, settings)
    assert own == "Missing" or isinstance(caught.value, TrainingError)
    runs = mlflow.search_runs(experiment_names=[settings.mlflow.experiment], output_format="list")
    assert [run.data.metrics for run in runs] == [{}]


def test_dataset_and_datamodule_together_are_refused(stored):
    """Both give the training batches."""
    with pytest.raises(ConfigError, match="set one of them"):
        stored.settings(train__dataset="a:B", train__datamodule="a:C")


@pytest.mark.slow
@pytest.mark.usefixtures("forked_workers")
def test_two_processes_share_its_rows(stored):
    """The rows are shared as the platform's are: each is learned from once an epoch, and both end with the same weights."""
    own_batches.require_equal_processes(stored, "dataset", "OwnItems")
