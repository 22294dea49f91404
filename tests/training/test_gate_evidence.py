"""03_evaluate's gate: the champion on the same rows, what it refuses, and the evidence it leaves."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from mlops_lib import loaders, registry, wrappers
from mlops_lib.errors import EvaluationError, MlopsError, RegistryError
from mlops_lib.evaluation.report import Verdict
from mlops_lib.evaluation.tasks.classification import Classification
from mlops_lib.loaders.files import LocalDataLoader
from mlops_lib.training import evidence
from tests.support.arena import ASKED, NAME, Arena, table
from tests.support.promoting import promote

pytestmark = pytest.mark.slow


@pytest.fixture
def arena(stored, monkeypatch):
    """400 rows of 200 customers, and no model yet."""
    monkeypatch.setattr(Classification, "figures", lambda *_: {})  # they take as long as all the rest
    monkeypatch.setenv(ASKED, "0")
    return Arena(stored)


def tags(run_id):
    return mlflow.MlflowClient().get_run(run_id).data.tags


def artifacts(run_id):
    found = mlflow.MlflowClient().list_artifacts(run_id, "evaluation/test")
    return {file.path.rpartition("/")[2] for file in found}


def stored_text(run_id, path):
    return Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=path)).read_text()


def refused(report, *words):
    """The gate refused, and its reasons have these words."""
    verdict = report.verdict
    assert not verdict.passed, verdict
    for word in words:
        assert word in " ".join(verdict.reasons), verdict.reasons
    return verdict


def test_the_first_version_is_decided_by_thresholds_and_the_record_says_so(arena):
    """No version is at Production; one at Staging is no champion."""
    run_id = arena.log()
    assert arena.judge(run_id).verdict.passed
    registry.register_run(arena.settings, run_id)
    verdict = arena.judge(wrong=0.2).verdict
    assert verdict.passed and verdict.champion is None and verdict.outcome is None
    assert "No version is at Production" in verdict.note


def test_a_model_of_another_name_is_no_champion(arena):
    """Two models may share a registry."""
    arena.champion()
    arena.project.configure(model={"name": "other"})
    assert arena.judge(wrong=0.4).verdict.champion is None


@pytest.mark.parametrize(
    ("champion", "challenger", "outcome", "passes"),
    [(0.5, 0.0, "better", True), (0.1, 0.1, "not_worse", True), (0.0, 0.5, "worse", False)],
)
def test_the_champion_is_asked_on_the_same_rows(arena, champion, challenger, outcome, passes):
    """A better model and an equal one pass, a worse one does not, although it reaches the threshold."""
    arena.project.configure(evaluation={"threshold": 0.3})
    version = arena.champion(wrong=champion)
    verdict = arena.judge(wrong=challenger).verdict
    assert (verdict.outcome, verdict.passed) == (outcome, passes), verdict
    assert (verdict.champion.version, verdict.champion.run_id) == (version.version, version.run_id)
    assert (verdict.comparisons[0].rows, verdict.comparisons[0].entities) == (400, 200)


def test_the_evidence_is_on_the_run_and_named_by_the_version(arena):
    """Verdict, rows of both models, and rows that changed sides; each with the digest of its file."""
    arena.champion(wrong=0.5)
    run_id = arena.log()
    report = arena.judge(run_id)
    version = registry.register_run(arena.settings, run_id)
    text = stored_text(run_id, version.tags[evidence.EVIDENCE_TAG])
    assert hashlib.sha256(text.encode()).hexdigest() == version.tags[evidence.SHA256_TAG]
    assert Verdict.model_validate_json(text) == report.verdict
    assert text == stored_text(run_id, "evaluation/test/gate.json")
    assert version.tags[evidence.OUTCOME_TAG] == "better"
    found = evidence.read(run_id, version.tags[evidence.EVIDENCE_TAG], version.tags[evidence.SHA256_TAG])
    rows, champion = (
        evidence.read_rows(run_id, found.path, name, digest)
        for name, digest in (
            (evidence.ROWS_FILE, found.verdict.rows_sha256),
            (evidence.CHAMPION_FILE, found.verdict.champion_rows_sha256),
        )
    )
    assert rows.ids == champion.ids == report.judged.ids and len(rows.ids) == 400
    assert rows.entities == [str(customer) for customer in table()["customer"]]
    changed = json.loads(stored_text(run_id, "evaluation/test/changed_rows.json"))
    assert changed["sentence"].startswith(f"{len(changed['data'])} of 400 rows changed: ")
    again = evidence.of_version(version)
    assert again.changed[1] == report.evidence.changed[1] == changed["sentence"]
    assert list(again.figures) == ["gate"] and "gate.png" in artifacts(run_id)


def test_evidence_of_an_earlier_evaluation_stays_when_the_run_is_judged_again(arena):
    """A version keeps what it was registered on, the rows that changed sides too."""
    arena.champion(wrong=0.5)
    run_id = arena.log()
    registered_on = arena.judge(run_id).evidence
    first = registry.register_run(arena.settings, run_id)
    arena.champion(wrong=0.1)
    judged_again = arena.judge(run_id).evidence
    assert tags(run_id)[evidence.EVIDENCE_TAG] != first.tags[evidence.EVIDENCE_TAG]
    assert judged_again.changed[1] != registered_on.changed[1]
    kept = evidence.of_version(first)
    assert kept.verdict == registered_on.verdict and kept.changed[1] == registered_on.changed[1]


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ({"at_load": "raise"}, "weights of another architecture"),
        ({"at_load": "exit"}, "SystemExit: 3"),
        ({"at_predict": "raise"}, "no such layer"),
        ({"at_predict": "exit"}, "SystemExit: 4"),
        ({"at_predict": "nan"}, "not finite in row 3"),
        ({"at_predict": "few"}, "399"),
        ({"at_predict": "numbers"}, "no probability"),
        ({"classes": ("churned", "stayed")}, "it knows the classes 'churned', 'stayed', and the data has 'no', 'yes'"),
        ({"columns": ("x", "income")}, "takes columns that the data no longer has: 'income'"),
    ],
)  # fmt: skip
def test_a_champion_that_cannot_be_judged_refuses(arena, behaviour, words):
    """Whatever its code does becomes a reason, and never a crash or a pass."""
    arena.champion(**behaviour)
    verdict = refused(arena.judge(), "could not be compared with version 1 of 'arena'", words)
    assert verdict.champion.version == 1


def test_a_champion_with_features_that_the_settings_leave_out_names_them_and_the_way_out(arena):
    """The column is still in the data; `evaluation.gate.champion: false` registers the new model."""
    arena.champion(columns=("x", "income"))
    arena.project.configure(data={"features": ["x"]})
    refused(
        arena.judge(), "takes columns that data.features leaves out: 'income'",
        "evaluation.gate.champion: false registers", "--force --reason",
    )  # fmt: skip


def test_a_champion_whose_files_are_gone_refuses(arena):
    """The object store lost them."""
    version = arena.champion()
    model_id = mlflow.MlflowClient().get_run(version.run_id).outputs.model_outputs[0].model_id
    shutil.rmtree(mlflow.get_logged_model(model_id).artifact_location.removeprefix("file://"))
    refused(arena.judge(), "could not be compared with version 1", "Cannot download model models:/arena/1")


def test_a_registry_that_cannot_be_asked_leaves_no_verdict(arena, monkeypatch):
    """The evaluation fails, and the run does not pass."""
    run_id = arena.log()

    def away(*_):
        raise RegistryError("The registry does not answer.")

    monkeypatch.setattr(registry.Registry, "versions", away)
    with pytest.raises(RegistryError, match="does not answer"):
        arena.judge(run_id)
    assert tags(run_id)[registry.GATE_TAG].startswith("none")


def test_a_model_is_not_compared_with_itself(arena):
    """Neither by its run, nor as a copy of the same files under another run."""
    run_id = arena.log()
    version = arena.champion(run_id)
    refused(arena.judge(run_id), "a model is not compared with itself")
    other = arena.log()
    mlflow.MlflowClient().set_tag(other, registry.MODEL_DIGEST_TAG, version.tags[registry.MODEL_DIGEST_TAG])
    refused(arena.judge(other), "a model is not compared with itself")


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ({"slices": {"plan": ["basic", "platinum"]}}, "plan=platinum 0"),
        ({"slices": {"plan": "all"}, "min_slice_rows": 200}, "plan=gold"),
        ({"min_rows": 1000}, "has 400 rows; evaluation.gate.min_rows asks for 1000"),
        ({"thresholds": {"brier": 0.01}}, "brier"),
        ({"max_latency_ms": 1e-6}, "ms at the 95th percentile"),
    ],
)
def test_a_criterion_that_does_not_hold_refuses(arena, gate, words):
    """Also a slice without rows."""
    arena.project.configure(evaluation={"gate": gate})
    refused(arena.judge(), words)


@pytest.mark.parametrize("one_class", [True, False])
def test_a_metric_without_a_value_refuses(stored, one_class):
    """All rows are of one class: AUC has no value, whatever the threshold."""
    rows = table()
    if one_class:
        rows["left"] = "no"
        rows.loc[0, "left"] = "yes"
    arena = Arena(stored, rows, metric="roc_auc", threshold=0.0)
    dataset = loaders.prepared(arena.settings, arena.folder)
    if one_class:
        test = arena.folder / "test.parquet"
        pd.read_parquet(test).assign(left="no").to_parquet(test, index=False)
        refused(arena.judge(dataset=dataset), "roc_auc has no value")
    else:
        assert arena.judge(dataset=dataset).verdict.passed


@pytest.mark.parametrize(
    ("evaluation", "words"),
    [
        ({"gate": {"slices": {"region": "all"}}}, "names 'region', which is no column of the prepared data"),
        ({"gate": {"slices": {"no_such_module:f": "all"}}}, "no_such_module"),
        ({"gate": {"margins": {"accuracyy": 0.1}}}, "accuracyy"),
        ({"gate": {"thresholds": {"accuracyy": 0.1}}}, "accuracyy"),
        ({"gate": {"slices": {"plan": "all"}, "slice_thresholds": {"accuracyy": 0.1}}}, "accuracyy"),
    ],
)
def test_a_criterion_that_names_nothing_is_an_error_before_any_row_is_scored(arena, evaluation, words):
    """Neither model is asked."""
    run_id = arena.log()
    arena.project.configure(evaluation=evaluation)
    with pytest.raises(MlopsError, match=words):
        arena.judge(run_id)
    assert os.environ[ASKED] == "0"


class Restless(LocalDataLoader):
    """Gives the rows in another order each time."""

    asked = 0

    def parts(self, split):
        self.asked += 1
        for rows in super().parts(split):
            yield rows.iloc[:: (-1) ** self.asked]


def test_rows_in_another_order_refuse(arena):
    """The two models' predictions would belong to other rows."""
    arena.champion(wrong=0.3)
    dataset = Restless(arena.folder, label="left", key="customer")
    refused(arena.judge(dataset=dataset), "they are in another order")


