"""Model files on disk, for model names of every kind."""

import asyncio
import os
from pathlib import Path

import pytest

from mlops_lib import wrappers
from mlops_lib.errors import ModelError
from mlops_lib.files import digest_of_folder
from mlops_lib.registry import MODEL_DIGEST_TAG, Registry, model_digest
from serving.models.cache import ModelCache
from serving.models.facts import ModelFacts
from serving.models.loading import load
from serving.operations.metrics import Metrics
from tests.support.shop import copy


@pytest.mark.parametrize("name", ["당뇨예측", "와인 프로젝트", "50% off", "점수.v2", "가" * 80])
def test_a_model_of_any_name_is_loaded_from_the_cache(shop, tmp_path, name):
    """Korean letters, spaces, percent signs and long names: MLflow finds the files under the folder's name."""
    settings = copy(shop, tmp_path / "project")
    registry = Registry(settings)
    version = registry.register(name, registry.resolve("shop", "Production").run_id, {})
    cache = ModelCache(tmp_path / "cache")
    folder = cache.fetch(version)
    assert wrappers.load(str(folder)).signature
    cache.mark_good("stage Production", folder)
    assert cache.last_good(name, "stage Production")[1] == folder == cache.fetch(version)


def test_bytecode_of_a_store_does_not_reach_the_service(shop, tmp_path, monkeypatch):
    """Python would run it in place of the source, and it is no part of the digest."""
    settings = copy(shop, tmp_path / "project")
    version = Registry(settings).resolve("shop", "Production")

    def downloaded(uri, into):
        folder = download(uri, into)
        (folder / "__pycache__").mkdir()
        (folder / "__pycache__" / "own.cpython-311.pyc").write_bytes(b"code")
        return folder

    download = wrappers.download
    monkeypatch.setattr(wrappers, "download", downloaded)
    folder = ModelCache(tmp_path / "cache").fetch(version)
    assert not list(folder.rglob("*.pyc"))
    assert digest_of_folder(folder) == model_digest(folder) == version.tags[MODEL_DIGEST_TAG]


def test_files_that_changed_since_they_were_logged_are_refused(shop, tmp_path):
    """The version's tag has the digest of the files as training logged them."""
    settings = copy(shop, tmp_path / "project")
    version = Registry(settings).resolve("shop", "Production")
    folder = ModelCache(tmp_path / "cache").fetch(version)
    with (folder / "MLmodel").open("a") as file:
        file.write("\n")
    with pytest.raises(ModelError, match="shop version 1 cannot be loaded: its files have changed since"):
        asyncio.run(load(version, folder, settings, Metrics()))


def test_files_are_hashed_once_for_a_load(shop, tmp_path):
    """The cache knows the model's digest. It does not where an older release left the file that MLflow adds."""
    settings = copy(shop, tmp_path / "project")
    cache, version = ModelCache(tmp_path / "cache"), Registry(settings).resolve("shop", "Production")
    folder = cache.fetch(version)
    assert cache.digest(folder) == model_digest(folder)
    assert ModelFacts.read(folder, cache.digest(folder)) == ModelFacts.read(folder)
    (folder / "registered_model_meta").write_text("model_name: shop\n")
    assert cache.digest(folder) == ""


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../x", "%2e%2e"])
def test_no_name_leads_out_of_the_cache(tmp_path, name):
    """A name comes from the registry and is not trusted."""
    home = ModelCache(tmp_path)._home(name)
    assert home.parent == tmp_path and home.resolve() != tmp_path and "%" not in home.name


def test_names_that_look_alike_have_folders_of_their_own():
    """The unreadable characters differ, and so does the digest in the name."""
    homes = {ModelCache(Path("c"))._home(name) for name in ("a b", "a_b", "a/b", "a%b")}
    assert len(homes) == 4


def test_the_files_of_served_versions_stay(tmp_path):
    """Versions that this worker or another one holds, and the version that served last; others are deleted."""
    cache, home = ModelCache(tmp_path), tmp_path / "m"
    folders = [home / f"{number}-x" for number in range(1, 9)]
    for number, folder in enumerate(folders):
        folder.mkdir(parents=True)
        card = home / f"{folder.name}.json"
        card.write_text("{}")
        os.utime(card, (number, number))
    other_worker = ModelCache(tmp_path)
    cache.hold(folders[0])
    other_worker.hold(folders[2])
    other_worker.hold(folders[2])
    other_worker.release(folders[2])

    def kept() -> list[str]:
        cache.mark_good("stage Production", folders[1])
        return sorted(path.name for path in home.iterdir() if path.is_dir())

    assert kept() == ["1-x", "2-x", "3-x", "5-x", "6-x", "7-x", "8-x"]
    other_worker.release(folders[2])
    assert kept() == ["1-x", "2-x", "5-x", "6-x", "7-x", "8-x"]
    with pytest.raises(ModelError, match=r"Another worker has just deleted .*/m/3-x"):
        other_worker.hold(folders[2])
