"""OpenLineage events, sent to a real receiver and built again with the official client's classes, which check them."""

import contextlib
import importlib
import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from openlineage.client import event_v2, facet_v2
from openlineage.client.generated.base import BaseFacet

from mlops_lib import config, loaders, notebooks
from mlops_lib.columns.schema import COLUMNS_FILE, Column
from mlops_lib.columns.schema import Schema as ColumnSchema
from mlops_lib.openlineage import receiver
from mlops_lib.openlineage.datasets import source_name
from mlops_lib.openlineage.step_run import reported
from mlops_lib.step_cache.mode import StepCacheMode
from mlops_lib.steps.table import step_of
from tests import toy_notebooks

PARENT = "0123456789abcdef0123456789abcdef"
KEY = "a-secret-key-of-openlineage"
OUTPUTS: dict[str, dict[str, Any]] = {
    "01_get_data": {"train_rows": 6, "validation_rows": 2, "test_rows": 1, "fingerprint": "f1"},
    "02_train": {"run_id": "r1", "model_uri": "runs:/r1/model"},
    "03_evaluate": {"score": 0.9, "threshold": 0.5, "passed": True},
    "04_register": {"model_name": "shop", "version": 3, "stage": "Staging"},
}


class Received(list[dict[str, Any]]):
    """The events of a receiver, and the headers of the last one."""

    url = ""
    headers: Any = None
    status = 201
    location = ""


@pytest.fixture
def received() -> Iterator[Received]:
    """A receiver that takes events at /api/v1/lineage alone."""
    events = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            events.headers = self.headers
            if self.path == "/api/v1/lineage":
                events.append(json.loads(body))
            self.send_response(events.status if self.path == "/api/v1/lineage" else 404)
            if events.location:
                self.send_header("Location", events.location)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        events.url = f"http://127.0.0.1:{server.server_address[1]}"
        Thread(target=server.serve_forever, daemon=True).start()
        yield events
        server.shutdown()


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Make the settings of a project whose events go to a URL."""

    def make(url: str) -> Any:
        (tmp_path / "config.yaml").write_text(
            "mlflow: {tracking_uri: 'http://user:p4ssw0rd@mlflow.example:5000', experiment: exp}\n"
            "data: {source: rows.csv, label: y}\nmodel: {name: shop}\nevaluation: {threshold: 0.0}\n"
        )
        monkeypatch.setenv("OPENLINEAGE_URL", url)
        monkeypatch.setenv("OPENLINEAGE_API_KEY", KEY)
        return config.load(tmp_path / "config.yaml")

    return make


def checked(event: dict[str, Any]) -> event_v2.RunEvent:
    """The event as the client's classes, which know every field and check its form."""

    def facets(group: dict[str, Any]) -> dict[str, BaseFacet]:
        return {name: facet(content) for name, content in group.items()}

    def datasets(kind: Any, named: str) -> list[Any]:
        return [
            kind(
                one["namespace"], one["name"], facets=facets(one["facets"]),
                **{named: facets(one.get(named, {}))},
            )
            for one in event[f"{named.removesuffix('Facets')}s"]
        ]  # fmt: skip

    made = event_v2.RunEvent(
        eventTime=event["eventTime"],
        producer=event["producer"],
        eventType=event_v2.RunState(event["eventType"]),
        run=event_v2.Run(event["run"]["runId"], facets(event["run"]["facets"])),
        job=event_v2.Job(event["job"]["namespace"], event["job"]["name"], facets(event["job"]["facets"])),
        inputs=datasets(event_v2.InputDataset, "inputFacets"),
        outputs=datasets(event_v2.OutputDataset, "outputFacets"),
    )
    assert made.schemaURL == event["schemaURL"]
    return made


