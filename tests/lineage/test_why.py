"""`mlops why` on a model with a whole past: every link verified, and each altered or removed one named."""

import contextlib
import json
import shutil
import subprocess
import zlib

import mlflow
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from mlops_lib.cli.app import app
from mlops_lib.errors import DataError, NoSuchVersionError, RegistryError
from mlops_lib.lineage import git
from mlops_lib.lineage.why.chain import why
from mlops_lib.lineage.why.link import EXIT
from mlops_lib.registry import Registry
from tests.support.explained import NAME, changed, removed

pytestmark = pytest.mark.slow
#: Kind of a link -> its artifact: of the training run, or of the pipeline run that is its parent.
ARTIFACTS = {
    "evidence": ("run", "evaluation/test/gate-*.json"),
    "rows": ("run", "evaluation/test/rows-*.parquet"),
    "manifest": ("run", "lineage/manifest.json"),
    "uncommitted changes": ("run", "lineage/code.diff"),
    "lock": ("run", "lineage/lock.txt"),
    "configuration": ("run", "lineage/config.yaml"),
    "notebook": ("parent", "notebooks/02_train.ipynb"),
}


def states(explained, target="", **options):
    """Kind -> states and reasons of the links that are not verified, but for a prediction, which never is; the exit status."""
    chains = why(explained.project.settings(), target or explained.request_id, **options)
    wrong: dict[str, list[tuple[str, str]]] = {}
    for chain in chains:
        for link in chain.all():
            if link.state != "verified" and (link.kind, link.state) != ("prediction", "unchecked"):
                wrong.setdefault(link.kind, []).append((link.state, link.detail))
    return wrong, max(EXIT[chain.worst] for chain in chains)


def client(explained):
    """A client of the copy's own registry."""
    return Registry(explained.project.settings())._client


def artifact(explained, kind):
    whose, path = ARTIFACTS[kind]
    return explained.artifact(explained.run_id if whose == "run" else explained.parent_id, path)


def relog(explained, **values):
    """Write the log's one prediction again with other values."""
    (file,) = (explained.project.root / "log").glob("predictions-*.parquet")
    table = pq.read_table(file)
    rows = [row | values for row in table.to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, table.schema), file)


def test_every_link_of_a_prediction_is_verified(explained):
    """From the answer to the commit and the data, with the facts that a person asks for."""
    (chain,) = why(explained.project.settings(), explained.request_id, data=True)
    assert [link.kind for link in chain.all() if link.state != "verified"] == ["prediction"]
    assert chain.state == "unchecked" and "no digest of them" in chain.detail
    found = {link.kind: link for link in chain.all()}
    assert list(found) == [
        "prediction", "model", "version", "decision", "evidence", "rows", "run", "notebooks", "notebook", "manifest",
        "data", "code", "commit", "uncommitted changes", "configuration", "environment", "lock",
    ]  # fmt: skip
    assert len(found["notebooks"].links) == 4
    assert found["prediction"].facts["role"] == "champion" and found["prediction"].facts["key user_id"] == "7"
    assert found["decision"].title.startswith("forced to Production at ")
    assert found["decision"].facts["reason"] == "the first one"
    assert found["data"].facts["path"].endswith("purchases.parquet")


@pytest.mark.parametrize("kind", ARTIFACTS)
def test_one_byte_of_an_artifact_is_noticed(explained, kind):
    with changed(artifact(explained, kind)):
        wrong, status = states(explained, data=True)
    assert status == 5 and [state for state, _ in wrong.pop(kind)] == ["altered"]
    # Behind an altered manifest nothing is known for certain.
    assert kind == "manifest" or not wrong


@pytest.mark.parametrize("kind", ARTIFACTS)
def test_an_artifact_that_is_gone_is_noticed(explained, kind):
    with removed(artifact(explained, kind)):
        wrong, status = states(explained, data=True)
    assert status == 4 and [state for state, _ in wrong.pop(kind)] == ["missing"]
    assert not wrong


def test_one_byte_of_the_model_is_noticed(explained):
    """Only the model is altered: log, tags and history state the digest that it had."""
    with changed(explained.model_files() / "data/table/model.npz"):
        wrong, status = states(explained)
    assert status == 5 and wrong.pop("data")[0][0] == "unchecked"
    ((state, detail),) = wrong.pop("model")
    assert (
        state == "altered"
        and "the prediction log, the version's tag, the run's tag, the history entry" in detail
    )
    assert not wrong


def test_a_model_without_its_files_is_missing(explained):
    with removed(explained.model_files()):
        wrong, status = states(explained)
    assert (status, wrong["model"][0][0]) == (4, "missing")


def test_data_that_changed_is_noticed_when_it_is_hashed(explained):
    """Without --data the source is not read, and the tree says so."""
    file = explained.project.root / "purchases.parquet"
    with changed(file):
        assert states(explained) == ({"data": [("unchecked", "The source is hashed with --data.")]}, 0)
        wrong, status = states(explained, data=True)
        assert (status, wrong["data"][0][0]) == (5, "altered"), wrong
    with removed(file):
        wrong, status = states(explained, data=True)
    assert (status, wrong["data"][0][0]) == (4, "missing") and "cannot be read" in wrong["data"][0][1]


