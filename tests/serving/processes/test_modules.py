"""Modules of the same name in two versions: each version runs its own."""

import asyncio
import os

import pytest

from mlops_lib import wrappers
from mlops_lib.files import digest_of_folder
from mlops_lib.registry import Registry
from serving.models.facts import ModelFacts
from tests.support.model_process import OBEDIENT, with_code
from tests.support.staged_service import staged


@pytest.mark.parametrize("first", ["import helper\n", ""])
@pytest.mark.parametrize("name", ["helper", "serving", "mlops_helper", "numpy_helper"])
def test_two_versions_each_import_their_own_module(tmp_path, obedient, name, first):
    """Imported at the top or inside a call, and whatever package of the service has its name."""
    code = f"{first.replace('helper', name)}{OBEDIENT}"
    folders = {
        number: with_code(obedient, tmp_path / f"v{number}", code, **{name: f"F = {number}\n"})
        for number in (1, 2)
    }

    async def scenario():
        async with staged(tmp_path) as stage:
            for number in (1, 2, 1):
                await stage.serve(number, folders[number])
                assert not stage.models.refused
                assert await stage.do(f"__import__('{name}').F") == number

    asyncio.run(scenario())


def test_loading_and_answering_change_no_file(tmp_path, obedient):
    """Modules are compiled for the process alone: the digest of the cached copy stays, and a restart finds it unchanged."""
    folder = with_code(obedient, tmp_path / "model", f"import helper\n{OBEDIENT}", helper="F = 1\n")
    before = digest_of_folder(folder)

    async def scenario():
        async with staged(tmp_path) as stage:
            await stage.serve(1, folder)
            assert await stage.do("__import__('helper').F") == 1
            assert await stage.do("os._exit(1)") == "model_crashed" and await stage.do("1 + 1") == 2

    asyncio.run(scenario())
    assert digest_of_folder(folder) == before


def test_a_model_holds_code_unless_its_files_show_that_it_does_not(tmp_path, obedient, graph, shop, trained):
    """Code and graphs do; `auto` does not; a network that the platform exported neither, until it has a pickle."""
    import shutil
    import zipfile

    assert ModelFacts.read(obedient).holds_code and ModelFacts.read(graph).holds_code
    Registry(shop)  # MLflow looks there
    assert not ModelFacts.read(wrappers.download("models:/shop/1")).holds_code
    Registry(trained.project.settings())
    network = wrappers.download(f"models:/repurchase/{trained.version}")
    assert not ModelFacts.read(network).holds_code
    tampered = shutil.copytree(network, tmp_path / "tampered")
    with zipfile.ZipFile(tampered / "data" / "model.pt2", "a") as archive:
        archive.writestr("model/data/constants/extra.pt", b"cos\nsystem\n(S'true'\ntR.")
    assert ModelFacts.read(tampered).holds_code
    pickled = shutil.copytree(network, tmp_path / "pickled")
    (pickled / "data" / "model.pth").write_bytes(b"")
    assert ModelFacts.read(pickled).holds_code
    described = (
        (pickled / "MLmodel").read_text().replace("mlops_wrapper: lightning", "mlops_wrapper: mine:Own")
    )
    (pickled / "MLmodel").write_text(described)
    assert ModelFacts.read(pickled).holds_code, "a wrapper of the user's own is not imported to find out"


@pytest.mark.parametrize(("isolation", "own"), [("auto", True), ("process", True), ("inline", False)])
def test_the_setting_decides_where_code_runs(tmp_path, obedient, isolation, own):
    """`auto` and `process`: in a process of its own; `inline`: in the service's."""

    async def scenario():
        async with staged(tmp_path, isolation=isolation) as stage:
            await stage.serve(1, obedient)
            assert (await stage.do("os.getpid()") != os.getpid()) is own

    asyncio.run(scenario())
