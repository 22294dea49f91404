"""Artifacts in S3: a real S3 server, a real MLflow server on it, and the service that loads from there."""

import pytest
from mlflow.store.artifact import s3_artifact_repo

from mlops_lib import config, loaders, notebooks, registry, tracking, wrappers
from mlops_lib.errors import MlopsError, ModelError
from tests.support.promoting import promote
from tests.support.s3_server import SECRET
from tests.support.servers import mlflow_server
from tests.support.shop import running

pytestmark = pytest.mark.slow


@pytest.fixture
def s3(s3_keys, monkeypatch):
    """A running S3 server; this process and its children have keys and address."""
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", s3_keys.url)
    s3_artifact_repo._cached_get_s3_client.cache_clear()  # MLflow reads the keys once in a process
    return s3_keys


@pytest.mark.parametrize(
    ("changes", "bucket", "told"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "t0p-other"}, "mlops", "signature we calculated does not match"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "mlops", "access key ID you provided does not exist"),
        ({}, "no-such-bucket", "The specified bucket does not exist"),
        ({"MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:9"}, "mlops", "Could not connect to the endpoint"),
    ],
)
def test_a_store_that_refuses_is_found_before_training(s3, stored, monkeypatch, changes, bucket, told):
    """Wrong key, no bucket, no server: one message with the address and the remedy, and without a secret."""
    settings = stored.settings()
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    tracking.use_store(settings)
    tracking.connect(stored.settings(mlflow__experiment="Default")).create_experiment(
        "repurchase", artifact_location=f"s3://{bucket}/artifacts"
    )
    loaders.from_settings(settings).write(loaders.prepared_folder(settings))
    with pytest.raises(MlopsError, match=told) as error:
        wrappers.from_settings(settings).train(loaders.prepared(settings), settings)
    assert f"s3://{bucket}/artifacts" in str(error.value) and "AWS_SECRET_ACCESS_KEY and MLFLOW_S3" in str(
        error.value
    )
    assert "t0p" not in str(error.value)
    with pytest.raises(ModelError, match="Cannot download model") as error:
        wrappers.download(f"s3://{bucket}/artifacts/model")
    assert "t0p" not in str(error.value)


@pytest.mark.usefixtures("forked_steps")
def test_a_model_goes_through_s3_to_the_service_which_outlives_the_store(s3, stored, monkeypatch):
    """Notebook, checkpoint and model are objects; the service loads the model, and starts from its cache without S3."""
    with mlflow_server(f"sqlite:///{stored.root}/.mlops/mlflow.db", "s3://mlops/artifacts") as address:
        stored.configure(mlflow={"tracking_uri": address}, serving={"stage": "Production", "poll_s": 0.3})
        monkeypatch.setenv(config.CONFIG_ENV, str(stored.config_file))
        settings = stored.settings()
        loaders.from_settings(settings).write(loaders.prepared_folder(settings))
        dataset = loaders.prepared(settings)
        parent = tracking.open_parent(settings)
        trained = notebooks.run("02_train", parent_run_id=parent)
        model = wrappers.load(trained.model_uri)
        model.evaluate(dataset, settings)
        first = registry.register_run(settings, trained.run_id)
        models = registry.Registry(settings)
        promote(models, first.name, first.version)

        keys = s3.keys()
        assert (
            tracking.connect(settings).get_run(parent).info.artifact_uri.startswith("s3://mlops/artifacts/")
        )
        for ending in ("notebooks/02_train.html", "MLmodel", ".ckpt", "evaluation/test/report.json"):
            assert [key for key in keys if key.startswith("artifacts/") and key.endswith(ending)], (
                ending,
                keys,
            )

        row = dataset.load("test")[model.feature_names].head(1).to_dict("records")[0]
        expected = pytest.approx(float(model.predict([row])[0]), abs=1e-6)
        with running(settings) as service:
            assert service.post("/predict", row)[1]["predictions"] == expected
            s3.kill()
            assert service.post("/predict", row)[1]["predictions"] == expected
        second = models.register(first.name, trained.run_id, {})
        promote(models, second.name, second.version)
        with running(settings) as service:
            answer = service.post("/predict", row)[1]
            assert answer["predictions"] == expected and answer["model"]["version"] == first.version
            service.until(lambda: "version 2 was refused: Cannot download" in service.log.read_text())
            assert SECRET not in service.log.read_text()
