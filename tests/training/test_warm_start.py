"""Fine-tuning from a registered version or a file; the learning-rate finder; the profiler."""

import json
import sys
from types import SimpleNamespace

import mlflow
import pyarrow as pa
import pytest
import torch

from mlops_lib import loaders, tracking, wrappers
from mlops_lib.columns.fit import fit
from mlops_lib.columns.infer import Declared, infer
from mlops_lib.errors import ConfigError, TrainingError
from mlops_lib.network_inputs import resolve
from mlops_lib.settings.model import ModelSettings
from mlops_lib.step_cache import mlflow_state
from mlops_lib.step_cache.entry import Entry, Stale
from mlops_lib.tracking import WARM_START_TAG
from mlops_lib.training.implementation import build
from mlops_lib.wrappers.network import log as network_log
from mlops_lib.wrappers.network import warm_start
from tests.support.projects import written


def own(features=3):
    """A network as a user has one, and its weights."""
    module = torch.nn.Sequential(torch.nn.Linear(features, 2), torch.nn.BatchNorm1d(2))
    return module, {name: value.clone() for name, value in module.state_dict().items()}


@pytest.mark.slow
def test_a_version_gives_the_weights_that_it_was_trained_to(trained_copy, capsys):
    """Parameters and preprocessing of the module are those whose answers the registered version gives."""
    settings = trained_copy.project.settings(train__warm_start=f"models:/repurchase/{trained_copy.version}")
    dataset = loaders.prepared(settings)
    registered = wrappers.load(f"models:/repurchase/{trained_copy.version}")
    features = len(registered.feature_names)
    module = build(settings, "network", n_features=features, n_classes=2, codes=(0,) * features)
    run = mlflow.MlflowClient().create_run("0")
    warm_start.load(module, fit(dataset.schema, dataset.parts("train")), settings, run.info.run_id)
    rows = dataset.load("test").head(50)
    x = torch.from_numpy(registered.matrix(rows))
    answers = module.eval()(x).detach().numpy()
    assert answers == pytest.approx(registered.predict(rows), abs=1e-6)
    assert "Warm start: " in capsys.readouterr().out


def test_columns_in_another_order_are_refused(trained_copy):
    """Also of numbers as they are: each weight belongs to a place in the matrix."""
    settings = trained_copy.project.settings(train__warm_start=f"models:/repurchase/{trained_copy.version}")
    dataset = loaders.prepared(settings)
    names = list(dataset.schema.features)
    other = dataset.schema.with_features(reversed(names))
    module = build(settings, "network", n_features=len(names), n_classes=2, codes=(0,) * len(names))
    run = mlflow.MlflowClient().create_run("0")
    with pytest.raises(TrainingError, match=f"it has the features {', '.join(names)}"):
        warm_start.load(module, fit(other, dataset.parts("train")), settings, run.info.run_id)


class Pair(torch.nn.Module):
    """Takes two categories and a text by name."""

    def __init__(self):
        super().__init__()
        self.left, self.right, self.text = (torch.nn.Embedding(9, 2) for _ in range(3))

    def forward(self, left, right, review):
        return (self.left(left) * self.right(right) + self.text(review).mean(1)).sum(-1)


class InOrder(Pair):
    """Takes the same without names."""

    def forward(self, *inputs):
        return super().forward(*inputs)


#: Users and items have the same codes, so only the columns tell them apart.
PAIRS = pa.table(
    {"user": ["a", "b"] * 3, "item": ["a", "b"] * 3, "review": ["x y", "z", "x"] * 2, "y": [0, 1] * 3}
)
PAIR = {"left": "user", "right": "item", "review": {"column": "review", "tokenizer": "words.json"}}


def by(tokenizer):
    """The input of the text by a tokenizer."""
    return {"review": {"column": "review", "tokenizer": tokenizer}}


def letters(text):
    """A tokenizer."""
    return [ord(letter) for letter in text]


@pytest.fixture
def encoder_of(stored, monkeypatch):
    """Makes the encoder of the inputs of a network in `stored`."""

    class Words:
        """A file of words and ids."""

        def __init__(self, ids):
            self._ids = ids

        @classmethod
        def from_file(cls, file):
            with open(file, encoding="utf-8") as content:
                return cls(json.load(content))

        def encode(self, text):
            return [self._ids[word] for word in text.split()]

    monkeypatch.setitem(sys.modules, "tokenizers", SimpleNamespace(Tokenizer=Words))
    for name, ids in {"words": (1, 2, 3), "same": (1, 2, 3), "other": (3, 2, 1)}.items():
        (stored.root / f"{name}.json").write_text(json.dumps(dict(zip("xyz", ids, strict=True))))
    frame = PAIRS.to_pandas()
    schema = infer(PAIRS, Declared("y", kinds={"user": "category", "item": "category", "review": "text"}))

    def encoder(network, inputs):
        model = ModelSettings(inputs=inputs)
        plan = resolve.plan(network, model, schema)
        return plan.encoder(fit(plan.encoded_schema, [frame]), frame, stored.root)

    return encoder


