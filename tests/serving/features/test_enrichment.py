"""Rows that carry only their key: where their features come from, and what happens when there are none."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pandas as pd
import pytest

from mlops_lib import features
from mlops_lib.errors import ConfigError, ModelError
from mlops_lib.features import FeatureService, OnlineRow
from mlops_lib.features.feast import FeastProvider
from mlops_lib.registry import ModelVersion
from mlops_lib.settings import EnrichmentSettings
from serving.blocking_calls import MAX_HUNG
from serving.features.enrichment import Enricher
from serving.features.lookups import MAX_OVERDUE, Lookups
from serving.inference.schema import RequestSchema
from serving.web.problems import Problem
from tests.support import servers
from tests.support.feature_projects import DAY, NOW, ROOT, write_config, write_repo
from tests.support.waiting import LIMIT_S

HOUR = timedelta(hours=1)
TAGS = {"mlops.feature_service": "numbers", "mlops.entity_keys": "user_id"}


def enricher(feature_project, serving="", tags=TAGS):
    """The enricher of a model version that takes visits, age, and a column of its own."""
    limit = "" if "timeout_s" in serving else "timeout_s: 30, "
    settings = write_config(feature_project, f"serving: {{features: {{{limit}{serving}}}}}")
    version = ModelVersion("small", 1, "Production", "run", tags)
    return Enricher.for_version(version, ["visits", "age", "own"], settings)


def now():
    return datetime.now(UTC)


def enrich(made, *rows):
    return asyncio.run(made.enrich(list(rows)))


@pytest.fixture
def count_lookups(monkeypatch):
    """How many times the store itself was asked."""
    from feast import FeatureStore

    calls = []
    asked = FeatureStore.get_online_features
    monkeypatch.setattr(
        FeatureStore,
        "get_online_features",
        lambda self, *args, **named: calls.append(1) or asked(self, *args, **named),
    )
    return calls


def test_a_key_is_enough_and_a_value_in_the_request_wins(feature_project):
    """The looked-up age is used in the first row and not in the second; columns come in the model's order."""
    rows, statuses = enrich(
        enricher(feature_project), {"user_id": 1, "own": 7}, {"own": 8, "age": 99.0, "user_id": 1}
    )
    assert rows == [{"visits": 5, "age": 21.0, "own": 7}, {"visits": 5, "age": 99.0, "own": 8}]
    assert list(rows[1]) == ["visits", "age", "own"]
    assert statuses.header == "online=3, request=1"


def test_a_batch_costs_one_lookup_and_a_full_row_none(feature_project, count_lookups):
    """Two hundred rows of two users are one call; rows that lack nothing are none."""
    made = enricher(feature_project, "policies: {visits: last_known}")
    before = len(count_lookups)
    enrich(made, *({"user_id": 1 + i % 2} for i in range(200)))
    assert len(count_lookups) == before + 1
    enrich(made, {"visits": 1, "age": 1.0})
    assert len(count_lookups) == before + 1


FIRST_REQUEST = """
import asyncio, sys
from mlops_lib import config
from mlops_lib.registry import ModelVersion
from serving.features import enrichment
from serving.features.enrichment import Enricher
enrichment.FIRST_LOOKUP_S = 400.0
tags = {"mlops.feature_service": "numbers", "mlops.entity_keys": "user_id"}
version = ModelVersion("small", 1, "Production", "run", tags)
made = Enricher.for_version(version, ["visits", "age"], config.load("config.yaml"))
before = set(sys.modules)
print(asyncio.run(made.enrich([{"user_id": 1}])).statuses.header, set(sys.modules) - before)
"""


