"""From labelled rows to a running service: the model version carries what it must look up."""

import threading
import urllib.request

import pandas as pd
import pytest
import uvicorn

from examples.repurchase import demo
from mlops_lib import loaders, registry, wrappers
from mlops_lib.errors import MlopsError
from mlops_lib.features.feast import FeastProvider
from mlops_lib.monitoring import skew
from serving.app import create_app
from tests.support import servers
from tests.support.feature_projects import NOW, write_config, write_repo
from tests.support.waiting import LIMIT_S, until

USERS = 60


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Settings and address of a service whose model was trained through the feature store and promoted."""
    folder = tmp_path_factory.mktemp("served")
    repo = write_repo(folder / "repo")
    users = range(1, USERS + 1)
    visits = pd.DataFrame({"user_id": users, "event_timestamp": NOW, "visits": [u % 7 for u in users]})
    visits.to_parquet(repo / "data/visits.parquet")
    profile = {"user_id": users, "event_timestamp": NOW, "age": [20 + u / 3 for u in users], "city": "x"}
    pd.DataFrame(profile).to_parquet(repo / "data/profile.parquet")
    labels = {"user_id": users, "event_timestamp": NOW, "bought": [u % 2 for u in users]}
    pd.DataFrame(labels).to_parquet(folder / "labels.parquet")
    provider = FeastProvider(repo)
    provider.apply()
    provider.materialize(NOW.replace(year=2000), NOW)
    settings = write_config(folder, "serving: {stage: Staging, features: {timeout_s: 20}}")
    loaders.from_settings(settings).write(folder / "data")
    dataset = loaders.prepared(settings, folder / "data")
    model = wrappers.from_settings(settings)
    result = model.train(dataset, settings)
    model.evaluate(dataset, settings)
    registry.register_run(settings, result.run_id)
    port = servers.free_port()
    server = uvicorn.Server(
        uvicorn.Config(create_app(settings), host="127.0.0.1", port=port, log_level="warning")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: urllib.request.urlopen(f"{url}/readyz", timeout=LIMIT_S), "the service is ready")
        yield settings, url, provider
    finally:
        server.should_exit = True
        thread.join(LIMIT_S)


@pytest.mark.slow
def test_the_version_carries_service_and_keys(served):
    """Serving reads them from the registry, not from a setting that may have changed since."""
    tags = registry.Registry(served[0]).resolve("small", stage="Staging").tags
    assert (tags["mlops.feature_service"], tags["mlops.entity_keys"]) == ("numbers", '["user_id"]')


@pytest.mark.slow
def test_a_key_alone_predicts_what_the_whole_row_does(served):
    """{"user_id": 5} is enough; the answer's header and field say where the features came from."""
    import httpx

    _, url, _ = served
    by_key = httpx.post(f"{url}/predict", json={"inputs": [{"user_id": 5}]}, timeout=LIMIT_S)
    whole = httpx.post(f"{url}/predict", json={"inputs": [{"visits": 5, "age": 20 + 5 / 3}]}, timeout=LIMIT_S)
    assert by_key.json()["predictions"] == whole.json()["predictions"]
    assert by_key.headers["X-Features-Status"] == "online=2"
    assert by_key.json()["features"] == {"counts": {"online": 2}, "troubled": []}
    assert whole.headers["X-Features-Status"] == "request=2"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "status", "said"),
    [
        ({"user_id": 999}, 422, "visits (unknown_entity)"),
        ({}, 422, "nor 'user_id'"),
        ({"user_id": "5"}, 422, "user_id"),
        ({"user_id": 2**70}, 422, "user_id"),
        ({"user_id": 5, "visits": "many"}, 422, "visits"),
        ({"user_id": 5, "other": 1}, 422, "other"),
    ],
)
def test_rows_that_cannot_be_served_are_explained(served, row, status, said):
    """A problem object that names the field; never a traceback, never a guess."""
    import httpx

    answer = httpx.post(f"{served[1]}/predict", json={"inputs": row}, timeout=LIMIT_S)
    assert answer.status_code == status and said in answer.json()["detail"]


@pytest.mark.slow
def test_the_demo_shows_a_refusal_in_the_words_of_the_service(served):
    """An answer that is no prediction ends the demo with what the service said, not with a traceback of urllib."""
    with pytest.raises(MlopsError, match=r"answered 422: No usable features for row 0 \(user_id=999\)"):
        demo.post(f"{served[1]}/predict", {"inputs": {"user_id": 999}})


@pytest.mark.slow
@pytest.mark.parametrize("route", ["/predict", "/invocations", "/features"])
def test_a_rejected_request_says_why_in_the_header_too(served, route):
    """A caller that only looks at X-Features-Status sees what an answered one would show, and the reason."""
    import httpx

    rows = [{"user_id": 5}, {"user_id": 999}]
    body = {"dataframe_records": rows} if route == "/invocations" else {"inputs": rows}
    answer = httpx.post(f"{served[1]}{route}", json=body, timeout=LIMIT_S)
    assert (answer.status_code, answer.json()["code"]) == (422, "features_rejected")
    assert answer.headers["X-Features-Status"] == "online=2, reject:unknown_entity=2"


@pytest.mark.slow
def test_there_is_no_skew_and_when_there_is_it_is_found(served):
    """Training rows through the running service are equal; one value changed in the online store is found."""
    settings, url, provider = served
    data = loaders.from_settings(settings)
    assert [(item.feature, item.different) for item in skew.check(url, data)] == [("visits", 0), ("age", 0)]
    user = int(data.load("train")["user_id"].iloc[0])
    changed = pd.DataFrame({"user_id": [user], "event_timestamp": [NOW], "visits": [1000]})
    provider.store.write_to_online_store("visits", changed)
    visits, age = skew.check(url, data)
    assert (visits.different, age.different) == (1, 0)
    assert visits.examples[0].startswith(f"{user}: ") and visits.largest_difference > 900
    with pytest.raises(MlopsError, match="No service answers"):
        skew.check("http://127.0.0.1:9", data, limit=1)


@pytest.mark.slow
def test_values_are_counted_by_where_they_came_from(served):
    """The counter that /metrics shows grows by the values of a request."""
    import httpx
    import prometheus_client

    def online():
        return (
            prometheus_client.REGISTRY.get_sample_value("mlops_features_total", {"status": "online"}) or 0.0
        )

    before = online()
    httpx.post(f"{served[1]}/predict", json={"inputs": [{"user_id": 5}, {"user_id": 6}]}, timeout=LIMIT_S)
    assert online() == before + 4
