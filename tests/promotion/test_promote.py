"""`mlops promote`: the gate is asked on the champion of this moment, and nothing else leads to Production."""

import asyncio
import functools
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml

from mlops_lib import config, loaders, tracking, wrappers
from mlops_lib.cli import app
from mlops_lib.data_checks import declared
from mlops_lib.errors import RegistryError
from mlops_lib.evaluation.judged import JudgedRows
from mlops_lib.promotion import RefusedError, promote, stored
from mlops_lib.registry import Registry
from mlops_lib.training import evidence, judging
from mlops_lib.wrappers import champion
from tests.support import promoting
from tests.support.projects import Project
from tests.support.toy_service import Caller, Toy, toy_service

ROOT = Path(__file__).parents[2]

CONFIG = {
    "mlflow": {"tracking_uri": "sqlite:///mlflow.db", "experiment": "promotion"},
    "data": {"source": "rows.parquet", "label": "bought", "key": "id"},
    "model": {"name": "churn", "wrapper": "sklearn", "implementation": "", "params": {}},
    "evaluation": {"threshold": 0.5, "baselines": [], "gate": {"resamples": 200}},
}
#: Version -> the model: a weak one, a strong one, and one that knows nothing.
MODELS = {
    1: ("sklearn.tree:DecisionTreeClassifier", {"max_depth": 1}),
    2: ("sklearn.linear_model:LogisticRegression", {}),
    3: ("sklearn.dummy:DummyClassifier", {}),
}


@pytest.fixture(scope="module")
def made(blank_store, tmp_path_factory):
    """A project with three evaluated versions and no champion."""
    folder = tmp_path_factory.mktemp("promotion") / "project"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"id": np.arange(1500), "x": rng.normal(size=1500), "y": rng.normal(size=1500)})
    rows["bought"] = (rows["x"] + rows["y"] + rng.normal(size=1500) > 0).astype(int)
    rows.to_parquet(folder / "rows.parquet")
    shutil.copy(blank_store, folder / "mlflow.db")
    for implementation, params in MODELS.values():
        settings = configured(folder, model={"implementation": implementation, "params": params})
        if not loaders.prepared_folder(settings).exists():
            declared.write(settings, loaders.from_settings(settings), loaders.prepared_folder(settings))
        dataset = loaders.prepared(settings)
        model = wrappers.from_settings(settings)
        run_id = model.train(dataset, settings).run_id
        model.evaluate(dataset, settings)
        Registry(settings).register("churn", run_id, {})
    return folder


def configured(folder, **sections):
    content = {name: section | sections.get(name, {}) for name, section in CONFIG.items()}
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return config.load(folder / "config.yaml")


@pytest.fixture
def settings(made, tmp_path):
    """The project again, free to change; artifacts are shared."""
    folder = Path(shutil.copytree(made, tmp_path / "project"))
    settings = config.load(folder / "config.yaml")
    tracking.connect(settings)
    return settings


@pytest.fixture
def mlops(settings, monkeypatch, capsys):
    """The command line in the project's folder: exit code, stdout, stderr."""
    monkeypatch.chdir(settings.root)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["mlops", *arguments])
        for console in (app.out, app.err):
            monkeypatch.setattr(console, "_width", 250, raising=False)
        code = 0
        try:
            app.main()
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capsys.readouterr()

    return run


def at_production(settings):
    return [v.version for v in Registry(settings).versions("churn") if v.stage == "Production"]


def stored_score(settings, version):
    """The score of a version's evaluation on the test split."""
    run_id = Registry(settings).resolve("churn", version=version).run_id
    return Registry(settings).run(run_id).data.metrics["test.roc_auc"]


def verdict_file(settings, version):
    """The verdict of an evaluation, on disk."""
    run = Registry(settings).run(Registry(settings).resolve("churn", version=version).run_id)
    return Path(run.info.artifact_uri.removeprefix("file://")) / run.data.tags["mlops.evidence"]