@pytest.mark.slow
def test_the_first_request_of_a_fresh_process_imports_nothing(feature_project):
    """The imports of a store's first read happen when the version is loaded."""
    write_config(feature_project, "serving: {features: {timeout_s: 60}}")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", FIRST_REQUEST]
    done = subprocess.run(
        command, cwd=feature_project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "online=2 set()\n", done.stdout + done.stderr


def test_a_store_that_hangs_or_fails_does_not_stop_the_load(feature_project, monkeypatch):
    """The first lookup is bounded in time, and its error is left to the policies."""
    monkeypatch.setattr("serving.features.enrichment.FIRST_LOOKUP_S", 0.05)
    ended = threading.Event()
    monkeypatch.setattr(FeastProvider, "online", lambda *_: ended.wait(LIMIT_S))
    assert enricher(feature_project) and not ended.is_set()
    ended.set()
    monkeypatch.setattr(FeastProvider, "online", lambda *_: 1 / 0)
    assert enricher(feature_project)


def test_requests_that_wait_share_a_lookup(feature_project, count_lookups):
    """Fifty requests at once cost a few calls, not fifty, and each gets its own answer."""
    made = enricher(feature_project, "defaults: {visits: 0}, policies: {visits: default}")

    async def at_once():
        return await asyncio.gather(*(made.enrich([{"user_id": 1 + i % 3}]) for i in range(50)))

    before = len(count_lookups)
    answers = asyncio.run(at_once())
    assert [answer.rows[0]["age"] for answer in answers] == [21.0 + i % 3 for i in range(50)]
    assert len(count_lookups) <= before + 3


def test_bare_feast_gives_a_stale_value_and_the_service_says_so(feature_project):
    """User 2's visits are twenty days old and live for seven: Feast's online read does not mind."""
    made = enricher(feature_project)
    bare = made.provider.store.get_online_features(["visits:visits"], [{"user_id": 2}]).to_dict()
    assert bare["visits"] == [9]
    with pytest.raises(Problem, match=r"row 0 \(user_id=2\): visits \(stale\)") as caught:
        enrich(made, {"user_id": 2})
    assert (caught.value.status, caught.value.code) == (422, "features_rejected")


def test_an_unknown_entity_is_named(feature_project):
    """422, with the row, the key and the features."""
    with pytest.raises(
        Problem, match=r"row 1 \(user_id=77\): visits \(unknown_entity\); row 2 \(user_id=77\): visits"
    ) as caught:
        enrich(enricher(feature_project), {"user_id": 1}, {"user_id": 77, "age": 30.0}, {"user_id": 77})
    assert caught.value.headers == {"X-Features-Status": "online=2, reject:unknown_entity=3, request=1"}


def test_each_feature_may_have_a_policy_of_its_own(feature_project):
    """A default for one, the last known (stale) value for the other; counted and named."""
    made = enricher(feature_project, "policies: {visits: last_known, age: default}, defaults: {age: 40.0}")
    rows, statuses = enrich(made, {"user_id": 2})
    assert rows[0] == {"visits": 9, "age": 22.0}
    assert statuses.header == "last_known:stale=1, online=1"
    assert statuses.field["troubled"] == [
        {"row": 0, "feature": "visits", "status": "last_known", "why": "stale"}
    ]
    with pytest.raises(Problem, match=r"visits \(unknown_entity\)"):
        enrich(made, {"user_id": 77})
    made = enricher(feature_project, "on_trouble: default, defaults: {age: 40.0, visits: 0}")
    assert enrich(made, {"user_id": 77}).rows == [{"visits": 0, "age": 40.0}]


def test_a_row_without_features_and_without_a_key_is_refused(feature_project):
    """The message names the row, what it lacks and the key to send."""
    with pytest.raises(Problem, match=r"Row 1 has no 'visits', 'age', nor 'user_id' to look them up by"):
        enrich(enricher(feature_project), {"user_id": 1}, {"own": 1})


def test_the_cache_is_off_by_default_and_honest_when_on(feature_project, count_lookups):
    """The second request is answered from the process, and says so; the cache holds no more than it may."""
    made = enricher(feature_project)
    assert [enrich(made, {"user_id": 1}).statuses.header for _ in range(2)] == ["online=2", "online=2"]
    made = enricher(feature_project, "cache_ttl_s: 60, cache_rows: 1, on_trouble: last_known")
    assert [enrich(made, {"user_id": 1}).statuses.header for _ in range(2)] == ["online=2", "cache=2"]
    before = len(count_lookups)
    made._known.add((5,), made._known.fresh((1,)))
    assert list(made._known._rows) == [(5,)]
    enrich(made, {"user_id": 1})
    assert len(count_lookups) == before + 1


def an_hour_passes(monkeypatch):
    """Set the clocks of the cache and of the feature store an hour ahead."""

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + HOUR

    ahead_s = HOUR.total_seconds()
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + ahead_s, time=lambda: time.time() + ahead_s)
    monkeypatch.setattr("serving.features.known_rows.time", clock)
    monkeypatch.setattr("mlops_lib.features.feast_online.datetime", Later)


def test_a_cached_value_expires(feature_project, monkeypatch):
    """After cache_ttl_s the store is asked again."""
    made = enricher(feature_project, "cache_ttl_s: 3000")
    assert [enrich(made, {"user_id": 1}).statuses.header for _ in range(2)] == ["online=2", "cache=2"]
    an_hour_passes(monkeypatch)
    assert enrich(made, {"user_id": 1}).statuses.header == "online=2"


