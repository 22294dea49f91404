"""The digest of a model's files: on run and version, the same wherever the files are."""

from mlops_lib import registry, tracking, wrappers
from mlops_lib.registry import MODEL_DIGEST_TAG, model_digest
from tests.support.projects import Trained


def test_files_that_a_download_or_an_import_adds_do_not_count(tmp_path):
    """MLflow's note and the bytecode of an imported module; bytecode without its source is a file of the model."""
    (tmp_path / "code").mkdir()
    (tmp_path / "MLmodel").write_text("flavors: {}")
    (tmp_path / "code" / "own.py").write_text("x = 1")
    digest = model_digest(tmp_path)
    (tmp_path / "registered_model_meta").write_text("model_name: m")
    (tmp_path / "code" / "__pycache__").mkdir()
    (tmp_path / "code" / "__pycache__" / "own.cpython-311.pyc").write_bytes(b"code")
    assert model_digest(tmp_path) == digest
    (tmp_path / "code" / "other.pyc").write_bytes(b"code")
    assert model_digest(tmp_path) != digest


def test_one_changed_byte_changes_the_digest(tmp_path):
    """Names count as well as bytes."""
    (tmp_path / "a").write_text("1")
    digest = model_digest(tmp_path)
    (tmp_path / "a").write_text("2")
    changed = model_digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert len({digest, changed, model_digest(tmp_path)}) == 3


def test_a_trained_model_has_one_digest_everywhere(trained: Trained, tmp_path):
    """On its run since training, on its version, and of the files as the service downloads them."""
    settings = trained.project.settings()
    version = registry.Registry(settings).resolve("repurchase", version=trained.version)
    run = tracking.connect(settings).get_run(trained.run_id)
    downloaded = wrappers.download(version.uri, tmp_path)
    assert (
        model_digest(downloaded)
        == version.tags[MODEL_DIGEST_TAG]
        == run.data.tags[MODEL_DIGEST_TAG]
        == model_digest(wrappers.download(wrappers.uri_of_run(trained.run_id)))
    )
