"""docs/networks.md: its networks train, and are judged, on the data of the examples."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.digits import get_data
from mlops_lib import loaders, wrappers
from tests.support.pages import blocks
from tests.support.projects import ROOT, Project

PAGE = ROOT / "docs" / "networks.md"


def settings_of(folder: Path, block: str) -> Any:
    """Settings of a block of YAML, with the programs of the page beside them."""
    for code in blocks(PAGE, "python"):
        if program := re.match(r"# (\w+\.py)\n", code):  # the rest are parts of one
            (folder / program[1]).write_text(code)
    content = yaml.safe_load(block)
    content["mlflow"] = {"tracking_uri": "sqlite:///mlflow.db", "experiment": "page"}
    content["train"] = {"max_epochs": 2, "batch_size": 64}
    content["evaluation"] = {"metric": "accuracy", "threshold": 0.2, "baselines": []}
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return Project(folder).settings()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["photos", "messages"])
def test_the_networks_of_the_page_learn(name, tmp_path, blank_store, monkeypatch) -> None:
    """More than chance after two epochs, from folders of images and from texts."""
    (tmp_path / "mlflow.db").write_bytes(blank_store.read_bytes())
    monkeypatch.syspath_prepend(str(tmp_path))
    if name == "photos":
        get_data.main(tmp_path / "photos")
    else:
        texts = ROOT / "examples/text/data/messages.parquet"
        (tmp_path / "messages.parquet").write_bytes(texts.read_bytes())
    (block,) = [one for one in blocks(PAGE, "yaml") if f"implementation: {name}:" in one]
    settings = settings_of(tmp_path, block)
    try:
        loaders.from_settings(settings).write(loaders.prepared_folder(settings))
        dataset = loaders.prepared(settings)
        model = wrappers.from_settings(settings)
        model.train(dataset, settings)
        assert model.evaluate(dataset, settings).verdict.passed
    finally:
        for module in ("photos", "messages", "letters"):
            sys.modules.pop(module, None)