def facet(content: dict[str, Any]) -> BaseFacet:
    """A facet as the client's class of its schema."""
    name = content["_schemaURL"].rpartition("/")[2]
    modules = [
        getattr(facet_v2, module) for module in dir(facet_v2) if not module[0].isupper() and module[0] != "_"
    ]
    kind = next(getattr(module, name) for module in modules if hasattr(module, name))
    assert kind._get_schema() == content["_schemaURL"]
    fields = {key: value for key, value in content.items() if not key.startswith("_")}
    if name == "ParentRunFacet":
        parent = importlib.import_module("openlineage.client.generated.parent_run")
        fields = {"run": parent.Run(**fields["run"]), "job": parent.Job(**fields["job"])}
    if name == "DataQualityMetricsInputDatasetFacet":
        quality = facet_v2.data_quality_metrics_input_dataset
        metrics = {column: quality.ColumnMetrics(**one) for column, one in fields["columnMetrics"].items()}
        fields = {"columnMetrics": metrics}
    if name == "SchemaDatasetFacet":
        fields = {
            "fields": [facet_v2.schema_dataset.SchemaDatasetFacetFields(**one) for one in fields["fields"]]
        }
    return kind(producer=content["_producer"], **fields)


def ran(settings: Any, notebook: str, error: BaseException | None = None, **given: Any) -> None:
    """Report a step that ends with its outputs, or with an error."""
    step = step_of(notebook)
    given = step.given({"parent_run_id": PARENT, **given})
    expected = pytest.raises(type(error)) if error else contextlib.nullcontext()
    with expected, reported(settings, step, given) as done:
        if error:
            raise error
        done(OUTPUTS[notebook])