def test_a_row_that_changed_between_the_two_models_refuses(arena):
    """Somebody wrote the dataset anew while the models were asked."""

    class Changing(LocalDataLoader):
        seen = 0

        def parts(self, split):
            self.seen += 1
            for rows in super().parts(split):
                yield rows.assign(x=rows["x"].where(rows.index != 7, self.seen / 10))

    arena.champion(wrong=0.3)
    dataset = Changing(arena.folder, label="left", key="customer")
    refused(arena.judge(dataset=dataset), "they differ in row 7")


def test_rows_that_are_there_many_times_do_not_decide(stored):
    """40 customers, each 50 times: the intervals are those of 40 customers, with a key and without."""
    few = table(80).drop_duplicates("customer")
    many = pd.concat([few] * 50, ignore_index=True)
    arena = Arena(stored, many)
    arena.champion(wrong=0.15)
    for key in ("customer", ""):
        arena.project.configure(data={"key": key})
        (one,) = arena.judge(wrong=0.0).verdict.comparisons
        assert (one.rows, one.entities) == (2000, 40) and one.outcome in ("undecided", "not_worse")


def test_evidence_that_was_altered_is_refused(arena):
    """One letter in the verdict, or other rows."""
    run_id = arena.log()
    arena.judge(run_id)
    found = tags(run_id)
    path, sha256 = found[evidence.EVIDENCE_TAG], found[evidence.SHA256_TAG]
    verdict = evidence.read(run_id, path, sha256).verdict
    with pytest.raises(EvaluationError, match="was altered since the gate wrote it"):
        evidence.read(run_id, path, sha256.replace(sha256[0], "0" if sha256[0] != "0" else "1", 1))
    with pytest.raises(EvaluationError, match="are not those that the verdict was made of"):
        evidence.read_rows(run_id, path, evidence.ROWS_FILE, verdict.rows_sha256[:-1] + "x")
    with pytest.raises(EvaluationError, match="has no evidence"):
        evidence.read(run_id, "evaluation/test/gate-0.json", sha256)