def test_a_cached_value_is_not_good_beyond_its_own_ttl(feature_project, monkeypatch):
    """Read half an hour before it goes stale and cached for a day: once it is stale the answer says so."""
    made = enricher(feature_project, "cache_ttl_s: 86400")
    written = pd.DataFrame({"user_id": [1], "event_timestamp": [now() - 7 * DAY + HOUR / 2], "visits": [6]})
    made.provider.store.write_to_online_store("visits", written)
    headers = [enrich(made, {"user_id": 1}).statuses.header for _ in range(2)]
    assert headers == ["online=2", "cache=2"]
    an_hour_passes(monkeypatch)
    with pytest.raises(Problem, match=r"visits \(stale\)"):
        enrich(made, {"user_id": 1})


def test_the_last_known_value_of_a_healthy_feature_is_kept_beside_one_in_trouble(
    feature_project, monkeypatch
):
    """User 3 has an age and no visits: with the store down the age is still known, and visits have their default."""
    made = enricher(
        feature_project, "on_trouble: last_known, policies: {visits: default}, defaults: {visits: 0}"
    )
    assert enrich(made, {"user_id": 3}).statuses.header == "default:unknown_entity=1, online=1"
    monkeypatch.setattr(FeastProvider, "online", lambda *_: 1 / 0)
    rows, statuses = enrich(made, {"user_id": 3})
    assert rows == [{"visits": 0, "age": 23.0}]
    assert statuses.header == "default:store_down=1, last_known:store_down=1"


def test_a_value_once_seen_outlives_a_later_reading_that_lacks_it(feature_project, monkeypatch):
    """Last known means the last that was known, not the last reading; a row in trouble is not cached."""
    made = enricher(feature_project, "on_trouble: last_known, cache_ttl_s: 60")
    enrich(made, {"user_id": 1})
    made._known.add((1,), OnlineRow({"visits": None, "age": 50.0}, {"visits": "unknown_entity"}))
    monkeypatch.setattr(FeastProvider, "online", lambda *_: 1 / 0)
    rows, statuses = enrich(made, {"user_id": 1})
    assert rows == [{"visits": 5, "age": 50.0}] and statuses.header == "last_known:store_down=2"


def test_an_entity_that_nobody_knows_takes_no_place_among_the_known(feature_project):
    """Made-up keys must not drive real ones out."""
    made = enricher(feature_project, "on_trouble: last_known")
    with pytest.raises(Problem):
        enrich(made, {"user_id": 77})
    assert not made._known._rows


def test_one_callers_bad_key_is_nobody_elses_trouble(feature_project):
    """A key that the store's own encoding refuses fails alone, though it shared a lookup with two good ones."""
    made = enricher(feature_project)

    async def at_once():
        calls = (made.enrich([{"user_id": key}]) for key in (1, 2**70, 1))
        return await asyncio.gather(*calls, return_exceptions=True)

    first, bad, last = asyncio.run(at_once())
    assert first.statuses.header == last.statuses.header == "online=2"
    assert bad.headers["X-Features-Status"] == "reject:store_down=2"


def test_bad_keys_cost_the_others_no_time_out():
    """Among sixty callers who share a lookup, two bad keys are refused and everybody else is answered, in few reads."""
    reads = []

    def read(keys):
        reads.append(keys)
        if set(keys) & {7, 40}:
            raise ValueError("no such key")
        return keys

    async def at_once():
        lookups = Lookups(read, timeout_s=60.0)
        calls = (lookups.get([key]) for key in range(60))
        return await asyncio.gather(*calls, return_exceptions=True)

    outcomes = asyncio.run(at_once())
    assert [i for i, outcome in enumerate(outcomes) if not isinstance(outcome, dict)] == [7, 40]
    assert {type(outcomes[7]), type(outcomes[40])} == {ValueError} and len(reads) < 30


def test_a_store_that_takes_its_time_to_fail_is_told_as_down_at_once(monkeypatch):
    """A failure that took more than half of the time limit: the store is not asked again for each caller."""
    reads, clock = [], SimpleNamespace(now=0.0)
    monkeypatch.setattr("serving.features.waiters.time.monotonic", lambda: clock.now)

    def read(keys):
        reads.append(keys)
        clock.now += 31
        raise OSError("refused")

    async def at_once():
        lookups = Lookups(read, timeout_s=60.0)
        return await asyncio.gather(*(lookups.get([key]) for key in range(9)), return_exceptions=True)

    assert {type(outcome) for outcome in asyncio.run(at_once())} == {OSError} and len(reads) == 1