@pytest.mark.slow
def test_the_first_version_passes_by_its_thresholds(settings):
    """No champion: the record says so, and the evidence is on the run under its digest."""
    done = promote(settings, "churn", 1)
    assert done.verdict.passed and "No version is at Production" in done.verdict.note
    (entry,) = Registry(settings).history("churn").entries
    assert (entry.action, entry.evidence, entry.evidence_sha256) == (
        "promoted", done.decision.evidence, done.decision.evidence_sha256,
    )  # fmt: skip
    assert (
        entry.evidence.startswith("promotion/")
        and entry.model_digest == done.version.tags["mlops.model_digest"]
    )


@pytest.mark.slow
def test_the_champion_of_this_moment_is_asked(settings):
    """Version 2 was evaluated before there was a champion: version 1 is asked on the rows of that evaluation."""
    promote(settings, "churn", 1)
    done = promote(settings, "churn", 2)
    assert done.verdict.champion.version == 1 and done.verdict.outcome == "better"
    assert at_production(settings) == [2] and Registry(settings).history("churn").entries[-1].replaced == 1


@pytest.mark.slow
def test_a_worse_version_is_refused_until_a_person_overrides_it(settings, mlops):
    """Exit status 1 with table, reasons and remedy; --force --reason stores user, reason and the overridden reasons."""
    promote(settings, "churn", 2)
    code, said, error = mlops("promote", "churn", "3")
    assert code == 1 and "roc_auc" in said and "worse" in said and "refused" in said
    assert said.startswith("refused: roc_auc is worse than version 2")
    assert "the reasons are above" in error and "is worse than" not in error and "--force --reason" in error
    assert "asking version 2, which is at Production, on" in error
    assert at_production(settings) == [2]
    code, said, error = mlops(
        "promote", "churn", "3", "--force", "--reason", "the old one is being sued over"
    )
    assert code == 0 and "version 3 is at Production, by force" in said and "mlops rollback churn" in said
    assert said.startswith("A person overrides this verdict of the gate:")
    entry = Registry(settings).history("churn").entries[-1]
    assert (entry.action, entry.reason) == ("forced", "the old one is being sued over")
    assert "roc_auc is worse than version 2" in entry.overridden[0] and entry.evidence
    code, said, _ = mlops("models", "churn", "--history")
    assert code == 0 and "forced" in said and "sued over" in said and "Overridden: roc_auc is worse" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--force",), "--force needs a reason"),
        (("--force", "--reason", "  "), "--force needs a reason"),
        (("--reason", "because"), "add --force"),
        (
            ("--force", "--reason", "because", "--stage", "staging"),
            "the gate is not asked for stage 'staging'",
        ),
    ],
)
def test_force_and_reason_go_together(mlops, monkeypatch, arguments, words):
    """Refused before any work."""
    monkeypatch.setattr(Registry, "__init__", lambda *_: pytest.fail("work was done"))
    code, _, error = mlops("promote", "churn", "1", *arguments)
    assert code == 1 and words in error


@pytest.mark.slow
def test_an_evaluation_against_the_same_champion_is_decided_from_its_rows(settings, monkeypatch):
    """Version 2 is evaluated while version 1 is at Production: nobody is asked again, and the decision is made anew."""
    promote(settings, "churn", 1)
    version = Registry(settings).resolve("churn", version=2)
    model = wrappers.load(version.uri)
    model.evaluate(loaders.prepared(settings), settings)
    monkeypatch.setattr(champion, "ask", lambda *_: pytest.fail("the champion was asked"))
    with pytest.raises(RefusedError, match="roc_auc 0.9086 is below the threshold 0.99"):
        stricter = settings.evaluation.model_copy(update={"threshold": 0.99})
        promote(settings.model_copy(update={"evaluation": stricter}), "churn", 2)
    done = promote(settings, "churn", 2)
    assert done.verdict.champion.version == 1 and done.verdict.comparisons


