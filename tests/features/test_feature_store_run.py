"""The main job on the feature store, as a user types it, beside the same job on the local file."""

import json

import pytest

from examples.repurchase import demo
from mlops_lib import loaders
from mlops_lib.registry import SCORE_TAG, Registry


@pytest.mark.slow
def test_the_main_job_on_the_feature_store_is_the_local_one_and_serves_keys(
    pipeline_run, make_project, tmp_path, monkeypatch
):
    """`mlops run` on the joined rows scores like the local run, and the service answers a key at the default budget."""
    project = make_project(tmp_path / "project", serving={"stage": "Staging"})
    monkeypatch.setenv("DATA_LOADER_TYPE", "feature_store")
    settings = project.settings()
    demo.fill_feature_store(settings)
    done = project.mlops("run", warm=True)
    assert done.returncode == 0, done.stderr[-3000:]
    version = Registry(settings).resolve("repurchase", stage="Staging")
    local = Registry(pipeline_run.project.settings(data__loader="local")).resolve(
        "repurchase", stage="Staging"
    )
    assert abs(float(version.tags[SCORE_TAG]) - float(local.tags[SCORE_TAG])) <= 0.005
    loader = loaders.from_settings(settings)
    assert json.loads(version.tags["mlops.features"]) == list(loader.schema.features)
    assert loader.origin["feature_service"] == "customers" and loader.origin["features"] == list(
        loader.schema.features
    )
    row = demo.one_customer(settings)
    assert list(row) == ["user_id"]
    with demo.Service(project.config_file) as service:
        url = service.start()
        answer = demo.post(f"{url}/predict", {"inputs": row})
    assert answer["features"] == {"counts": {"online": 7}, "troubled": []}
    assert answer["predictions"] and answer["model"]["version"] == version.version
    monkeypatch.delenv("DATA_LOADER_TYPE", raising=False)
    again = project.mlops("reproduce", "repurchase", str(version.version), warm=True)
    assert again.returncode == 0, again.stdout[-2000:] + again.stderr[-3000:]
    assert "identical" in again.stdout