@pytest.mark.slow
@pytest.mark.parametrize("network", [Pair, InOrder])
def test_inputs_must_hold_the_same_columns_by_the_same_tokenizer(encoder_of, stored, network):
    """Not inputs of one kind that changed places, nor another tokenizer; the name of a tokenizer's file does not count."""
    settings = stored.settings(train__warm_start="models:/pair/1")
    client, frame = tracking.connect(settings), PAIRS.to_pandas()
    experiment = client.get_experiment_by_name(settings.mlflow.experiment)
    run_id = client.create_run(experiment.experiment_id).info.run_id
    logged = encoder_of(network, PAIR)
    uri = network_log.log(network().eval(), logged, frame, frame, run_id, {}, stored.root)
    client.create_registered_model("pair")
    client.create_model_version("pair", uri, run_id)
    for same in ({}, by("same.json")):
        warm_start.load(network(), encoder_of(network, PAIR | same), settings, run_id)
    swapped = (
        r"('left'|1) is item \(codes\) in the network and user \(codes\) there; "
        r"input ('right'|2) is user \(codes\) in the network and item \(codes\) there\."
    )
    other_file = r"review \(tokens of tokenizer \w{12}\) in the network and review \(tokens of tokenizer \w{12}\) there"
    for changed, words in (
        ({"left": "item", "right": "user"}, swapped),
        (by("other.json"), other_file),
        (by(f"{__name__}:letters"), r"review \(tokens of [\w.]+:letters\) in the network"),
    ):
        with pytest.raises(TrainingError, match=words):
            warm_start.load(network(), encoder_of(network, PAIR | changed), settings, run_id)


@pytest.mark.slow
def test_training_starts_from_the_version_and_the_cache_follows_the_alias(trained_copy):
    """The first epoch is as good as the version's last; when the alias moves, the cached training is stale."""
    project, version = trained_copy.project, trained_copy.version
    client = mlflow.MlflowClient()
    client.set_registered_model_alias("repurchase", "base", version)
    settings = project.settings(train__warm_start="models:/repurchase@base", train__max_epochs=1)
    dataset = loaders.prepared(settings)
    run_id = wrappers.from_settings(settings).train(dataset, settings).run_id
    before = min(m.value for m in client.get_metric_history(trained_copy.run_id, "val_loss"))
    (first,) = client.get_metric_history(run_id, "val_loss")
    assert first.value < before + 0.01
    assert client.get_run(run_id).data.tags[WARM_START_TAG] == f"models:/repurchase/{version}"
    entry = Entry.model_construct(outputs={"run_id": run_id})
    assert mlflow_state.trained_run(settings, {}, entry) == {"run_id": run_id}
    source = client.get_model_version("repurchase", str(version)).source
    newer = client.create_model_version("repurchase", source, trained_copy.run_id)
    client.set_registered_model_alias("repurchase", "base", newer.version)
    with pytest.raises(Stale, match=f"models:/repurchase@base is version {newer.version} now"):
        mlflow_state.trained_run(settings, {}, entry)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_file_of_weights_fits_or_the_parameters_are_named(stored, wrapped):
    """A state dict, or a checkpoint of Lightning; another shape, a missing and an unknown parameter are named."""
    module, weights = own()
    weights["0.weight"] += 1
    file, run_id = stored.root / "weights.pt", mlflow.MlflowClient().create_run("0").info.run_id
    torch.save({"state_dict": weights} if wrapped else weights, file)
    settings = stored.settings(train__warm_start="weights.pt")
    warm_start.load(module, None, settings, run_id)
    assert torch.equal(module.state_dict()["0.weight"], weights["0.weight"])

    other, before = own(features=5)
    with pytest.raises(
        TrainingError, match=r"'0\.weight' has shape \[2, 5\] in the network and \[2, 3\] there"
    ):
        warm_start.load(other, None, settings, run_id)
    loose = stored.configure(train={"warm_start_strict": False}).settings(train__warm_start="weights.pt")
    warm_start.load(other, None, loose, run_id)
    assert torch.equal(other.state_dict()["0.weight"], before["0.weight"])
    assert torch.equal(other.state_dict()["0.bias"], weights["0.bias"])
    with pytest.raises(TrainingError, match="0 of 2 .* no '0.weight'|no '0.weight'"):
        warm_start.load(torch.nn.Linear(1, 1), None, loose, run_id)


@pytest.mark.parametrize(
    ("content", "words"), [(b"no weights", "cannot be read as weights"), ([1, 2], "no state dict")]
)
def test_a_file_without_weights_is_refused(stored, content, words):
    """Text, and an object of another kind; nothing is unpickled that is no tensor."""
    file = stored.root / "weights.pt"
    file.write_bytes(content) if isinstance(content, bytes) else torch.save(content, file)
    settings = stored.settings(train__warm_start="weights.pt")
    with pytest.raises(TrainingError, match=words):
        warm_start.load(own()[0], None, settings, "")
    with pytest.raises(ConfigError, match="warm_start' has value 'runs:/abc/model'.*models:/name@alias"):
        stored.settings(train__warm_start="runs:/abc/model")


@pytest.mark.slow
def test_a_learning_rate_is_found_and_a_profile_logged(stored, capsys):
    """The rate is printed, logged and drawn; the run has the profile; weights and order of rows start as without."""
    stored.configure(
        model={"implementation": "toy_training:Scheduled", "params": {}},
        train={"find_lr": True, "profiler": "simple", "max_epochs": 1},
    )
    settings, dataset = written(stored)
    run_id = wrappers.from_settings(settings).train(dataset, settings).run_id
    client = mlflow.MlflowClient()
    rate = float(client.get_run(run_id).data.params["fit.learning_rate"])
    assert 1e-6 < rate < 1 and f"Learning rate {rate:.3g}" in capsys.readouterr().out
    files = {one.path for path in ("training", "profiler") for one in client.list_artifacts(run_id, path)}
    assert "training/learning_rate.png" in files and any(name.startswith("profiler/") for name in files)

    stored.configure(model={"implementation": "toy_training:TwoOptimizers"})
    settings = stored.settings()
    with pytest.raises(TrainingError, match=r"find_lr.*optimizer"):
        wrappers.from_settings(settings).train(dataset, settings)