@pytest.mark.slow
def test_rows_that_are_no_longer_prepared_are_prepared_again(settings):
    """The source has the same rows: the fingerprint agrees. Then one value changes: refused."""
    promote(settings, "churn", 1)
    shutil.rmtree(loaders.prepared_folder(settings))
    told = []
    assert promote(settings, "churn", 2, say=told.append).verdict.passed
    assert any("preparing the data again" in text for text in told)
    assert not loaders.prepared_folder(settings).exists()
    source = settings.root / "rows.parquet"
    rows = pd.read_parquet(source)
    rows.loc[7, "x"] += 1
    rows.to_parquet(source)
    Registry(settings).roll_back("churn", "Production")
    with pytest.raises(RefusedError, match="The data changed since the evaluation.*mlops run"):
        promote(settings, "churn", 2)
    assert at_production(settings) == [1]


@pytest.mark.parametrize("name", ["", "rows-*.parquet"])
def test_altered_evidence_is_refused(settings, name):
    """One bit of the verdict or of the judged rows."""
    file = verdict_file(settings, 2)
    (file,) = file.parent.glob(name or file.name)
    before = file.read_bytes()
    try:
        file.write_bytes(bytes([before[0], before[1] ^ 1]) + before[2:])
        with pytest.raises(RefusedError, match=r"(altered|not those).*mlops evaluate --run-id"):
            promote(settings, "churn", 2)
    finally:
        file.write_bytes(before)
    assert at_production(settings) == []


def test_a_version_without_evidence_is_refused_with_a_remedy(settings):
    """Registered by an older release, and made outside the platform."""
    registry = Registry(settings)
    run_id = registry.resolve("churn", version=1).run_id
    mlflow.MlflowClient().delete_tag(run_id, "mlops.evidence")
    with pytest.raises(RefusedError, match=f"has no stored evaluation.*mlops evaluate --run-id {run_id}"):
        promote(settings, "churn", 1)
    made = registry._client.create_model_version("churn", "file:///nowhere")
    with pytest.raises(RefusedError, match="has no training run.*--force --reason"):
        promote(settings, "churn", int(made.version))
    assert at_production(settings) == []


@pytest.mark.slow
@pytest.mark.parametrize("error", [OSError("the disk is gone"), SystemExit(3)])
def test_a_champion_that_does_not_load_refuses(settings, monkeypatch, error):
    """In doubt nothing passes; a person may still go on."""
    promote(settings, "churn", 1)

    def fail(*_):
        raise error

    monkeypatch.setattr(champion, "load", fail)
    with pytest.raises(RefusedError, match="could not be compared with version 1"):
        promote(settings, "churn", 2)
    assert at_production(settings) == [1]
    promote(settings, "churn", 2, force_reason="the champion is broken")
    assert at_production(settings) == [2]


def test_a_gate_that_crashes_refuses(settings, monkeypatch):
    """A metric of the user's own may raise anything."""
    monkeypatch.setattr(judging, "decide", lambda *_: 1 / 0)
    with pytest.raises(RefusedError, match="The gate failed with ZeroDivisionError"):
        promote(settings, "churn", 1)


@pytest.mark.slow
def test_a_threshold_that_was_added_later_is_decided_from_the_stored_rows(settings):
    """Met, missed, and a metric that does not exist."""

    def asked(**thresholds):
        gate = settings.evaluation.gate.model_copy(update={"thresholds": thresholds})
        return settings.model_copy(
            update={"evaluation": settings.evaluation.model_copy(update={"gate": gate})}
        )

    with pytest.raises(RefusedError, match="brier 0.*is above the threshold 0.001"):
        promote(asked(brier=0.001), "churn", 2)
    with pytest.raises(RefusedError, match="Unknown metric .nonsense.. Available: accuracy"):
        promote(asked(nonsense=1.0), "churn", 2)
    done = promote(asked(brier=0.3), "churn", 2)
    (found,) = (one for one in done.verdict.criteria if (one.name, one.metric) == ("threshold", "brier"))
    logged = Registry(settings).run(done.version.run_id).data.metrics["test.brier"]
    assert found.passed and found.value == pytest.approx(logged)


