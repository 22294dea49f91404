"""Promotion to Production: the decision that it needs, and two at once."""

import hashlib
import json
import os
import re
import subprocess
import sys
from contextlib import nullcontext
from datetime import UTC, datetime

import mlflow
import pytest

from mlops_lib import processes, tracking
from mlops_lib.errors import RegistryError
from mlops_lib.registry import ClaimedError, Decision, Registry, claims, register_run
from tests.support import warm
from tests.support.projects import ROOT
from tests.support.promoting import promote

PASSED = {"passed": True, "champion": None}


@pytest.fixture
def registry(stored):
    """A registry with three versions of `churn` that hold no stage; version 1 has a run."""
    registry = Registry(stored.settings())
    add_model(registry, stored.settings())
    return registry


def add_model(registry, settings, name="churn"):
    with tracking.child_run(settings, "train-model", "", {}) as run:
        pass
    registry._client.create_registered_model(name)
    for number in (1, 2, 3):
        registry._client.create_model_version(
            name, "file:///nowhere", run.info.run_id if number == 1 else f"run{number}"
        )


def evidence(registry, verdict=PASSED, champion=0):
    """A decision with its evidence on the run of version 1."""
    text = json.dumps(verdict) if isinstance(verdict, dict) else verdict
    run_id = registry.resolve("churn", version=1).run_id
    registry._client.log_text(run_id, text, "promotion/gate.json")
    return Decision("passed", champion, "promotion/gate.json", hashlib.sha256(text.encode()).hexdigest())


def at_production(registry):
    return [v.version for v in registry.versions("churn") if v.stage == "Production"]


@pytest.mark.slow
def test_production_needs_a_decision(registry):
    """In a notebook: refused, with the command that asks the gate; Staging and Archived need none."""
    for stage in ("Production", "production"):
        with pytest.raises(RegistryError, match="without the gate's decision. .* mlops promote churn 1"):
            registry.promote("churn", 1, stage)
    assert at_production(registry) == [] and registry.history("churn").entries == ()
    registry.promote("churn", 1, "Staging")
    registry.promote("churn", 1, "Archived")


@pytest.mark.slow
def test_a_decision_that_passed_shows_its_evidence(registry):
    """The verdict on the version's run is read and hashed; its address is in the history."""
    decision = evidence(registry)
    registry.promote("churn", 1, "Production", decision)
    (entry,) = registry.history("churn").entries
    assert (entry.action, entry.evidence, entry.evidence_sha256) == (
        "promoted", "promotion/gate.json", decision.evidence_sha256,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        ({"passed": False}, "did not pass"),
        ({"passed": "yes"}, "did not pass"),
        ({"passed": True, "champion": {"version": 2}}, "compares with version 2"),
        ("[]", "holds no verdict"),
        ("passed", "holds no verdict"),
    ],
)
def test_evidence_that_does_not_pass_is_refused(registry, verdict, reason):
    """A decision says that the gate passed, and its evidence does not."""
    with pytest.raises(RegistryError, match=reason):
        registry.promote("churn", 1, "Production", evidence(registry, verdict))
    assert at_production(registry) == []


def test_evidence_that_is_missing_or_altered_is_refused(registry):
    """No address, no such file, another digest, evidence of another version's run."""
    good = evidence(registry)
    for version, decision, reason in (
        (1, Decision("passed"), "names no evidence"),
        (1, Decision("passed", 0, "gone.json", good.evidence_sha256), "cannot be read"),
        (1, Decision("passed", 0, good.evidence, "0" * 64), "was altered"),
        (2, good, "cannot be read"),
    ):
        with pytest.raises(RegistryError, match=reason):
            registry.promote("churn", version, "Production", decision)
    assert at_production(registry) == []


def test_force_needs_a_reason(registry):
    """White space is none."""
    with pytest.raises(RegistryError, match="needs a reason.*--force --reason"):
        registry.promote("churn", 1, "Production", Decision("forced", reason=" "))


