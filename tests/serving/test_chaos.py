"""Everything at once, under load: versions come and go, models crash and hang, registry and feature store are away."""

import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
import psutil
import pytest
import yaml
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

from mlops_lib.features.feast import FeastProvider
from tests.support import chaos, chaotic, servers, shop
from tests.support.chaos import Callers, Connection, Period, Rules, row
from tests.support.feature_projects import write_repo
from tests.support.proxy import Proxy
from tests.support.waiting import LIMIT_S, until

STEPS = int(os.environ.get("CHAOS_STEPS", "40"))
SEED = int(os.environ.get("CHAOS_SEED", "12"))
NAME = "chaos"
GOOD = (1, 2, 3)
#: Version -> what it does to the process that loads it.
BROKEN = {4: "exit", 5: "sys.exit", 6: "hang", 7: "segfault"}
#: A version that has crashed so often in a minute is close to unhealthy: the next one is promoted first.
MAX_FAILURES, WINDOW_S = 3, 62.0
#: What a caller gets whose own row does something.
OUTCOMES = {
    "exit": "model_crashed",
    "segfault": "model_crashed",
    "kill": "model_crashed",
    "sys.exit": "model_failed",
    "hang": "model_timeout",
    "deaf": "model_timeout",
}
#: Step -> how often it comes, relative to the others.
WEIGHTS = {
    "promote": 6,
    "promote_and_go_on": 3,
    "roll_back": 4,
    "promote_broken": 3,
    "crash": 6,
    "kill_from_outside": 3,
    "exit_in_a_call": 3,
    "hang": 1,
    "crash_until_unhealthy": 0.5,
    "registry_away": 2,
    "registry_silent": 0.5,
    "registry_back": 6,
    "store_slow": 2,
    "store_away": 1,
    "store_silent": 0.5,
    "store_back": 6,
}
SETTINGS = {
    "mlflow": {"experiment": "chaos"},
    "data": {"loader": "feature_store", "feature_store": {"repo": "repo", "service": "numbers"}},
    "model": {"name": NAME},
    "serving": {
        "alias": "champion",
        "challenger": "",
        "keep_alive_s": 600,  # longer than a step takes
        "poll_s": 0.2,
        "retry_s": 0.2,
        "predict_timeout_s": 10.0,
        "load_timeout_s": 600.0,
        "features": {"timeout_s": 20.0},
    },
}


def log_versions(folder: Path) -> None:
    """Register the versions of `GOOD` and `BROKEN`: one code, with a module of one name that differs."""
    columns = [("double", "x"), ("long", "visits"), ("double", "age"), ("string", "do")]
    outputs = Schema([ColSpec("double")])
    signature = ModelSignature(Schema([ColSpec(kind, name) for kind, name in columns]), outputs)
    client = mlflow.MlflowClient()
    for version in (*GOOD, *BROKEN):
        helper = folder / str(version) / "helper.py"
        helper.parent.mkdir()
        helper.write_text(f"VERSION, AT_LOAD = {version}, {BROKEN.get(version, '')!r}\n")
        with mlflow.start_run():
            mlflow.pyfunc.log_model(
                name="model",
                python_model=chaotic.__file__,
                code_paths=[str(helper)],
                signature=signature,
                pip_requirements=[],
                registered_model_name=NAME,
            )
        for tag, value in {"feature_service": "numbers", "entity_keys": "user_id"}.items():
            client.set_model_version_tag(NAME, str(version), f"mlops.{tag}", value)


