"""Environment and order of all tests; fixtures are in tests/support/*_fixtures.py."""

import gc
import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from itertools import takewhile

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from mlops_lib import config
from mlops_lib.imports import JSON_SCHEMA_EXTRAS, without
from mlops_lib.steps.fork_client import FORK_SERVER_ENV
from tests.support import blank
from tests.support.projects import BIN, ROOT, PipelineRun, Project, Trained
from tests.support.shared import shared_folder

__all__ = ["BIN", "ROOT", "PipelineRun", "Project", "Trained"]

pytest_plugins = [
    "tests.support.feature_fixtures",
    "tests.support.graph_fixtures",
    "tests.support.llm_fixtures",
    "tests.support.project_fixtures",
    "tests.support.server_fixtures",
]

with without(JSON_SCHEMA_EXTRAS):
    import jsonschema  # noqa: F401 - each test process would spend 1.5 s on the extra that it imports

# Python's default thresholds look often through the objects of a test.
gc.set_threshold(50_000, 50, 100)
# pytest rewrites the assertions of the tests for three seconds, unless it may store the result.
sys.dont_write_bytecode = False
# MLflow reads it once, when it is imported, and would report to its makers.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

#: Fixtures that take long and are made in each process: their tests stay on one worker. The first match wins.
GROUPS = ("docker", "explained", "tracking_server", "s3_server", "shop_service", "naughty")
#: Variables that the platform, MLflow, Feast or Kubeflow read, or set for the processes that they start.
VARIABLES = (
    *config.ENVIRONMENT,
    config.CONFIG_ENV,
    FORK_SERVER_ENV,
    "ANTHROPIC_BASE_URL",
    "GIT_COMMIT",
    "MLFLOW_BACKEND_STORE_URI",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_RUN_ID",
    "PROMETHEUS_MULTIPROC_DIR",
    "PROMETHEUS_MULTIPROCESS_DIR",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs containers, and give pytest-xdist its groups, the longest first.

    First of all such hooks: pytest reads the marks in one, pytest-xdist the groups.
    """
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "docker" in fixtures:
            item.add_marker("containers")
            item.add_marker("slow")
        # The tests of a file stay together: they import the same packages, and share the fixtures of their module.
        file = item.nodeid.partition("::")[0]
        # Importing Feast takes ten seconds: one worker does.
        default = "feast" if "features" in file else file
        item.add_marker(pytest.mark.xdist_group(next((name for name in GROUPS if name in fixtures), default)))
    items.sort(key=_turn)


def pytest_report_teststatus(report: pytest.TestReport, config: pytest.Config) -> tuple[str, str, str] | None:
    """A test that passed is a dot in a terminal, and nothing in a log."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if report.when == "call" and report.passed and not (terminal and terminal.isatty):
        return "passed", "", "PASSED"
    return None


def pytest_collection_finish() -> None:
    """Tests import half a million objects that are never freed: the garbage collector need not look at them."""
    gc.freeze()


def _turn(item: pytest.Item) -> tuple[bool, bool]:
    """Containers, then other slow tests, then the quick ones."""
    return item.get_closest_marker("containers") is None, item.get_closest_marker("slow") is None


@event.listens_for(Engine, "connect")
def _do_not_wait_for_the_disk(connection: object, _: object) -> None:
    """MLflow commits a thousand times in some tests; none needs a store that outlives a power cut."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


#: Engines of databases that were used since the last test ended.
_engines: set[Engine] = set()


@event.listens_for(Engine, "engine_connect")
def _note(connection: Connection) -> None:
    _engines.add(connection.engine)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Close the files of the stores that a test has used: MLflow keeps a store, and its connections, for ever.

    More than a thousand files stayed open otherwise, and some libraries cannot wait for a file whose number is that
    large. A store that is used again opens its file anew.
    """
    while _engines:
        engine = _engines.pop()
        if engine.url.database not in (None, "", ":memory:"):
            engine.dispose()


@pytest.fixture(scope="session", autouse=True)
def _subprocess_environment(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Steps and services import this checkout, and their progress bars do not fill the report."""
    os.environ[blank.FOLDER_ENV] = str(shared_folder(tmp_path_factory) / "blank")
    blank.use()
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # Six more processes of each MLflow server, for jobs that nothing here starts.
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    # Hundreds of processes import this checkout: compiled once, each starts half a second earlier.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # A shell that starts the tests in the background makes them ignore Ctrl-C, which some of them send.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _imports_of_this_test_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The import path as before the test, and no module of its folder: `config.load` adds the project's to the path.

    Fixtures of wider scope are made before it, and keep what they add.
    """
    path, last = list(sys.path), next(reversed(sys.modules))
    yield
    sys.path[:] = path
    temporary = shared_folder(tmp_path_factory)
    # To look at all ten thousand modules of a long session takes longer than most tests.
    for name in list(takewhile(lambda name: name != last, reversed(sys.modules))):
        if str(getattr(sys.modules[name], "__file__", None)).startswith(f"{temporary}{os.sep}"):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def _mlflow_of_this_test_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """MLflow's store as before the test, and no traces of LangChain.

    Where a test leaves a store that cannot be opened, MLflow tries for 100 s to trace each event of a later graph.
    """
    mlflow = sys.modules.get("mlflow")
    before = mlflow.get_tracking_uri() if mlflow and mlflow.is_tracking_uri_set() else None
    yield
    if mlflow := sys.modules.get("mlflow"):
        from mlflow.utils.autologging_utils import autologging_is_disabled

        mlflow.set_tracking_uri(before or f"sqlite:///{tmp_path_factory.getbasetemp()}/of-no-test.db")
        if not autologging_is_disabled("langchain"):
            mlflow.langchain.autolog(disable=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Before any fixture, also a shared one: no setting of the machine, and none that an earlier test left."""
    for name in VARIABLES:
        os.environ.pop(name, None)