@pytest.mark.slow
def test_a_decision_ends_when_another_version_takes_the_stage(registry):
    """Judged while Production was empty, then while version 1 was there: both are refused afterwards."""
    early = Decision("forced", 0, reason="early")
    promote(registry, "churn", 1)
    with pytest.raises(RegistryError, match="with no version at Production, and version 1 is there now. Ask"):
        registry.promote("churn", 2, "Production", early)
    late = Decision("forced", 1, reason="late")
    promote(registry, "churn", 3)
    with pytest.raises(RegistryError, match="with version 1 at Production, and version 3 is there now"):
        registry.promote("churn", 2, "Production", late)
    assert at_production(registry) == [3]


def test_a_version_registered_without_passing_has_no_way_to_production(registry, stored):
    """`register_run` refuses a run whose gate did not pass, and never touches Production."""
    run_id = registry.resolve("churn", version=1).run_id
    with pytest.raises(RegistryError, match="has not passed the gate"):
        register_run(stored.settings(), run_id, "churn")
    assert at_production(registry) == []


@pytest.mark.slow
def test_an_entry_that_cannot_be_written_moves_the_versions_back(registry, monkeypatch):
    """Nothing is at Production without an entry in the history."""
    promote(registry, "churn", 1)
    write = mlflow.MlflowClient.set_registered_model_tag

    def refuse(client, name, key, value):
        if key.startswith("mlops.history."):
            raise mlflow.MlflowException("the registry went away")
        write(client, name, key, value)

    with monkeypatch.context() as patched:
        patched.setattr(mlflow.MlflowClient, "set_registered_model_tag", refuse)
        with pytest.raises(RegistryError, match="could not add an entry to the history"):
            promote(registry, "churn", 2)
    assert at_production(registry) == [1] and registry.versions("churn")[1].stage == "None"
    assert registry.enter_found_moves("churn") == []


@pytest.mark.slow
def test_a_claim_keeps_others_out_until_it_expires(registry, monkeypatch):
    """The error names the process; a claim that is too old ends."""
    with claims.claim(registry._client, "churn"):
        with (
            pytest.raises(RegistryError, match=r"\(process \d+ on .*\) is moving a version of 'churn'"),
            claims.claim(registry._client, "churn", wait_s=0.1),
        ):
            pass
        with monkeypatch.context() as patched:
            patched.setattr(claims, "EXPIRES_S", -1.0)
            with claims.claim(registry._client, "churn", wait_s=0.0):
                pass
        assert not [tag for tag in registry._client.get_registered_model("churn").tags if "claim" in tag]
    promote(registry, "churn", 1)