def test_threshold_and_comparison_take_the_same_settings(settings):
    """After a change of evaluation.k, the score is computed again from the stored rows, not taken from the verdict."""
    ids = [str(row) for row in range(6)]
    rows = JudgedRows("ranking", ids, list("aaabbb"), np.array([0.0, 0, 1, 1, 0, 0]), [3.0, 2, 1, 3, 2, 1])
    of_k = {}
    for k in (1, 3):
        chosen = {"task": "ranking", "metric": "ndcg_at_k", "k": k}
        changed = settings.model_copy(update={"evaluation": settings.evaluation.model_copy(update=chosen)})
        kept = stored.Stored("test", None, rows, None)  # the verdict is not read
        of_k[k] = stored.report(kept, Registry(settings).resolve("churn", version=1), changed).metrics[
            "ndcg_at_k"
        ]
    assert (of_k[1].value, of_k[3].value) == (0.5, 0.75) and of_k[1].scored == 6


@pytest.mark.slow
def test_an_evaluation_of_the_train_split_decides_nothing(settings):
    """Someone looks for overfitting in a notebook: the run's verdict stays that of the test split."""
    version = Registry(settings).resolve("churn", version=2)
    before = dict(Registry(settings).run(version.run_id).data.tags)
    model = wrappers.load(version.uri)
    assert model.evaluate(loaders.prepared(settings), settings, "train").verdict.passed
    tags = Registry(settings).run(version.run_id).data.tags
    assert tags == before and tags["mlops.metric"] == "roc_auc"
    assert promote(settings, "churn", 2).verdict.score == pytest.approx(stored_score(settings, 2))


@pytest.mark.slow
def test_evidence_of_another_split_is_refused(settings):
    """An older release let the last evaluation of any split decide."""
    version = Registry(settings).resolve("churn", version=2)
    model = wrappers.load(version.uri)
    found = model.evaluate(loaders.prepared(settings), settings, "validation").evidence
    evidence.tag(version.run_id, found)
    with pytest.raises(
        RefusedError, match="is of the validation split, and the test split decides.*mlops evaluate"
    ):
        promote(settings, "churn", 2)
    assert at_production(settings) == []


def test_a_version_with_other_files_than_the_judged_model_is_refused(settings):
    """The files were altered after the evaluation, or the run logged another model, which was registered."""
    registry = Registry(settings)
    version = registry.resolve("churn", version=2)
    other = registry.run(registry.resolve("churn", version=3).run_id).outputs.model_outputs[-1].model_id
    digest = version.tags["mlops.model_digest"]
    source = f"models:/{other}"
    made = registry._client.create_model_version(
        "churn", source, version.run_id, tags={"mlops.model_digest": digest}
    )
    with pytest.raises(
        RefusedError, match=f"and the model that was judged has {digest[:12]}.*mlops why churn"
    ):
        promote(settings, "churn", int(made.version))
    assert at_production(settings) == []


