"""Moves that were made outside the platform: the service enters them, once, and no route of it moves a version."""

import ast
import asyncio
import logging

import mlflow
import pytest

from mlops_lib.registry import Registry
from serving.models.outside_moves import OutsideMoves
from serving.web.routes import route_table
from tests.support.projects import ROOT
from tests.support.promoting import promote
from tests.support.shop import copy, running
from tests.support.waiting import LIMIT_S

#: Functions that move a version.
MOVES = {
    "promote",
    "roll_back",
    "transition_model_version_stage",
    "set_registered_model_alias",
    "update_model_version",
}


@pytest.fixture
def settings(stored):
    """A registry in which somebody moved version 2 to Production by hand, after the platform promoted version 1."""
    settings = stored.settings(model__name="churn")
    registry = Registry(settings)
    registry._client.create_registered_model("churn")
    for number in (1, 2):
        registry._client.create_model_version("churn", "file:///nowhere", f"run{number}")
    promote(registry, "churn", 1)
    return settings


def move_by_hand(settings, version):
    with pytest.warns(FutureWarning):
        Registry(settings)._client.transition_model_version_stage("churn", str(version), "Production", True)


def versions(settings):
    return {"champion": Registry(settings).resolve("churn", stage="Production")}


async def looked(*workers, settings):
    for worker in workers:
        worker.look(versions(settings))
    await asyncio.gather(*(worker._pending for worker in workers), return_exceptions=True)
    await asyncio.sleep(0)  # the callbacks have their turn


def actions(settings):
    return [entry.action for entry in Registry(settings).history("churn").entries]


@pytest.mark.slow
def test_workers_enter_a_move_once(settings, caplog):
    """Two workers look at once, again and again; the one that finds the claim taken looks again."""
    move_by_hand(settings, 2)

    async def work():
        workers = OutsideMoves(settings), OutsideMoves(settings)
        async with asyncio.timeout(LIMIT_S):
            while len(actions(settings)) < 3:
                await looked(*workers, settings=settings)
        await looked(*workers, settings=settings)

    asyncio.run(work())
    assert actions(settings) == ["forced", "found_moved", "found_moved"], (
        "the stage, and the alias apart from it"
    )
    assert "found moved: Production is now version 2, it was 1" in caplog.text


@pytest.mark.slow
def test_an_unchanged_registry_is_compared_once(settings):
    """The service asks every few seconds; the history is read when a version moved."""

    async def work():
        worker = OutsideMoves(settings)
        await looked(worker, settings=settings)
        first = worker._pending
        worker.look(versions(settings))
        assert worker._pending is first
        move_by_hand(settings, 2)
        worker.look(versions(settings))
        assert worker._pending is not first
        await worker._pending

    asyncio.run(work())


def test_a_registry_that_may_not_be_written_to_is_logged_once(settings, monkeypatch, caplog):
    """A service often has a login that may only read."""

    def refuse(*_):
        raise mlflow.MlflowException("permission denied")

    monkeypatch.setattr(mlflow.MlflowClient, "set_registered_model_tag", refuse)
    caplog.set_level(logging.WARNING)

    async def work():
        worker = OutsideMoves(settings)
        move_by_hand(settings, 2)
        await looked(worker, settings=settings)
        Registry(settings)._client.set_registered_model_alias("churn", "other", "2")
        await looked(worker, settings=settings)

    asyncio.run(work())
    assert caplog.text.count("cannot be entered in the history") == 1 and "permission denied" in caplog.text
    assert actions(settings) == ["forced"]


@pytest.mark.slow
def test_a_service_of_two_workers_enters_a_move_once(shop, tmp_path):
    """In MLflow's UI version 2 takes Production: the service serves it, and its history has one entry for each place."""
    settings = copy(shop, tmp_path / "project")
    registry = Registry(settings)
    with running(settings, "--workers", "2") as service:
        with pytest.warns(FutureWarning):
            registry._client.transition_model_version_stage("shop", "2", "Production", True)
        service.until(lambda: service.get("/readyz")[1]["model"]["version"] == 2)
        # Two: the stage, and the alias that stayed.
        service.until(lambda: len(registry.history("shop").entries) >= 3)
        registry._client.set_registered_model_alias("shop", "production", "2")
        service.until(lambda: len(registry.history("shop").entries) >= 4)
    found = registry.history("shop")
    assert found.verify() == ""
    assert [(e.stage, e.version) for e in found.entries[1:]] == [
        ("Production", 2), ("@production", 1), ("@production", 2),
    ]  # fmt: skip


def test_no_route_of_the_service_moves_a_version():
    """Neither does any other part of the service: only the command line and the library do."""
    words = ("promot", "stage", "alias", "rollback", "roll_back", "transition")
    assert [r.path for r in route_table().routes if any(word in r.path.lower() for word in words)] == []
    called = {
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in (ROOT / "serving").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in MOVES
    }
    assert called == set()
