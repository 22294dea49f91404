"""The network for images: every task, images of all sizes, and a fit on a project that `mlops init` makes."""

import json

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from typer.testing import CliRunner

from mlops_lib import config, loaders, wrappers
from mlops_lib.cli import app
from mlops_lib.columns.json_rows import example_rows
from mlops_lib.network_inputs.spec import InputSpec
from mlops_lib.networks.image import ImageNetwork
from tests.support.pictures import encoded


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 8, 8), (3, 33, 70), (3, 224, 224)])
@pytest.mark.parametrize(("n_classes", "n_labels", "answer"), [(2, 1, ()), (5, 1, (5,)), (0, 1, ()), (2, 3, (3,)), (0, 3, (3,))])  # fmt: skip
def test_every_task_and_size_has_its_answer_and_a_loss(shape, n_classes, n_labels, answer):
    """Probabilities or values for each row; weights count."""
    network = ImageNetwork(
        {"x": InputSpec("x", ("image",), "image", "float32", shape)}, n_classes, n_labels, width=2
    )
    x, labels = torch.rand(4, *shape), (n_labels,) if n_labels > 1 else ()
    y = torch.randint(0, max(n_classes, 2), (4, *labels)).float()
    network.fit_preprocessing([(x, y)])
    assert torch.isfinite(network._loss((x, y))) and network._loss((x, y, torch.tensor([1.0, 0, 0, 1]))) >= 0
    network.eval()
    found = network(x)
    assert found.shape == (4, *answer)
    assert not n_classes or ((found >= 0) & (found <= 1)).all()


@pytest.mark.slow
def test_a_folder_of_images_becomes_a_project_that_learns(tmp_path, monkeypatch):
    """`mlops init` proposes loader, network and size; the model sees which half is bright, also as JSON; its mistakes are drawn."""
    draw = np.random.default_rng(0)
    for label in ("left", "right"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(80):
            width, height = draw.integers(16, 40, 2).tolist()
            pixels = draw.integers(0, 90, (height, width, 3), dtype=np.uint8)
            half = slice(0, width // 2) if label == "left" else slice(width // 2, width)
            pixels[:, half] += 60
            file = encoded(Image.fromarray(pixels), "JPEG")
            (tmp_path / "photos" / label / f"{number}.jpg").write_bytes(file)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app.app, ["init", "mine", "--source", "photos", "--yes"])
    assert done.exit_code == 0, done.output
    content = yaml.safe_load((tmp_path / "mine/config.yaml").read_text())
    assert content["data"]["loader"] == "images" and content["data"]["label"] == "label"
    assert content["model"]["implementation"] == "image" and content["model"]["inputs"]["x"]["shape"][0] == 3
    content["train"] = {"max_epochs": 6, "num_workers": 1}
    content["mlflow"]["tracking_uri"] = "sqlite:///mlflow.db"
    (tmp_path / "mine/config.yaml").write_text(yaml.safe_dump(content))
    settings = config.load(tmp_path / "mine/config.yaml")
    loaders.from_settings(settings).write(loaders.prepared_folder(settings))
    dataset = loaders.prepared(settings)
    model = wrappers.from_settings(settings)
    model.train(dataset, settings)
    report = model.evaluate(dataset, settings)
    assert report.metrics["roc_auc"].value > 0.9
    wrong = round((1 - report.metrics["accuracy"].value) * dataset.count("test"))
    assert ("worst_images" in report.figures) is (wrong > 0)
    test = dataset.load("test")
    rows = json.loads(json.dumps(example_rows(test, model.columns)))
    assert np.array_equal(model.predict(rows), model.predict(test))
    assert "pillow==" in (model.folder / "requirements.txt").read_text()