class Chaos:
    """The steps, and what each allows."""

    def __init__(self, service: shop.Service, registry: Proxy, store: Proxy, callers: Callers) -> None:
        self.service, self.registry, self.store, self.callers = service, registry, store, callers
        self.client = mlflow.MlflowClient()
        self.ask = Connection(int(service.url.rpartition(":")[2]), "row 0")
        self.rules = Rules()
        self.wanted = self.confirmed = GOOD[0]
        self.rules.served[self.wanted] = [Period()]
        self.before, self.moves = GOOD[1], 0
        #: Times of crashes of the version that is served.
        self.failures: list[float] = []
        self.random = random.Random(SEED)
        self.done: list[str] = []

    def step(self) -> None:
        """One of them, with callers before and after it."""
        (name,) = self.random.choices(list(WEIGHTS), list(WEIGHTS.values()))
        self.done.append(name)
        getattr(self, name)()
        self.callers.go_on()

    def promote(self) -> None:
        """Another good version; it is served once the registry can be reached."""
        self.move_to(self.another())
        self.confirm()

    def promote_and_go_on(self) -> None:
        """The next step comes while it is loaded."""
        self.move_to(self.another())

    def roll_back(self) -> None:
        """The version that was wanted before."""
        self.move_to(self.before)
        self.confirm()

    def promote_broken(self) -> None:
        """The version that is served goes on."""
        version = self.random.choice(list(BROKEN))
        self.client.set_registered_model_alias(NAME, "champion", str(version))
        self.wanted = version
        if self.registry.mode == "through" and BROKEN[version] != "hang":
            refused = lambda: self.status()["refused"].get("champion", {}).get("version") == version
            until(refused, f"version {version} is refused", self.service.log.read_text)

    def crash(self) -> None:
        """A row that ends the process."""
        self.poison(self.random.choice(["exit", "segfault", "kill"]), crashes=1)

    def exit_in_a_call(self) -> None:
        """A row whose call raises SystemExit: nobody else notices."""
        self.poison("sys.exit")

    def hang(self) -> None:
        """A row whose call takes for ever: it is stopped, or its process is killed, twice if others were in its batch."""
        deed = self.random.choice(["hang", "deaf"])
        self.poison(deed, crashes=2 if deed == "deaf" else 0, callers=False)

    def kill_from_outside(self) -> None:
        """As the kernel does when memory runs out."""
        with self.ending(1):
            for process in self.models():
                with suppress(psutil.NoSuchProcess):  # a load that another one has just replaced
                    process.kill()
                    process.wait(LIMIT_S)

    def crash_until_unhealthy(self) -> None:
        """Only then are callers told to come back later; another version answers at once."""
        if self.registry.mode != "through":
            return
        unhealthy = Period()
        self.rules.unhealthy.append(unhealthy)
        crashes = Period()
        answer = None
        while answer is None or answer.code != "model_unhealthy":
            self.rules.crashes.append(crashes)
            answer = self.ask("POST", "/predict", row(0, "exit"))
            assert answer.code in ("model_crashed", "model_unhealthy"), answer
        assert int(answer.retry_after or 0) >= 1
        self.promote()
        until(lambda: self.service.get("/readyz")[0] == 200, "the next version is ready")
        crashes.end()
        unhealthy.end()

    def registry_away(self) -> None:
        """Connections are refused."""
        self.registry.mode = "away"

    def registry_silent(self) -> None:
        """Connections are accepted, and that is all."""
        self.registry.mode = "silent"

    def registry_back(self) -> None:
        """What was promoted meanwhile is served."""
        self.registry.mode = "through"
        self.confirm()

    def store_slow(self) -> None:
        """Still fast enough for every caller."""
        self.end_store_trouble()
        self.store.mode = "slow"

    def store_away(self) -> None:
        """Callers with keys alone may be told so."""
        self.rules.store_away.append(Period())
        self.store.mode = "away"

    def store_silent(self) -> None:
        """Callers with keys alone may be told so, after their time."""
        self.rules.store_away.append(Period())
        self.store.mode = "silent"

    def store_back(self) -> None:
        """Callers with keys are answered again."""
        self.end_store_trouble()

    def end_store_trouble(self) -> None:
        """The store passes everything on, and the service has noticed."""
        self.store.mode = "through"
        if any(period.ended == float("inf") for period in self.rules.store_away):
            answered = lambda: self.ask("POST", "/predict", chaos.key_row(0)).status == 200
            until(answered, "features are found again", self.service.log.read_text)
            for period in self.rules.store_away:
                period.end()

    def another(self) -> int:
        """A good version that is neither served nor named by the registry."""
        return self.random.choice(
            [version for version in GOOD if version not in (self.wanted, self.confirmed)]
        )

    def move_to(self, version: int) -> None:
        """Move the alias."""
        if self.wanted in GOOD:
            self.before = self.wanted
        if version != self.confirmed:
            self.rules.served.setdefault(version, []).append(Period())
        # The service shows the version's tags: the number tells that it has seen this move, and not an earlier one.
        self.moves += 1
        self.client.set_model_version_tag(NAME, str(version), "move", str(self.moves))
        self.client.set_registered_model_alias(NAME, "champion", str(version))
        self.wanted = version

    def confirm(self) -> None:
        """Wait until the version that is wanted is served, and allow no other from now on."""
        if self.registry.mode != "through" or self.wanted not in GOOD:
            return
        wanted = (self.wanted, str(self.moves))

        def served() -> bool:
            status = self.status()
            return (status.get("champion", {}).get("version"), status["tags"].get("move")) == wanted

        until(served, f"version {self.wanted} is served", self.service.log.read_text)
        for version, periods in self.rules.served.items():
            for period in periods if version != self.wanted else ():
                period.end()
        if self.confirmed != self.wanted:
            self.confirmed, self.failures = self.wanted, []

    def keep_healthy(self, crashes: int) -> None:
        """Promote another version if so many further crashes could make this one unhealthy."""
        recent = [at for at in self.failures if at > time.monotonic() - WINDOW_S]
        if len(recent) + crashes > MAX_FAILURES:
            if self.registry.mode != "through":
                self.registry_back()
            self.promote()

    @contextmanager
    def ending(self, crashes: int, callers: bool = True) -> Iterator[None]:
        """Model processes end meanwhile.

        Args:
            callers: Whether others may notice.
        """
        self.keep_healthy(crashes)
        periods = [Period() for _ in range(crashes)]
        if callers:
            self.rules.crashes += periods
        try:
            yield
        finally:
            for period in periods:
                period.end()
                self.failures.append(period.ended)

    def poison(self, deed: str, crashes: int = 0, callers: bool = True) -> None:
        """Send a row that does something."""
        with self.ending(crashes, callers):
            answer = self.ask("POST", "/predict", row(0, deed))
        assert answer.code == OUTCOMES[deed], answer

    def status(self) -> dict[str, Any]:
        """What the service says of its versions."""
        return dict(self.service.get("/status")[1])

    def models(self) -> list[psutil.Process]:
        """Model processes."""
        (template,) = psutil.Process(self.service.process.pid).children()
        return template.children()