def test_the_steps_of_a_run_are_connected(settings, received):
    """Source, prepared dataset, model, evaluation, version: each output is the next step's input, by the same name."""
    made = settings(received.url)
    columns = ColumnSchema(
        (Column("x", "number", distinct=4, least=1.0, most=9.0), Column("z", "text", "unused"))
    )
    folder = loaders.prepared_folder(made)
    folder.mkdir(parents=True)
    (folder / COLUMNS_FILE).write_text(columns.to_json())
    for notebook in OUTPUTS:
        ran(made, notebook, run_id="r1")
    assert [event["eventType"] for event in received] == ["START", "COMPLETE"] * 4
    ended = [checked(event) for event in received][1::2]
    get, train, evaluate, register = [
        ([one.name for one in event.inputs], [one.name for one in event.outputs]) for event in ended
    ]
    assert get == ([str(made.root / "rows.csv")], ["exp/dataset"])
    assert train == (["exp/dataset"], ["exp/model/shop"])
    assert evaluate == (["exp/dataset", "exp/model/shop"], ["exp/evaluation/shop"])
    assert register == (["exp/model/shop", "exp/evaluation/shop"], ["models/shop"])
    first = received[1]
    assert first["job"]["namespace"] == "exp" and first["job"]["name"] == "training.get-data"
    assert first["run"]["facets"]["parent"]["run"]["runId"].replace("-", "") == PARENT
    assert first["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 9
    assert first["outputs"][0]["facets"]["schema"]["fields"] == [
        {"name": "x", "type": "number"}
    ]  # fmt: skip
    metrics = received[3]["inputs"][0]["inputFacets"]["dataQualityMetrics"]["columnMetrics"]
    assert metrics == {"x": {"distinctCount": 4, "min": 1.0, "max": 9.0}}
    versions = [event["outputs"][0]["facets"]["version"]["datasetVersion"] for event in received[1::2]]
    assert versions == ["f1", "r1", "r1", "3"]
    assert len({event["run"]["runId"] for event in received}) == 4
    assert received.headers["Authorization"] == f"Bearer {KEY}"
    assert "p4ssw0rd" not in json.dumps(received) and KEY not in json.dumps(received)


@pytest.mark.parametrize(
    ("error", "kind"), [(ValueError(f"no {KEY} at http://u:pw@host"), "FAIL"), (KeyboardInterrupt(), "ABORT")]
)
def test_a_step_that_fails_has_its_error(settings, received, error, kind):
    """The message is in the event, its secrets masked; the outputs are left out."""
    ran(settings(received.url), "02_train", error)
    event = checked(received[1])
    message = event.run.facets["errorMessage"].message
    assert event.eventType.value == kind and event.outputs == []
    assert message and KEY not in message and "pw" not in message


@pytest.mark.parametrize("status", [404, 500])
def test_a_receiver_that_refuses_costs_one_warning(settings, received, status, capsys):
    """The step ends with its outputs; the second step of the run warns no more."""
    received.status = status
    made = settings(received.url)
    (made.path(".mlops") / "runs" / PARENT).mkdir(parents=True)
    ran(made, "02_train")
    ran(made, "02_train")
    assert capsys.readouterr().out.count(f"OpenLineage events are missing at {received.url}") == 1


def test_the_key_does_not_follow_a_redirect(settings, received, capsys):
    """The receiver points at another server, which is never asked."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.2)
        received.status, received.location = 302, f"http://127.0.0.1:{other.getsockname()[1]}/"
        ran(settings(received.url), "02_train")
        with pytest.raises(TimeoutError):
            other.accept()
    assert "302" in capsys.readouterr().out


def test_a_receiver_that_does_not_answer_holds_no_step_up(settings, capsys, monkeypatch):
    """It takes connections and nothing more. The wait for it ends, here before the wait at the step's end."""
    monkeypatch.setattr(receiver, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(receiver, "FLUSH_S", 60.0)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        ran(settings(f"http://127.0.0.1:{deaf.getsockname()[1]}"), "02_train")
    assert "timed out" in capsys.readouterr().out


def test_a_receiver_at_a_closed_port_costs_a_warning(settings, capsys):
    """Nothing listens there."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ran(settings(f"http://127.0.0.1:{closed.getsockname()[1]}"), "02_train")
    assert "refused" in capsys.readouterr().out


def test_an_event_that_cannot_be_built_costs_a_warning(settings, received, capsys):
    """An output that a step should have had is missing: the step's own check reports that."""
    step = step_of("04_register")
    with reported(settings(received.url), step, step.given({})):
        pass
    assert [event["eventType"] for event in received] == ["START"]
    assert "KeyError: 'version'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"source": "/data/rows.csv"}, ("file", "/data/rows.csv")),
        ({"source": "file:///data/rows.csv"}, ("file", "/data/rows.csv")),
        ({"source": "s3a://bucket/a/b.parquet"}, ("s3://bucket", "a/b.parquet")),
        ({"source": "gs://my_bucket"}, ("gs://my_bucket", "/")),
        ({"source": "https://user@host:8443/a.csv"}, ("https://host:8443", "a.csv")),
        (
            {"loader": "sql", "source": "postgresql+psycopg://u@db/sales", "sql": {"table": "orders"}},
            ("postgres://db:5432", "sales.public.orders"),
        ),
        (
            {"loader": "sql", "source": "postgresql://u@db:5433/sales", "sql": {"table": "eu.orders"}},
            ("postgres://db:5433", "sales.eu.orders"),
        ),
        (
            {"loader": "sql", "source": "mysql://u@db/sales", "sql": {"query": "select 1"}},
            ("mysql://db:3306", "sales"),
        ),
        (
            {"loader": "sql", "source": "sqlite:////data/a.db", "sql": {"table": "orders"}},
            ("file", "/data/a.db#orders"),
        ),
        (
            {"loader": "feature_store", "feature_store": {"repo": "features", "service": "purchases"}},
            ("feast://features", "purchases"),
        ),
    ],
)
def test_sources_are_named_by_the_naming_rules(settings, data, expected):
    """https://openlineage.io/docs/spec/naming: so that the lineage of other systems joins this one's."""
    made = settings("http://127.0.0.1:1")
    overrides = {f"data.{key}": value for key, value in data.items() if not isinstance(value, dict)}
    overrides |= {
        f"data.{key}.{name}": text for key, value in data.items() if isinstance(value, dict)
        for name, text in value.items()
    }  # fmt: skip
    assert source_name(config.replaced(made, overrides)) == expected


@pytest.mark.slow
def test_a_step_in_a_kernel_is_reported_once(toy, received, monkeypatch):
    """START and COMPLETE, when the notebook runs; a cached step reports nothing."""
    monkeypatch.setenv("OPENLINEAGE_URL", received.url)
    toy_notebooks.replace(toy.root, "01_get_data", toy_notebooks.DATA)
    for name, value in StepCacheMode(lookup=True).to_env().items():
        monkeypatch.setenv(name, value)
    first = notebooks.run("01_get_data")
    assert [checked(event).eventType.value for event in received] == ["START", "COMPLETE"]
    assert notebooks.run("01_get_data").fingerprint == first.fingerprint
    assert len(received) == 2
