"""The history of a model: entries, their chain, the holder of a stage at a time, and moves made outside the platform."""

from dataclasses import replace

import mlflow
import pytest

from mlops_lib.errors import RegistryError
from mlops_lib.registry import Decision, Registry, history
from mlops_lib.registry.history import Entry
from tests.support.promoting import promote

pytestmark = pytest.mark.slow


@pytest.fixture
def registry(stored):
    """A registry with three versions of `churn` that hold no stage."""
    registry = Registry(stored.settings())
    client = registry._client
    client.create_registered_model("churn")
    for number in (1, 2, 3):
        client.create_model_version(
            "churn", "file:///nowhere", f"run{number}", {"mlops.model_digest": f"d{number}"}
        )
    return registry


def told(registry):
    return [(e.number, e.action, e.stage, e.version, e.replaced) for e in registry.history("churn").entries]


def set_stage(registry, version, stage, archive=False):
    """A move in MLflow's UI."""
    with pytest.warns(FutureWarning):
        registry._client.transition_model_version_stage("churn", str(version), stage, archive)


def test_each_move_is_an_entry(registry):
    """Promotion, rollback and archiving: who, when, which version, and which one it replaced."""
    registry.promote("churn", 1, "Staging")
    promote(registry, "churn", 1)
    promote(registry, "churn", 2)
    registry.roll_back("churn", "Production")
    registry.promote("churn", 3, "Archived")
    assert told(registry) == [
        (1, "promoted", "Staging", 1, 0),
        (2, "forced", "Production", 1, 0),
        (3, "forced", "Production", 2, 1),
        (4, "rolled_back", "Production", 1, 2),
        (5, "archived", "Archived", 3, 0),
    ]
    found = registry.history("churn")
    assert found.verify() == ""
    third = found.entries[2]
    assert (third.run_id, third.model_digest, third.reason) == ("run2", "d2", "a test")
    assert third.user == history.current_user() and third.at.endswith("Z")
    assert third.previous_sha256 == found.entries[1].sha256 and not found.entries[0].previous_sha256


def test_the_holder_of_a_stage_at_a_time(registry):
    """Before the first entry none is known; a promoted version leaves Staging; the moment of an entry counts."""
    registry.promote("churn", 1, "Staging")
    promote(registry, "churn", 1)
    promote(registry, "churn", 2)
    found = registry.history("churn")
    first, second, third = (entry.time for entry in found.entries)
    assert found.holders(first)["Staging"].version == 1 and "Production" not in found.holders(first)
    assert found.holders(second)["Production"].version == 1 and "Staging" not in found.holders(second)
    assert found.holders(third)["Production"] == history.Holder(2, "run2")
    assert found.holders(first.replace(year=2000)) == {}


def chain(*versions):
    """Entries of promotions, as tags of the registered model, and the tags of the versions."""
    tags, of_versions, before = {}, [], ""
    for number, version in enumerate(versions, 1):
        entry = Entry(number, history.now(), "kim", "promoted", "Production", version, previous_sha256=before)
        tags[entry.tag], before = entry.to_text(), entry.sha256
        of_versions.append(f"{number} {entry.sha256} churn")
    return tags, of_versions


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("how", ["altered", "deleted", "rewritten", "swapped", "no JSON", "a list"])
@pytest.mark.parametrize("of_versions", [True, False])
def test_an_entry_that_is_altered_or_missing_is_named(number, how, of_versions):
    """One character, no tag, another entry with a right SHA-256 of its own, another entry's text, no entry at all."""
    tags, confirmed = chain(1, 2, 3, 4)
    key = f"mlops.history.{number:06}"
    entry = Entry.from_text(tags[key])
    if how == "deleted":
        del tags[key]
    else:
        tags[key] = {
            "altered": tags[key].replace("kim", "kin"),
            "rewritten": replace(entry, user="mallory").to_text(),
            "swapped": tags[f"mlops.history.{number % 4 + 1:06}"],
            "no JSON": "{",
            "a list": "[]",
        }[how]
    found = history.read("churn", tags, confirmed if of_versions else ())
    if number == 4 and not of_versions and how in ("deleted", "rewritten"):
        assert found.verify() == "", "only the version's tag can tell"
        return
    said = "is missing" if how == "deleted" else "was altered"
    assert found.verify().startswith(f"History entry {number} {said}")
    assert list(found.problems) == [number] and len(found.entries) == 3


