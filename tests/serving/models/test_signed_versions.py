"""The service loads versions alone that the owner of a key has signed."""

import asyncio

import mlflow
import pytest
import yaml

from mlops_lib import config
from mlops_lib.errors import ModelError
from mlops_lib.files import digest_of_folder, read_json, write_json
from mlops_lib.registry import Registry, signing
from mlops_lib.settings import Settings
from mlops_lib.wrappers import download
from serving.models.loading import load
from serving.operations.metrics import Metrics
from tests.support.keys import make_keys
from tests.support.promoting import promote
from tests.support.shop import ROW, copy, running


def with_key(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings with a new private key, which the service does not get; its public key is in signed_by."""
    private, public = make_keys(settings.root)
    content = yaml.safe_load((settings.root / "config.yaml").read_text())
    content["serving"]["signed_by"] = public.name
    (settings.root / "config.yaml").write_text(yaml.safe_dump(content))
    with monkeypatch.context() as patch:
        patch.setenv("MODEL_SIGNING_KEY", private.name)
        return config.load(settings.root / "config.yaml")


@pytest.mark.slow
def test_only_signed_versions_are_served(shop, tmp_path, monkeypatch):
    """An unsigned version is refused while the signed one answers; once it is signed it is served. A copy on disk that was
    changed together with its digest is refused too, when the registry is away."""
    settings = with_key(copy(shop, tmp_path / "project"), monkeypatch)
    registry = Registry(settings)
    signing.sign(settings, registry.resolve("shop", version=1))
    with running(settings) as service:
        assert service.post("/predict", ROW)[1]["model"]["version"] == 1
        promote(registry, "shop", 2)
        refused = service.until(lambda: service.get("/status")[1]["refused"]["champion"])
        assert refused["version"] == 2 and "not signed" in refused["reason"]
        assert service.post("/predict", ROW)[1]["model"]["version"] == 1
        signing.sign(settings, registry.resolve("shop", version=2))
        service.until(lambda: service.post("/predict", ROW)[1]["model"]["version"] == 2)

    (folder,) = (path for path in (settings.root / "cache/shop").glob("2-*") if path.is_dir())
    (folder / "data" / "planted.py").write_text("")
    card = folder.with_suffix(".json")
    write_json(card, {**read_json(card), "digest": digest_of_folder(folder)})
    (settings.root / "mlflow.db").rename(settings.root / "away.db")
    (settings.root / "mlflow.db").mkdir()
    with running(settings, ready=False) as service:
        reason = service.until(lambda: _problem_of(service, "signed_by"))
        assert "added data/planted.py" in reason and service.get("/readyz")[0] == 503


def _problem_of(service, word):
    problem = service.get("/readyz")[1]["detail"]
    return problem if word in problem else None


@pytest.mark.slow
def test_no_code_runs_before_the_signature_is_checked(shop, tmp_path, monkeypatch):
    """The model's file writes a marker when it is imported. It is imported, in a process, once the version is signed."""
    settings = with_key(copy(shop, tmp_path / "project"), monkeypatch)
    marker, code = tmp_path / "marker", tmp_path / "model.py"
    code.write_text(
        f"import mlflow, pathlib\npathlib.Path({str(marker)!r}).touch()\n"
        "class Model(mlflow.pyfunc.PythonModel):\n    def predict(self, model_input: list[float]): return model_input\n"
        "mlflow.models.set_model(Model())\n"
    )
    registry = Registry(settings)
    with mlflow.start_run() as run:
        mlflow.pyfunc.log_model(name="model", python_model=str(code), pip_requirements=["mlflow"])
    unsigned = registry.register("coded", run.info.run_id, {})
    folder = download(unsigned.uri, tmp_path)
    marker.unlink()

    async def loaded() -> None:
        (await load(registry.resolve("coded", version=1), folder, settings, Metrics(None))).model.close()

    with pytest.raises(
        ModelError, match=r"coded version 1 is refused by serving\.signed_by: it is not signed"
    ):
        asyncio.run(loaded())
    assert not marker.exists()
    signing.sign(settings, unsigned)
    asyncio.run(loaded())
    assert marker.exists()
