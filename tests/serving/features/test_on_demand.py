"""On-demand features in the service: computed for rows that lack them, as training computed them."""

import asyncio
import shutil

import pandas as pd
import pytest

from mlops_lib.errors import ModelError
from mlops_lib.registry import ModelVersion
from mlops_lib.settings import EnrichmentSettings
from serving.features.enrichment import Enricher
from serving.inference.schema import RequestSchema
from serving.web.problems import Problem
from tests.support import feature_zoo
from tests.support.feature_projects import NOW, write_config

COLUMNS = ("whole", "total", "spoken")
ROW = {"user_id": 1, "shop_code": "7", "price": 2.5, "pieces": 3, "when": NOW}


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    """The repository with every kind of view, registered and materialised."""
    return feature_zoo.fill(tmp_path_factory.mktemp("zoo") / "repo")


def enricher(provider, columns=COLUMNS, service="computed", **settings):
    named = EnrichmentSettings(**{"timeout_s": 20, **settings})
    return Enricher(provider, provider.describe(service), columns, named)


def enrich(made, *rows):
    return asyncio.run(made.enrich(list(rows)))


@pytest.mark.slow
def test_keys_and_request_data_are_enough(provider):
    """The row gets the values of training, in the model's order; the answer says which were computed."""
    rows, statuses = enrich(enricher(provider), ROW, {**ROW, "user_id": 2})
    asked = pd.DataFrame([ROW, {**ROW, "user_id": 2}]).assign(event_timestamp=NOW)
    trained = provider.historical(provider.describe("computed"), asked, "event_timestamp")
    assert [list(row.items()) for row in rows] == [
        [(name, trained[name].iloc[i]) for name in COLUMNS] for i in range(2)
    ]
    assert statuses.counts["computed"] == 4


def test_a_given_on_demand_feature_needs_no_request_data(provider):
    """A value in the request wins, and then nothing is needed to compute it from."""
    given = {"user_id": 1, "shop_code": "7", "total": 9.0, "spoken": "x"}
    rows, statuses = enrich(enricher(provider), given)
    assert rows == [{"whole": 10, "total": 9.0, "spoken": "x"}]
    assert statuses.counts == {"online": 1, "request": 2}


def test_a_given_input_wins_over_the_store(provider):
    """`plus` is computed from the request's `whole`, not from the stored one."""
    made = enricher(provider, ("whole", "plus"))
    assert enrich(made, {**ROW, "whole": 100}).rows == [{"whole": 100, "plus": 103}]
    assert enrich(made, ROW).rows == [{"whole": 10, "plus": 13}]


def test_missing_request_data_are_named(provider):
    """422 with the row, the columns and the feature."""
    lacking = {name: value for name, value in ROW.items() if name not in ("price", "when")}
    with pytest.raises(
        Problem, match=r"Row 1 has no 'price', 'when' to compute 'total' from\. Send them"
    ) as caught:
        enrich(enricher(provider), ROW, lacking)
    assert (caught.value.status, caught.value.code) == (422, "invalid_input")


def test_a_missing_key_is_named_where_only_on_demand_features_are_used(provider):
    """Their inputs are looked up by it."""
    with pytest.raises(Problem, match=r"has no .*'gaps__share'.*, nor 'user_id' to look them up by"):
        enrich(enricher(provider, ("total",), "only_computed"), {"price": 1.0, "pieces": 1, "when": NOW})


def test_the_policy_of_an_input_is_that_of_any_stored_value(provider):
    """User 6 is unknown: rejected, or computed from the defaults of the inputs."""
    unknown = {**ROW, "user_id": 6}
    with pytest.raises(Problem, match=r"user_id=6.*gaps__share \(unknown_entity\)"):
        enrich(enricher(provider, ("total",), "only_computed"), unknown)
    inputs = [n for n in provider.describe("only_computed").inputs if n != "gaps__share"]
    defaults = {"gaps__share": 0.5, **dict.fromkeys(inputs)}
    made = enricher(provider, ("total",), "only_computed", on_trouble="default", defaults=defaults)
    assert enrich(made, unknown).rows == [{"total": 2.5 * 2 * 3 + 0.5 * 3}]


def test_a_function_that_fails_is_the_fault_of_its_own_request(provider):
    """Others that share the call are answered; the answer names view, cause and values."""
    made = enricher(provider, ("inverse",), "failing")

    async def at_once():
        calls = (made.enrich([{**ROW, "pieces": pieces}]) for pieces in (4, 0, 5))
        return await asyncio.gather(*calls, return_exceptions=True)

    good, bad, other = asyncio.run(at_once())
    assert [good.rows, other.rows] == [[{"inverse": 0.25}], [{"inverse": 0.2}]]
    assert bad.status == 422 and "'may_fail' failed" in bad.detail and "ZeroDivisionError" in bad.detail


def test_a_function_that_changed_since_training_is_refused(provider, tmp_path):
    """It may compute other values than the model learned from."""
    tags = {"mlops.feature_service": "computed", "mlops.entity_keys": '["user_id","shop_code"]'}
    digest = provider.describe("computed").on_demand["total"].code
    tags["mlops.on_demand_features"] = f'["total={digest}"]'
    shutil.copytree(provider.repo, tmp_path / "repo")
    settings = write_config(tmp_path)
    assert Enricher.for_version(ModelVersion("small", 1, "", "run", tags), COLUMNS, settings)
    tags["mlops.on_demand_features"] = '["total=other"]'
    with pytest.raises(ModelError, match=r"small version 1 was trained with another function of total"):
        Enricher.for_version(ModelVersion("small", 1, "", "run", tags), COLUMNS, settings)


def test_the_schema_takes_request_data_and_does_not_choose_the_canary_by_it(provider):
    """The request's columns are fields of a row, of the store's types, and no part of the entity."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    service = provider.describe("computed").only(COLUMNS)
    inputs = Schema([ColSpec("long", "whole"), ColSpec("double", "total"), ColSpec("string", "spoken")])
    schema = RequestSchema(ModelSignature(inputs), COLUMNS, service.key_dtypes, beside=service.request_dtypes)
    row = b'{"user_id": 1, "shop_code": "7", "price": 2, "pieces": 3, "when": "2026-11-01T00:00:00Z"}'
    rows = schema.parse(row)
    assert rows.given()[0].keys() == ROW.keys() and rows.entity() == (1, "7")
    with pytest.raises(Problem, match="pieces"):
        schema.parse(row.replace(b'"pieces": 3', b'"pieces": "3"'))