@pytest.fixture(scope="module")
def deployed(blank_store, tmp_path_factory):
    """A service, and the proxies between it and its registry and feature store."""
    folder = tmp_path_factory.mktemp("chaos")
    shutil.copy(blank_store, folder / "mlflow.db")
    store = f"sqlite:///{folder}/mlflow.db"
    port = servers.free_port()
    with (
        servers.redis_server() as (redis, _),
        servers.mlflow_server(store, f"{folder}/artifacts", proxy=True, port=port) as address,
        Proxy(port) as registry,
        Proxy(redis) as online,
    ):
        connection = f"127.0.0.1:{online.port}"
        provider = FeastProvider(
            write_repo(folder / "repo", f'{{type: redis, connection_string: "{connection}"}}')
        )
        provider.apply()
        provider.materialize(datetime(1970, 1, 1, tzinfo=UTC), datetime.now(UTC))
        (folder / "config.yaml").write_text(yaml.safe_dump(SETTINGS))
        mlflow.set_tracking_uri(address)
        mlflow.set_registry_uri(address)
        mlflow.set_experiment("chaos")
        log_versions(folder)
        mlflow.MlflowClient().set_registered_model_alias(NAME, "champion", str(GOOD[0]))
        environment = {
            "MLOPS_CONFIG": str(folder / "config.yaml"),
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{registry.port}",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        }
        command = [sys.executable, "-m", "uvicorn", "main:app", "--no-access-log"]
        with shop.started(command, shop.ROOT / "serving", folder / "service.log", **environment) as service:
            service.until_ready()
            yield service, registry, online


@pytest.mark.slow
@pytest.mark.xdist_group("chaos")
def test_no_caller_of_a_healthy_version_gets_anything_but_its_answer(deployed):
    """Random steps (`WEIGHTS`), one after another, while callers ask all the time; CHAOS_STEPS and CHAOS_SEED change them.

    Each answer must be 200 with the right prediction of a version that the registry named since the last confirmed one,
    or that one. All that a caller may get besides, for a good row:

    - 500 `model_crashed`, once a crash, and only for a request that waited while a model process ended: it was in
      the batch of that process.
    - 503 `model_unhealthy` with Retry-After, only while the version is unhealthy: after five crashes within a minute,
      until another version is served. `/readyz` says the same, and nothing else but 200.
    - 503 `features_unavailable` with Retry-After, only for rows without features, while the feature store is away.

    A version that cannot be loaded, a registry that is away, a store that is slow, a call that hangs, calls `sys.exit` or
    has to be killed are no reason. No connection breaks. At the end one model process is left.
    """
    service, registry, store = deployed
    callers = Callers(int(service.url.rpartition(":")[2]), rows=3, keys=1)
    with callers.asking():
        run = Chaos(service, registry, store, callers)
        answers: Counter[str] = Counter()
        callers.go_on()
        for number in range(STEPS):
            run.step()
            found = callers.taken()
            answers.update(f"{answer.status} {answer.code}".strip() for answer in found)
            wrong = list(run.rules.violations(found))
            assert not wrong, f"seed {SEED}, step {number} of {run.done}: {wrong[:5]}"
        run.end_store_trouble()
        run.registry.mode = "through"
        run.promote()
    print(f"{STEPS} steps: {dict(Counter(run.done))}; answers: {dict(answers)}")
    until(lambda: len(run.models()) == 1, "one model process is left")
    assert not list(run.rules.violations(callers.taken()))
    assert set(answers) - {"200"} <= {"500 model_crashed", "503 model_unhealthy", "503 features_unavailable"}
