"""Tables that are odd to learn from: the network trains, or the error names rows and columns."""

import re

import numpy as np
import pandas as pd
import pytest
import torch

from mlops_lib.errors import DataError, TrainingError
from mlops_lib.training.losses import Losses
from tests.support.projects import evaluated

METRICS = {"classification": "accuracy", "regression": "r2"}
OWN = {"implementation": "toy_training:Scheduled", "params": {}}


def table(rows, classes=("no", "yes")):
    """A key from 1,000 on, two numbers, and classes in turn."""
    rng = np.random.default_rng(rows)
    label = np.array(classes)[np.arange(rows) % len(classes)]
    x, z = rng.normal(size=(2, rows))
    return pd.DataFrame({"id": np.arange(1_000, 1_000 + rows), "x": x, "z": z, "label": label})


@pytest.fixture
def trained(stored):
    """Trains on ready-made splits, evaluates, and returns the report."""

    def fitted(train, validation, test, model=None, task="classification", **settings):
        stored.configure(
            data={"key": "id", "label": "label"},
            model=model or {"params": {}},
            train={"max_epochs": 2, "batch_size": 16, **settings},
            evaluation={"task": task, "metric": METRICS[task], "threshold": 0.0, "baselines": []},
        )
        return evaluated(stored, {"train": train, "validation": validation, "test": test})

    return fitted


@pytest.mark.slow
def test_validation_may_lack_a_class_and_a_column_may_be_empty(trained):
    """Three classes of which one is not in the validation split; a column without a value in train and validation."""
    three = ("a", "b", "c")
    report = trained(
        table(60, three).assign(z=np.nan), table(20, three[:2]).assign(z=np.nan), table(9, three)
    )
    assert report.metrics["accuracy"].scored == 9


@pytest.mark.slow
def test_one_row_of_validation_and_a_batch_larger_than_the_data(trained):
    """With batch normalisation, and every row of train in each epoch."""
    assert trained(table(33), table(1), table(9), OWN, batch_size=1_000).metrics["accuracy"].scored == 9


@pytest.mark.parametrize(
    ("classes", "of_validation", "words"),
    [
        (("a", "b"), ("a", "b", "c"), "classes in the validation split that the train split lacks: 'c'"),
        (("a",), ("a",), "All rows of the train split are of class 'a'"),
    ],
)
def test_classes_that_cannot_be_learned_are_an_error(trained, classes, of_validation, words):
    """A class that only validation has, and one class alone."""
    with pytest.raises(DataError, match=words):
        trained(table(60, classes), table(20, of_validation), table(20, classes))


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "validation"])
def test_missing_values_that_stop_a_gpu_are_named(trained, split):
    """On a GPU, the loss of NaN ends all that the process can do there. The batch is made again on the CPU."""
    splits = {"train": table(64), "validation": table(40), "test": table(20)}
    splits[split].loc[7, "z"] = np.nan
    words = (
        rf"The GPU stopped with CUDA error: device-side assert triggered in epoch 1, {split} batch \d of \d\. "
        r"Rows with its values: id \d+.*Missing values: 'z' \(1 rows\).*train\.accelerator: cpu"
    )
    with pytest.raises(TrainingError, match=words):
        # A stopped GPU, played on the CPU: a real one would end all later trainings of the test's process.
        trained(**splits, model=OWN | {"implementation": "toy_training:StoppedGpu"}, accelerator="cpu")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            RuntimeError("Expected all tensors to be on the same device, but got cuda:0 and cpu"),
            "device=x.device",
        ),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."), "Lower train.batch_size"),
        (RuntimeError("Integer division with addcdiv is no longer supported"), "EMAWeightAveraging"),
        (
            torch.AcceleratorError("CUDA error: unspecified launch failure"),
            "launch failure\\. The GPU does not",
        ),
    ],
)
def test_errors_of_a_gpu_have_a_remedy(error, words):
    """Of code that a CPU runs without one."""
    losses = Losses(lambda batch, split: "about the rows")
    losses._batch = (torch.tensor([[np.nan]]), torch.tensor([1.0]))  # its gaps are not the reason
    with pytest.raises(TrainingError, match=words) as caught:
        losses.explain(error)
    assert "about the rows" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("split", "network"), [("train", "Scheduled"), ("validation", "Scheduled"), ("train", "Named")]
)
def test_missing_values_that_a_network_does_not_replace_are_named(trained, split, network):
    """The module's loss function raises for NaN, also with inputs by name; the error has batch, key and column."""
    splits = {"train": table(64), "validation": table(20), "test": table(20)}
    splits[split].loc[7, "z"] = np.nan
    place = (
        rf"in epoch 1, {split} batch \d of \d\. Rows with its values: id \d+.*Missing values: 'z' \(1 rows\)"
    )
    with pytest.raises(TrainingError, match=place):
        # A GPU would stop, as above, and end the trainings of the tests after this one.
        trained(**splits, model=OWN | {"implementation": f"toy_training:{network}"}, accelerator="cpu")


@pytest.mark.slow
def test_an_extreme_label_that_makes_the_loss_infinite_is_named(trained):
    """A regression on a label of 1e30, whose square is no float32: value, column and key are in the error."""
    splits = [table(rows) for rows in (64, 20, 20)]
    for rows in splits:
        rows["label"] = rows["x"] * 2
    splits[0].loc[7, "label"] = 1e30
    model = {"implementation": "toy_training:Squares", "params": {}}
    with pytest.raises(TrainingError) as caught:
        trained(*splits, model=model, task="regression")
    assert re.search(r"training loss is inf in epoch 1, train batch \d of 4", str(caught.value))
    assert "Extreme values: 1e+30 in 'label' (id 1007)." in str(caught.value)