@pytest.mark.parametrize(
    ("tag", "kind"), [("mlops.model_digest", "version"), ("mlops.lineage_sha256", "manifest")]
)
def test_a_changed_tag_of_the_version_is_noticed(explained, tag, kind):
    """The files, the run's tag and the log agree, so the version is the altered one."""
    client(explained).set_model_version_tag(NAME, "1", tag, "0" * 64)
    wrong, status = states(explained)
    assert status == 5 and set(wrong) - {"data"} == {kind} and "version's tag" in wrong[kind][0][1]


@pytest.mark.parametrize(
    ("tag", "value", "words"),
    [
        ("mlops.score", "0.99", "Its tag mlops.score is 0.99, and its evidence has 0."),
        ("mlops.metric", "accuracy", "Its tag mlops.metric is accuracy, and its evidence has roc_auc."),
        (
            "mlops.data_fingerprint",
            "0" * 64,
            "Its tag mlops.data_fingerprint is 000000000000, and the run's is",
        ),
        ("mlops.git_commit", "1" * 40, "Its tag mlops.git_commit is 111111111111, and the run's is"),
    ],
)
def test_a_fact_on_the_version_that_is_not_the_run_s_is_noticed(explained, tag, value, words):
    """Score, data and commit are shown with the version: they are those of its evidence and its run."""
    client(explained).set_model_version_tag(NAME, "1", tag, value)
    wrong, status = states(explained)
    assert status == 5 and set(wrong) == {"version", "data"} and words in wrong["version"][0][1]


def test_a_changed_tag_of_the_run_is_noticed(explained):
    client(explained).set_tag(explained.run_id, "mlops.model_digest", "0" * 64)
    client(explained).set_tag(explained.parent_id, "mlops.record_sha256.02_train", "0" * 64)
    wrong, status = states(explained)
    assert status == 5 and wrong["run"][0][0] == wrong["notebook"][0][0] == "altered"


def test_a_score_in_mlflow_that_is_not_that_of_the_evidence_is_noticed(explained):
    """People compare runs by their metrics in MLflow's page."""
    client(explained).log_metric(explained.run_id, "test.roc_auc", 0.99)
    wrong, status = states(explained)
    assert status == 5 and set(wrong) == {"run", "data"}
    assert wrong["run"][0][1].startswith("Its metric test.roc_auc is 0.99, and its evidence has 0.")


@pytest.mark.parametrize("number", [1, 2])
def test_a_changed_history_entry_is_noticed(explained, number):
    """Also an entry that is not the decision itself: the history as a whole must be as it was written."""
    tag = f"mlops.history.{number:06}"
    text = client(explained).get_registered_model(NAME).tags[tag]
    client(explained).set_registered_model_tag(NAME, tag, text.replace('"stage":"', '"stage":"x'))
    wrong, status = states(explained)
    assert (status, wrong["decision"][0][0]) == (5, "altered") and f"entry {number} was altered" in wrong[
        "decision"
    ][0][1]


def test_a_history_entry_that_is_gone_is_noticed(explained):
    client(explained).delete_registered_model_tag(NAME, "mlops.history.000002")
    wrong, status = states(explained)
    assert (status, wrong["decision"][0][0]) == (4, "missing") and "entry 2 is missing" in wrong["decision"][
        0
    ][1]


@pytest.mark.parametrize("column", ["model_digest", "run_id"])
def test_a_changed_prediction_is_noticed(explained, column):
    """The other of the two still finds the version, whose files, tags and history agree."""
    relog(explained, **{column: "0" * 64})
    wrong, status = states(explained)
    assert status == 5 and set(wrong) == {"prediction", "data"} and wrong["prediction"][0][0] == "altered"


def test_a_prediction_that_names_another_model_altogether_is_altered(explained):
    """Run and digest are not those of the version, which was there before the prediction."""
    relog(explained, model_digest="0" * 64, run_id="1" * 32)
    wrong, status = states(explained)
    assert status == 5 and wrong["prediction"][0][0] == wrong["version"][0][0] == "altered"


def test_a_prediction_of_an_older_service_is_incomplete(explained):
    """Its log has neither digest nor run. The version was there before, so the chain goes on, but is not all verified."""
    relog(explained, model_digest=None, run_id=None)
    wrong, status = states(explained)
    assert status == 4 and set(wrong) == {"prediction", "data"}


def test_a_deleted_model_whose_name_is_used_again_is_not_believed(explained):
    """The version 1 of today is another model. The run of the log still has the files of the one that answered."""
    registry = Registry(explained.project.settings())
    registry._client.delete_registered_model(NAME)
    with mlflow.start_run(experiment_id=registry.run(explained.run_id).info.experiment_id) as run:
        mlflow.pyfunc.log_model(
            name="model", python_model=lambda model_input: model_input, pip_requirements=[]
        )
    assert registry.register(NAME, run.info.run_id, {}).version == 1
    wrong, status = states(explained)
    assert status == 4 and set(wrong) == {"version", "data"}
    assert "version 1 of today is another model" in wrong["version"][0][1]
    old = registry.register(NAME, explained.run_id, {})
    wrong, status = states(explained)
    assert status == 4 and f"The same model is version {old.version} now" in wrong["version"][0][1]