@pytest.mark.slow
def test_more_keys_than_a_statement_takes_are_read_in_several(feature_project):
    """A quarter of a million entities in one request are read like one."""
    provider = features.from_settings(write_config(feature_project))
    keys = [{"user_id": 1 + i % 3} for i in range(260_000)]
    rows = provider.online(provider.describe("numbers"), keys)
    assert [row.values["age"] for row in (*rows[:3], *rows[-1:])] == [21.0, 22.0, 23.0, 22.0]
    assert len(rows) == len(keys)


@pytest.mark.parametrize(
    ("dtype", "good", "bad"),
    [
        ("int32", "2147483647", "2147483648"),
        ("uint8", "255", "-1"),
        ("int64", "9223372036854775807", "9223372036854775808"),
        ("float64", "1.5", '"1.5"'),
        ("datetime64[ns, UTC]", '"2026-01-02T00:00:00Z"', "1767323045"),
        ("object", '"a"', "1"),
    ],
)
def test_a_key_is_held_to_the_type_that_the_store_has(dtype, good, bad):
    """What the store could not encode is refused with the field's name, before it is looked up."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    schema = RequestSchema(ModelSignature(inputs=Schema([ColSpec("double", "age")])), ["age"], {"key": dtype})
    schema.parse(f'{{"key": {good}}}'.encode())
    with pytest.raises(Problem, match="key"):
        schema.parse(f'{{"key": {bad}}}'.encode())


def test_the_default_of_a_time_is_a_time():
    """config.yaml has it as text; the model gets what the store would have given. What is no time stops the load."""
    service = FeatureService(
        "people", {"user_id": "int64"}, {"since": "datetime64[ns, UTC]"}, {"since": None}
    )
    away = SimpleNamespace(reconnect=None, online=lambda *_: 1 / 0)

    def made(default):
        settings = EnrichmentSettings(on_trouble="default", defaults={"since": default})
        return Enricher(away, service, ["since"], settings)

    rows, _ = enrich(made("2026-01-31T01:00:00+01:00"), {"user_id": 1})
    assert rows == [{"since": datetime(2026, 1, 31, tzinfo=UTC)}]
    with pytest.raises(ConfigError, match="has 5 for 'since', which is a time"):
        made(5)


def test_a_time_of_the_request_keeps_its_offset():
    """A model that learned from the store's times, which are in UTC, cannot compare them with times of no zone."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    schema = RequestSchema(ModelSignature(inputs=Schema([ColSpec("datetime", "when")])))
    rows = schema.parse(b'{"when": "2026-01-31T00:00:00Z"}')
    assert rows.dicts() == [{"when": datetime(2026, 1, 31, tzinfo=UTC)}]


def test_models_without_a_service_are_left_alone(feature_project):
    """No tag on the version, no enrichment, and no feature store is opened."""
    assert enricher(feature_project, tags={}) is None


@pytest.mark.parametrize(
    ("serving", "said"),
    [
        ("on_trouble: default", "defaults has no value for them"),
        ("policies: {wisits: default}", "names 'wisits'"),
        ("defaults: {own: 1}", "names 'own'"),
    ],
)
def test_policies_that_cannot_work_stop_the_load(feature_project, serving, said):
    """Not at the first time-out at night: when the version is loaded."""
    with pytest.raises(ConfigError, match=said):
        enricher(feature_project, serving)


def test_a_service_with_other_keys_than_at_training_is_refused(feature_project):
    """What the registry says is held against the store."""
    with pytest.raises(ModelError, match="trained with entity keys account_id"):
        enricher(feature_project, tags=TAGS | {"mlops.entity_keys": "account_id"})


@pytest.mark.parametrize("form", [",".join, json.dumps], ids=["commas of older versions", "JSON"])
def test_a_feature_that_left_the_service_is_refused(feature_project, form):
    """Otherwise it would pass for a column of the model's own, and every request with a key alone would fail."""
    tags = {**TAGS, "mlops.entity_keys": form(["user_id"]), "mlops.features": form(["visits", "age", "own"])}
    with pytest.raises(
        ModelError, match=r"trained with own of feature service 'numbers', which it no longer"
    ):
        enricher(feature_project, tags=tags)
    assert enricher(feature_project, tags=tags | {"mlops.features": form(["visits", "age"])})


@pytest.fixture(scope="module")
def redis_project(tmp_path_factory):
    """The small repository with its online values in a Redis of its own, which a test may stop."""
    with servers.redis_server() as (port, process):
        folder = tmp_path_factory.mktemp("redis")
        write_repo(folder / "repo", f'{{type: redis, connection_string: "127.0.0.1:{port}"}}')
        provider = features.from_settings(write_config(folder))
        provider.apply()
        provider.materialize(NOW.replace(year=2000), NOW)
        yield folder, process