CLAIM = """
import sys
from mlops_lib import config
from mlops_lib.registry import Registry, claims
with claims.claim(Registry(config.load(sys.argv[1]))._client, "churn"):
    print("claimed", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def claimer(registry, stored):
    """A process that holds a claim of the model until its standard input ends."""
    command = [sys.executable, "-c", CLAIM, str(stored.config_file)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline() == "claimed\n"
        yield process
        process.kill()


def test_a_claim_ends_with_its_process(registry, claimer, monkeypatch):
    """Killed inside its claim, a process delays nobody on its machine, even as a zombie; elsewhere its claim expires."""
    claimer.kill()
    os.waitid(os.P_PID, claimer.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
    with monkeypatch.context() as patched:
        for elsewhere in ("another machine", ""):
            patched.setattr(processes, "machine", lambda name=elsewhere: name)
            with (
                pytest.raises(ClaimedError, match="its claim ends 120 s"),
                claims.claim(registry._client, "churn", wait_s=0),
            ):
                pass
    with claims.claim(registry._client, "churn", wait_s=0):
        pass
    assert not [tag for tag in registry._client.get_registered_model("churn").tags if "claim" in tag]


def test_a_claim_of_a_reused_process_id_has_ended(registry):
    """Another process with the id of the process that died does not keep its claim alive."""
    content = {"process": "a process", "at": datetime.now(UTC).isoformat(), "machine": processes.machine()}
    for name, ended in ((f"{os.getpid()}-1", True), (processes.name_of(os.getpid()), False), ("", False)):
        tag = f"{claims.CLAIM_TAG}x"
        registry._client.set_registered_model_tag("churn", tag, json.dumps({**content, "name": name}))
        with (
            nullcontext() if ended else pytest.raises(ClaimedError, match="a process is moving"),
            claims.claim(registry._client, "churn", wait_s=0),
        ):
            pass


@pytest.mark.slow
def test_a_promotion_waits_for_another_one_and_says_so(registry, claimer, monkeypatch, caplog):
    """It goes on as soon as the other process ends its claim."""

    def release(message, *values):
        claimer.stdin.close()
        warn(message, *values)

    warn = claims.log.warning
    monkeypatch.setattr(claims, "LOGGED_AFTER_S", 0.0)
    monkeypatch.setattr(claims.log, "warning", release)
    promote(registry, "churn", 1, "Staging")
    assert registry.resolve("churn", stage="Staging").version == 1
    assert re.fullmatch(
        r"Waiting up to 150 s for .* \(process \d+ on .*\), which is moving a version of 'churn'\.",
        caplog.messages[-1],
    )


def test_a_process_that_was_held_up_moves_nothing(registry, monkeypatch):
    """Its claim was taken for that of a dead process."""
    with claims.claim(registry._client, "churn") as held:
        held.check()
        registry._client.delete_registered_model_tag("churn", held.key)
        with pytest.raises(RegistryError, match="took longer than 120 s"):
            held.check()


RACE = """
import sys
from mlops_lib import config
from mlops_lib.errors import RegistryError
from mlops_lib.registry import Decision, Registry
registry = Registry(config.load(sys.argv[1]))
registry.versions("model0")
print("ready", flush=True)
for line in sys.stdin:
    name, version = line.split()
    try:
        registry.promote(name, int(version), "Production", Decision("forced", 0, reason=f"race {version}"))
        print("won", flush=True)
    except RegistryError as error:
        print("lost" if "is there now" in str(error) else error, flush=True)
"""


def race(project, rounds):
    """Two processes, and for each new model a promotion to its empty Production in both at once."""
    settings = project.settings()
    registry = Registry(settings)
    with tracking.child_run(settings, "train-model", "", {}) as run:
        source = run.info.artifact_uri
    for number in range(rounds):
        registry._client.create_registered_model(f"model{number}")
        for _ in range(2):
            registry._client.create_model_version(f"model{number}", source, run.info.run_id)
    racers = [warm.start_code(RACE, str(project.config_file)) for _ in range(2)]
    try:
        assert [from_it.readline() for _, _, from_it in racers] == ["ready\n"] * 2
        for number in range(rounds):
            for version, (_, to_it, _) in enumerate(racers, 1):
                to_it.write(f"model{number} {version}\n")
                to_it.flush()
            said = [from_it.readline().strip() for _, _, from_it in racers]
            assert sorted(said) == ["lost", "won"], said
            winner = said.index("won") + 1
            name = f"model{number}"
            assert [(v.version, v.stage) for v in registry.versions(name) if v.stage != "None"] == [
                (winner, "Production")
            ]
            found = registry.history(name)
            assert found.verify() == "" and [e.version for e in found.entries] == [winner]
            tags = registry._client.get_registered_model(name).tags
            assert not [tag for tag in tags if tag.startswith(claims.CLAIM_TAG)]
    finally:
        for racer, to_it, from_it in racers:
            to_it.close()
            racer.wait()
            from_it.close()


@pytest.mark.slow
def test_two_promotions_at_once_cannot_both_win(stored):
    """On one SQLite file: one wins, the other is told to ask the gate again, and the history has one entry."""
    race(stored, 6)


@pytest.mark.slow
def test_two_promotions_at_once_cannot_both_win_on_a_server(project, tracking_server):
    """The same over HTTP."""
    race(project.configure(mlflow={"tracking_uri": tracking_server}), 3)