@pytest.mark.slow
def test_an_evaluation_that_did_not_finish_is_refused(settings, monkeypatch):
    """It took the verdict before it back."""
    version = Registry(settings).resolve("churn", version=2)
    model = wrappers.load(version.uri)
    with monkeypatch.context() as patched:
        patched.setattr(judging, "score", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            model.evaluate(loaders.prepared(settings), settings)
    with pytest.raises(RefusedError, match="did not finish.*mlops evaluate --run-id"):
        promote(settings, "churn", 2)
    assert at_production(settings) == []


@pytest.mark.slow
def test_thresholds_alone_do_not_decide_with_a_history_that_was_altered(settings):
    """Version 1 was at Production, was archived, and its entry was changed: nobody knows of it any more."""
    promote(settings, "churn", 1)
    registry = Registry(settings)
    registry.promote("churn", 1, "Archived")
    tags = registry._client.get_registered_model("churn").tags
    for tag, text in tags.items():
        if tag.startswith("mlops.history."):
            changed = text.replace('"stage":"Production"', '"stage":"Staging"')
            registry._client.set_registered_model_tag("churn", tag, changed)
    with pytest.raises(
        RefusedError, match="No version is at Production, and the history of 'churn' does not say"
    ):
        promote(settings, "churn", 2)
    assert at_production(settings) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"output": "spent"}, 'evaluation.output was "" and is "spent" now'),
        ({"task": "multilabel"}, 'evaluation.task was "classification" and is "multilabel" now'),
    ],
)
def test_scores_of_other_settings_are_refused(settings, changed, words):
    """The stored rows are of the output that was judged then; the refusal has both values and the command."""
    other = settings.model_copy(update={"evaluation": settings.evaluation.model_copy(update=changed)})
    with pytest.raises(RefusedError, match=f"{re.escape(words)}.*mlops evaluate --run-id"):
        promote(other, "churn", 1)
    assert at_production(settings) == []


def test_rows_that_a_metric_leaves_out_are_no_errors(settings):
    """Rows without a goal have no part in goal_reached at promote either: all others are scored."""
    ids, values = list("abcd"), {"goal_reached": [1.0, None, 0.0, None]}
    facts = {"goal_reached counts": [True, False, True, True]}
    rows = JudgedRows("text", ids, ids, ids, ids, values=values, facts=facts)
    chosen = {"task": "text", "metric": "goal_reached"}
    changed = settings.model_copy(update={"evaluation": settings.evaluation.model_copy(update=chosen)})
    kept = stored.Stored("test", None, rows, None)
    found = stored.report(kept, Registry(settings).resolve("churn", version=1), changed)
    score = found.metrics["goal_reached"]
    assert (score.scored, score.errored, score.left_out) == (2, 1, 1)
    assert score.value == pytest.approx(1 / 3) and score.coverage == pytest.approx(2 / 3)


@pytest.mark.parametrize("added", [{"slices": {"region": "all"}}, {"max_latency_ms": 50.0}])
def test_a_limit_that_needs_another_evaluation_says_so(settings, added):
    """Slices and latency are measured while a model is evaluated: the refusal names the command that does it."""
    gate = settings.evaluation.gate.model_copy(update=added)
    evaluation = settings.evaluation.model_copy(update={"gate": gate})
    changed = settings.model_copy(update={"evaluation": evaluation})
    with pytest.raises(RefusedError, match="valuate (the model|it) again"):
        promote(changed, "churn", 1)


