"""Questions to the registry that its address makes pointless."""

import asyncio
import time

import pytest

from mlops_lib import config
from mlops_lib.errors import RegistryError
from mlops_lib.registry import ModelVersion
from serving.models import registry_query
from serving.models.registry_query import RegistryQuery
from serving.models.served import ServedModel


def test_a_missing_sqlite_file_is_named_and_not_made(tmp_path):
    """An empty registry in its place would answer that there is no such model."""
    file = tmp_path / "config.yaml"
    file.write_text(
        "mlflow: {tracking_uri: 'sqlite:///wrong.db'}\nmodel: {name: m}\ndata: {source: a, label: y}\n"
        "evaluation: {threshold: 0.0}\n"
    )
    with pytest.raises(RegistryError, match=f"{tmp_path}/wrong.db does not exist.*MLFLOW_TRACKING_URI"):
        asyncio.run(RegistryQuery(config.load(file))(anew=False))
    assert not (tmp_path / "wrong.db").exists()


def test_imports_are_no_silence_of_the_registry(tmp_path, monkeypatch):
    """They may take longer than the registry's time, also for a reload that comes before the first question."""
    file = tmp_path / "config.yaml"
    file.write_text("mlflow: {tracking_uri: 'http://r'}\nmodel: {name: m}\n")
    monkeypatch.setattr(registry_query, "REGISTRY_TIMEOUT_S", 0.5)
    monkeypatch.setattr(registry_query.importlib, "import_module", lambda _: time.sleep(0.8))
    query = RegistryQuery(config.load_for_service(file).settings)
    monkeypatch.setattr(query, "_resolve", dict)
    assert asyncio.run(query(anew=True)) == {}


@pytest.mark.parametrize(("stage", "shown"), [("None", None), ("Production", "Production")])
def test_a_version_without_a_stage_answers_null(stage, shown):
    """MLflow's word for no stage is the text None."""
    served = ServedModel.__new__(ServedModel)
    served.describe(ModelVersion("m", 1, stage, "r"))
    assert served.card["stage"] is shown