@pytest.mark.slow
def test_a_store_that_hangs_costs_the_budget_and_no_more(redis_project, count_lookups):
    """Redis is frozen: every policy answers without it, also for later requests; then it recovers."""
    folder, process = redis_project
    made = enricher(folder, "on_trouble: last_known, timeout_s: 2")
    strict = enricher(folder, "timeout_s: 2")

    async def until_online():
        async with asyncio.timeout(LIMIT_S):
            while (await made.enrich([{"user_id": 1}])).statuses.header != "online=2":
                await asyncio.sleep(0.05)

    async def through_the_trouble():
        await until_online()
        process.send_signal(signal.SIGSTOP)
        try:
            before = len(count_lookups)
            answers = await asyncio.gather(*(made.enrich([{"user_id": 1}]) for _ in range(20)))
            late = await made.enrich([{"user_id": 1}])
            with pytest.raises(Problem) as caught:
                await strict.enrich([{"user_id": 1}])
            lookups = len(count_lookups) - before
        finally:
            process.send_signal(signal.SIGCONT)
        await until_online()
        return answers, late, caught.value, lookups

    answers, late, problem, lookups = asyncio.run(through_the_trouble())
    assert {answer.statuses.header for answer in answers} == {"last_known:timeout=2"}
    assert late.rows == answers[0].rows == [{"visits": 5, "age": 21.0}]
    assert (problem.status, problem.code) == (503, "features_unavailable") and "timeout" in problem.detail
    assert lookups == 3, "the twenty share one"


@pytest.mark.slow
def test_lookups_that_hang_for_ever_do_not_outlast_the_trouble(tmp_path, count_lookups):
    """A server that accepts and never answers takes Redis's place; once Redis is back, so are the features.

    The connections of the lookups that hang stay open all the while, as behind a broken network.
    """
    with servers.redis_server() as (port, _):
        write_repo(tmp_path / "repo", f'{{type: redis, connection_string: "127.0.0.1:{port}"}}')
        filling = features.from_settings(write_config(tmp_path))
        filling.apply()
        filling.materialize(NOW.replace(year=2000), NOW)
    made = enricher(tmp_path, "timeout_s: 0.5")
    of_others = set(threading.enumerate())

    async def asked_until(header):
        """The last answer's header, asked anew every 50 ms until it is `header`, or for `LIMIT_S`."""
        loop = asyncio.get_running_loop()
        end, said = loop.time() + LIMIT_S, ""
        while said != header and loop.time() < end:
            try:
                said = (await made.enrich([{"user_id": 1}])).statuses.header
            except Problem as problem:
                said = problem.headers["X-Features-Status"]
            await asyncio.sleep(0.05)
        return said

    async def through_the_trouble():
        with servers.black_hole(port) as held:
            for _ in range(MAX_OVERDUE + 2):
                assert await asked_until("reject:timeout=2") == "reject:timeout=2"
            made._lookups._probe_at, before = float("inf"), len(count_lookups)
            assert await asked_until("reject:timeout=2") == "reject:timeout=2"
            assert len(count_lookups) == before, "refused at once, without a lookup"
            made._lookups._probe_at = 0.0
        with servers.redis_server(port):
            features.from_settings(write_config(tmp_path)).materialize(NOW.replace(year=2000), NOW)
            back = await asked_until("online=2")
            ours = set(threading.enumerate()) - of_others
            hanging = sum(thread.name == "features" for thread in ours)
        return back, hanging, held

    back, hanging, held = asyncio.run(through_the_trouble())
    for connection in held:
        connection.close()
    assert back == "online=2"
    assert MAX_OVERDUE < hanging < MAX_HUNG


@pytest.mark.slow
def test_a_store_that_is_down_follows_the_policy(redis_project):
    """The last test of this Redis: it is killed; what was seen is still answered, what was not is a 503."""
    folder, process = redis_project
    made = enricher(folder, "on_trouble: last_known")

    async def after_the_end():
        await made.enrich([{"user_id": 1}])
        process.kill()
        process.wait()
        known = await made.enrich([{"user_id": 1}])
        with pytest.raises(Problem) as caught:
            await made.enrich([{"user_id": 3}])
        return known, caught.value

    known, problem = asyncio.run(after_the_end())
    # A driver may retry a dead server for longer than the budget, which then ends the wait.
    assert known.statuses.header in ("last_known:store_down=2", "last_known:timeout=2")
    assert problem.status == 503 and "age (" in problem.detail  # its driver may retry past the budget