def test_the_history_goes_on_after_an_altered_entry(registry):
    """The next entries are written, the bad one stays named, and the stage that it was about is found moved."""
    promote(registry, "churn", 1)
    registry._client.set_registered_model_tag("churn", "mlops.history.000001", "{}")
    promote(registry, "churn", 2)
    found = registry.history("churn")
    assert found.verify().startswith("History entry 1 was altered")
    assert told(registry) == [(2, "found_moved", "Production", 1, 0), (3, "forced", "Production", 2, 1)]


def test_entries_of_a_model_that_a_version_was_copied_from_are_not_missed(registry):
    """MLflow copies the version's tags to the other model, whose history is empty."""
    promote(registry, "churn", 1)
    with pytest.raises(mlflow.MlflowException):
        registry._client.get_registered_model("other")
    client = registry._client
    client.create_registered_model("other")
    client.create_model_version(
        "other", "file:///nowhere", "run1", client.get_model_version("churn", "1").tags
    )
    assert registry.history("other").verify() == ""


def test_a_move_outside_the_platform_is_entered_once(registry):
    """In MLflow's UI: to Production, away from it, the alias alone, and two versions at one stage."""
    promote(registry, "churn", 1)
    assert registry.enter_found_moves("churn") == []
    set_stage(registry, 2, "Production", archive=True)
    assert [e.action for e in registry.enter_found_moves("churn")] == ["found_moved"] * 2
    assert registry.enter_found_moves("churn") == []
    assert told(registry)[1:] == [
        (2, "found_moved", "Production", 2, 1),
        (3, "found_moved", "@production", 1, 2),
    ]
    assert "MLflow changed version 2 last at 20" in registry.history("churn").entries[1].reason
    set_stage(registry, 2, "None")
    registry._client.set_registered_model_alias("churn", "production", "3")
    registry.enter_found_moves("churn")
    assert told(registry)[3:] == [
        (4, "found_moved", "Production", 0, 2),
        (5, "found_moved", "@production", 3, 0),
    ]


def test_a_promotion_first_enters_the_moves_outside_the_platform(registry):
    """Versions 1 and 2 were both put to Production by hand: both are archived, and the history says so."""
    set_stage(registry, 1, "Production")
    set_stage(registry, 2, "Production")
    promote(registry, "churn", 3)
    assert told(registry) == [
        (1, "found_moved", "Production", 2, 0),
        (2, "found_moved", "@production", 0, 2),
        (3, "forced", "Production", 3, 2),
        (4, "archived", "Archived", 1, 0),
    ]
    assert registry.enter_found_moves("churn") == []


def test_a_deleted_version_holds_no_stage(registry):
    """Production is found empty; a number is used again only when the whole model, and so its history, was deleted."""
    promote(registry, "churn", 3)
    registry._client.delete_model_version("churn", "3")
    (entry,) = registry.enter_found_moves("churn")
    assert (entry.stage, entry.version, entry.replaced) == ("Production", 0, 3)
    assert "deleted since" in entry.reason
    registry._client.create_model_version("churn", "file:///nowhere", "other")
    assert registry.versions("churn")[0].version == 4


def test_an_entry_fits_into_mlflows_column(registry):
    """Long reasons of the gate are cut with a remark; a person's reason that is too long is refused."""
    overridden = tuple(f"slice {n}: {'x' * 200}" for n in range(60))
    registry.promote(
        "churn", 1, "Production", Decision("forced", 0, reason="급함 " * 300, overridden=overridden)
    )
    (entry,) = registry.history("churn").entries
    assert len(entry.to_text()) <= 5_000
    assert entry.overridden[-1] == f"And {60 - len(entry.overridden) + 1} more: see the evidence."
    with pytest.raises(RegistryError, match="1001 characters; the history has room for 1000"):
        registry.promote("churn", 2, "Production", Decision("forced", 1, reason="x" * 1001))


def test_a_secret_in_a_reason_is_masked(registry):
    """Everyone who may read the registry reads the history."""
    reason = "see https://bob:hunter2@wiki.example/why"
    registry.promote("churn", 1, "Production", Decision("forced", 0, reason=reason))
    assert "hunter2" not in registry.history("churn").entries[0].to_text()