def test_a_deleted_run_and_model_leave_the_prediction(explained):
    """All that is left is what the log has."""
    client(explained).delete_registered_model(NAME)
    client(explained).delete_run(explained.run_id)
    wrong, status = states(explained)
    assert status == 4 and wrong["version"][0] == ("missing", f"{NAME} version 1 was deleted.")
    assert "deleted in MLflow" in wrong["run"][0][1]


def test_a_commit_that_the_repository_lacks_is_missing(explained):
    shutil.rmtree(explained.project.root / ".git")
    wrong, status = states(explained)
    assert status == 4 and set(wrong) == {"commit", "data"} and wrong["commit"][0][0] == "missing"


def test_a_git_that_does_not_answer_accuses_nobody(explained, monkeypatch):
    """Whether the commit was altered is not known."""
    asked = git.run

    def run(folder, *arguments, **more):
        if arguments[:2] == ("cat-file", "--batch"):
            raise git.NoGit("git cat-file took more than 60 s")
        return asked(folder, *arguments, **more)

    monkeypatch.setattr(git, "run", run)
    wrong, status = states(explained)
    assert (
        status == 4 and wrong["commit"][0][0] == "missing" and "took more than 60 s" in wrong["commit"][0][1]
    )


def test_a_changed_file_of_the_commit_is_noticed(explained):
    """The repository has the commit, and another content under the name of one of its files."""
    root = explained.project.root
    named = ["git", "-C", str(root), "rev-parse", "HEAD:.gitignore"]
    name = subprocess.run(named, capture_output=True, text=True, check=True).stdout.strip()
    file = root / ".git/objects" / name[:2] / name[2:]
    file.chmod(0o644)
    file.write_bytes(zlib.compress(zlib.decompress(file.read_bytes()).replace(b"log", b"lag")))
    wrong, status = states(explained)
    assert status == 5 and set(wrong) == {"commit", "data"}
    assert wrong["commit"][0][0] == "altered" and f"blob {name} has other content" in wrong["commit"][0][1]
    file.unlink()
    wrong, status = states(explained)
    assert status == 4 and wrong["commit"][0][0] == "missing"


def test_a_run_of_another_commit_is_noticed(explained):
    """The tag of the run is what MLflow's UI shows."""
    client(explained).set_tag(explained.run_id, "mlops.git_commit", "1" * 40)
    wrong, status = states(explained)
    assert status == 5 and "tag mlops.git_commit has 111111111111" in wrong["code"][0][1]


@pytest.mark.parametrize("address", ["", "http://127.0.0.1:9"])
def test_with_mlflow_away_the_log_says_what_it_knows(explained, address, monkeypatch):
    """A store that is gone is not made anew, and a server that does not answer ends the chain with its address."""
    store = explained.project.root / ".mlops" / "mlflow.db"
    if address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    else:
        store.unlink()
    (chain,) = why(explained.project.settings(), explained.request_id)
    assert chain.state == "unchecked" and chain.facts["model"] == f"{NAME} version 1"
    (model,) = chain.links
    assert model.state == "missing" and model.detail.startswith("The chain ends here. ")
    assert (address or str(store)) in model.detail and bool(address) == store.exists()
    with pytest.raises(RegistryError, match=address or "no MLflow store"):
        why(explained.project.settings(), f"models:/{NAME}/1")


def test_versions_are_asked_about_in_each_form(explained):
    """By alias, stage and number; a question about now needs no prediction log."""
    explained.project.configure(serving={"prediction_log": ""})
    settings = explained.project.settings()
    asked = [
        why(settings, target, version)[0].to_dict()
        for target, version in [
            (f"models:/{NAME}@production", 0),
            (f"models:/{NAME}/Production", 0),
            (NAME, 1),
        ]
    ]
    assert asked[0] == asked[1] == asked[2] and asked[0]["kind"] == "model"
    with pytest.raises(NoSuchVersionError, match="version 7"):
        why(settings, f"models:/{NAME}/7")
    with pytest.raises(DataError, match="serving.prediction_log names no folder"):
        why(settings, "some-id")


def test_the_command_prints_a_tree_or_json_and_its_exit_status(explained, monkeypatch):
    """One tree for people; all facts for programs."""
    monkeypatch.chdir(explained.project.root)
    runner = CliRunner()
    told = runner.invoke(app, ["why", explained.request_id])
    assert (
        told.exit_code == 0
        and "forced to Production" in told.stdout
        and "18 verified, 2 unchecked" in told.stdout
    )
    with changed(artifact(explained, "lock")):
        told = runner.invoke(app, ["why", explained.request_id, "--json"])
    found = json.loads(told.stdout)
    assert told.exit_code == 5 and found["state"] == "altered"
    assert found["chains"][0]["links"][0]["kind"] == "model"
    with pytest.raises(DataError, match="no request 'nobody'"), contextlib.redirect_stdout(None):
        runner.invoke(app, ["why", "nobody"], catch_exceptions=False)