@pytest.mark.slow
def test_a_promotion_that_was_overtaken_asks_again(settings, monkeypatch):
    """Version 1 takes Production while version 2 is judged without a champion: the decision is void."""
    decide = judging.decide

    def slow(*arguments):
        promoting.promote(settings, "churn", 1)
        return decide(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(judging, "decide", slow)
        with pytest.raises(
            RegistryError, match="with no version at Production, and version 1 is there now. Ask"
        ):
            promote(settings, "churn", 2)
    assert at_production(settings) == [1]


@pytest.mark.slow
def test_a_version_that_is_at_production_stays_there(settings, mlops):
    """No second entry."""
    promote(settings, "churn", 1)
    code, said, _ = mlops("promote", "churn", "1")
    assert code == 0 and "version 1 is at Production" in said
    assert len(Registry(settings).history("churn").entries) == 1


@pytest.mark.slow
def test_printed_commands_name_the_config_file_that_was_given(settings, mlops, monkeypatch):
    """Without it the nearest config.yaml, another project's, would decide. A model of another name is said first."""
    monkeypatch.chdir(settings.root.parent)
    given = ("-c", "project/config.yaml")
    run_id = Registry(settings).resolve("churn", version=1).run_id
    code, said, _ = mlops("promote", "churn", "1", *given)
    assert code == 0 and "Next: mlops serve -c project/config.yaml" in said
    mlflow.MlflowClient().delete_tag(run_id, "mlops.evidence")
    code, said, _ = mlops("promote", "churn", "2", *given)
    assert code == 0 and "Undo with: mlops rollback churn -c project/config.yaml" in said
    code, said, _ = mlops("rollback", "churn", *given)
    assert "version 1 is at Production again, in the place of version 2" in said
    assert "Undo with: mlops promote churn 2 -c project/config.yaml" in said
    mlops("promote", "churn", "2", *given)
    code, _, error = mlops("promote", "churn", "1", *given)
    assert code == 1 and f"mlops evaluate --run-id {run_id} -c project/config.yaml" in error
    content = yaml.safe_load((settings.root / "config.yaml").read_text())
    content["model"]["name"] = "other"
    (settings.root / "other.yaml").write_text(yaml.safe_dump(content))
    code, _, error = mlops("promote", "churn", "1", "-c", "project/other.yaml")
    assert (
        code == 1
        and error.startswith("Note: model.name of this configuration is 'other'")
        and "-c FILE" in error
    )


@pytest.mark.slow
def test_staging_needs_no_champion(settings):
    """Registration has asked the gate; the move is an entry."""
    assert promote(settings, "churn", 3, "staging").version.stage == "Staging"
    assert Registry(settings).history("churn").entries[0].action == "promoted"


@pytest.mark.slow
def test_models_says_who_held_a_stage(settings, mlops, monkeypatch):
    """With and without a zone, before the history, in the future, and no time at all; outside moves are entered."""
    monkeypatch.setenv("TZ", "Asia/Seoul")
    promote(settings, "churn", 1)
    promote(settings, "churn", 2)
    first, second = Registry(settings).history("churn").entries
    code, said, _ = mlops("models", "churn", "--at", first.at)
    assert code == 0 and said.splitlines()[2].split()[:2] == ["Production", "1"]
    local = second.time.astimezone().replace(tzinfo=None).isoformat()
    code, said, _ = mlops("models", "churn", "--at", local)
    assert code == 0 and said.splitlines()[2].split()[:2] == ["Production", "2"]
    code, said, _ = mlops("models", "churn", "--at", "2001-01-01")
    assert code == 0 and f"Not known: the history begins at {first.at}" in said
    assert "is in the future" in mlops("models", "churn", "--at", "2999-01-01")[2]
    assert "is no ISO date" in mlops("models", "churn", "--at", "yesterday")[2]
    assert "name it" in mlops("models", "--at", "2001-01-01")[2]
    Registry(settings)._client.set_registered_model_alias("churn", "production", "1")
    code, said, _ = mlops("models", "churn", "--history")
    assert code == 0 and "found moved" in said and "@production" in said
    Registry(settings)._client.delete_registered_model_tag("churn", first.tag)
    code, _, error = mlops("models", "churn", "--history")
    assert code == 1 and "cannot be trusted. History entry 1 is missing" in error


@pytest.mark.slow
def test_an_archived_champion_is_no_way_around_the_comparison(settings):
    """Thresholds alone decide on the first version ever. A vacant Production is filled by its last version, or by force."""
    promote(settings, "churn", 2)
    promote(settings, "churn", 2, "Archived")
    with pytest.raises(
        RefusedError, match=r"version 2 was the last one there.*Bring it back first: mlops promote churn 2"
    ):
        promote(settings, "churn", 3)
    assert promote(settings, "churn", 2).verdict.passed and at_production(settings) == [2]


@pytest.mark.slow
def test_a_version_whose_run_was_deleted_is_refused(settings):
    """The evidence of a decision must still be there in a year; MLflow clears deleted runs."""
    run_id = Registry(settings).resolve("churn", version=1).run_id
    mlflow.MlflowClient().delete_run(run_id)
    with pytest.raises(RefusedError, match=f"was deleted.*mlflow runs restore --run-id {run_id}"):
        promote(settings, "churn", 1)
    mlflow.MlflowClient().restore_run(run_id)
    assert promote(settings, "churn", 1).verdict.passed


@pytest.mark.slow
def test_a_secret_in_an_error_is_not_written_into_the_history(settings, monkeypatch):
    """The reasons of a refusal are printed, and stored when a person overrides them."""

    def fails(*_):
        raise ValueError("no login at postgresql://user:pa55word@db/rows")

    monkeypatch.setattr(judging, "decide", fails)
    promote(settings, "churn", 1, force_reason="the database is down")
    (entry,) = Registry(settings).history("churn").entries
    assert "no login" in entry.overridden[0] and "pa55word" not in entry.to_text()


def notebook_04(settings, run_id):
    """Run the code of 04_register in this process, with the id of a run as its parameter."""
    cells = nbformat.read(ROOT / "notebooks" / "04_register.ipynb", as_version=4).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    names = {}
    exec(code[0], names)  # noqa: S102 - a kernel would take ten seconds
    names["run_id"] = run_id
    for source in code[1:]:
        exec(source, names)  # noqa: S102


@pytest.mark.slow
def test_the_notebook_registers_no_run_that_the_gate_refused(settings, monkeypatch):
    """04_register names the run and the verdict; there is no new version, and Production is as it was."""
    promote(settings, "churn", 2)
    worse = configured(settings.root, model={"implementation": MODELS[3][0], "params": {}})
    monkeypatch.chdir(settings.root)
    dataset, model = loaders.prepared(worse), wrappers.from_settings(worse)
    run_id = model.train(dataset, worse).run_id
    verdict = model.evaluate(dataset, worse).verdict
    assert not verdict.passed and verdict.outcome == "worse"
    with pytest.raises(RegistryError, match=rf"Run {run_id} has not passed the gate \(verdict: refused\)"):
        notebook_04(worse, run_id)
    assert len(Registry(settings).versions("churn")) == 3 and at_production(settings) == [2]


@pytest.mark.slow
def test_two_commands_at_once_leave_one_chain_of_decisions(settings):
    """Both ask the gate. Whoever is overtaken moves nothing; each move replaces the version that was judged."""
    names = ("1", "3")
    command = functools.partial(Project(settings.root).mlops, "promote", "churn", warm=True)
    with ThreadPoolExecutor() as threads:
        ended = list(threads.map(command, names))
    said = [done.stdout + done.stderr for done in ended]
    moved = [name for name, done in zip(names, ended, strict=True) if done.returncode == 0]
    history = Registry(settings).history("churn")
    assert history.verify() == "" and moved, said
    assert sorted(str(entry.version) for entry in history.entries) == sorted(moved), said
    replaced = [0, *(entry.version for entry in history.entries)]
    assert [entry.replaced for entry in history.entries] == replaced[:-1]
    assert at_production(settings) == [replaced[-1]]
    for done, text in zip(ended, said, strict=True):
        assert done.returncode == 0 or "is there now" in text or "refused" in text, text


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_no_route_of_the_service_moves_a_version(method, tmp_path):
    """Neither a path of its own nor MLflow's REST API is there."""
    paths = (
        "/promote", "/models/churn/promote", "/models/churn/versions/3/stage", "/rollback",
        "/api/2.0/mlflow/model-versions/transition-stage", "/api/2.0/mlflow/registered-models/alias",
    )  # fmt: skip

    async def main():
        async with toy_service(tmp_path, Toy(waits=False)) as app:
            return [(await Caller(app, path, {"version": 3}, method=method)()).status for path in paths]

    assert set(asyncio.run(main())) == {404}