def test_a_second_evaluation_leaves_the_first_ones_rows(arena):
    """A version is registered on the first evaluation; the second one has other rows of the champion."""
    arena.champion(wrong=0.5)
    run_id = arena.log()
    first = arena.judge(run_id).evidence
    arena.champion(wrong=0.4)
    second = arena.judge(run_id).evidence
    assert first.verdict.champion_rows_sha256 != second.verdict.champion_rows_sha256
    for found in (first, second):
        digest = evidence.read(run_id, found.path, found.sha256).verdict.champion_rows_sha256
        assert len(evidence.read_rows(run_id, found.path, evidence.CHAMPION_FILE, digest).ids) == 400


def test_the_comparison_can_be_turned_off(arena):
    """Then thresholds decide, and the record says so; the champion is not asked."""
    arena.champion(at_load="exit")
    arena.project.configure(evaluation={"gate": {"champion": False}})
    verdict = arena.judge(wrong=0.2).verdict
    assert verdict.passed and "evaluation.gate.champion is false" in verdict.note


def test_a_champion_with_fewer_columns_is_asked_on_its_own(arena):
    """The new model has a new feature; the old one does not know it."""
    arena.champion(wrong=0.5)
    assert arena.judge(columns=("x", "plan")).verdict.outcome == "better"


def test_a_rollback_changes_the_champion(arena):
    """The comparison is with the version at Production, not with the newest."""
    first, second = arena.champion(wrong=0.1), arena.champion(wrong=0.3)
    assert arena.judge().verdict.champion.version == second.version
    promote(arena.settings, NAME, first.version)
    assert arena.judge().verdict.champion.version == first.version


def test_wrappers_find_no_champion_without_one(arena):
    """A name that the registry does not know."""
    assert wrappers.champion.find(arena.settings, "nobody") is None


def test_a_notebook_shows_changes_for_the_worse_and_for_the_better():
    """The table is ordered by the change: its first rows alone would all be worse ones."""
    table = pd.DataFrame({"row": range(50), "change": ["wrong now"] * 30 + ["right now"] * 20})
    shown = evidence._both_ends(table)
    assert shown["change"].value_counts().to_dict() == {"wrong now": 10, "right now": 10}
    assert len(evidence._both_ends(table.head(20))) == 20
