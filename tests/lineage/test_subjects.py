"""Which answers of the prediction log a request id has, and which version of today is their model."""

from datetime import UTC, datetime, timedelta

import pytest

from mlops_lib.errors import DataError, MlopsError
from mlops_lib.lineage.why.model import identify
from mlops_lib.lineage.why.prediction import Subject, logged, parsed
from mlops_lib.registry import MODEL_DIGEST_TAG, ModelVersion
from serving.operations.records import write_table

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
RECORD = {
    "time": int(NOW.timestamp() * 1e6), "request_id": "a", "key": None, "role": "champion", "model": "shop", "version": 3,
    "run_id": "r", "model_digest": "d", "latency_ms": 1.0, "request": '[{"user_id": 7}]', "features": None, "freshness": None,
    "predictions": "[0.5]", "finished": True, "error": None,
}  # fmt: skip


@pytest.fixture
def log(project):
    """Write records to the log of a project; returns its settings."""

    def write(*records):
        rows = [RECORD | record for record in records]
        write_table(project.root / "log" / "predictions-20261120T120001-1-a.parquet", rows)
        return project.configure(serving={"prediction_log": "log"}).settings()

    return write


def test_a_mirrored_answer_is_counted_and_not_explained(log):
    """The caller saw the champion's. A request id that only a challenger has is explained by it."""
    settings = log({}, {"role": "mirror", "version": 4}, {"request_id": "b", "role": "mirror"})
    ((link, subject),) = logged(settings, "a")
    assert (subject.version, link.facts["mirrored to"]) == (3, "1 other version")
    ((link, _),) = logged(settings, "b")
    assert link.facts["role"] == "mirror"


def test_two_callers_who_used_one_id_have_an_answer_each(log):
    """The names of their API keys tell them apart."""
    settings = log({"key": "ana"}, {"key": "ben", "version": 4})
    found = [(link.facts["api key"], subject.version) for link, subject in logged(settings, "a")]
    assert found == [("ana", 3), ("ben", 4)]


def test_a_secret_in_a_row_is_masked(log, monkeypatch):
    """Of a log that was written without it: the variable is not set in the service that wrote it."""
    settings = log({"request": '[{"text": "my-very-secret-key"}]', "predictions": '["my-very-secret-key"]'})
    monkeypatch.setenv("OPENAI_API_KEY", "my-very-secret-key")
    ((link, _),) = logged(settings, "a")
    assert "***" in link.facts["first row"] and "my-very-secret-key" not in str(link)


def test_a_request_that_is_not_in_the_log_is_an_error(log):
    with pytest.raises(DataError, match="has no request 'x'.*X-Request-Id.*mlops why NAME VERSION"):
        logged(log({}), "x")


def version(number: int, run_id: str = "r", digest: str = "d", days: int = -1) -> ModelVersion:
    """A version that was registered some days after the prediction."""
    created = (NOW + timedelta(days=days)).timestamp() * 1000
    return ModelVersion("shop", number, "None", run_id, {MODEL_DIGEST_TAG: digest}, (), int(created))


SUBJECT = Subject("shop", 3, run_id="r", digest="d", at=NOW)


@pytest.mark.parametrize(
    ("versions", "found", "problem", "altered"),
    [
        ([version(4), version(3)], 3, "", False),
        ([version(3, digest="x")], 3, "", False),  # the files decide which of the two is altered
        ([version(3, run_id="x")], 3, "", False),
        ([version(3, days=1)], 3, "", False),  # registered again from the same run
        ([], 0, "was deleted", False),
        ([version(3, "x", "x", days=1)], 0, "is another model", False),
        ([version(5, days=1), version(3, "x", "x", days=1)], 5, "The same model is version 5 now", False),
        ([version(3, "x", "x")], 0, "registered before the prediction", True),
    ],
)
def test_a_version_is_found_by_run_and_digest(versions, found, problem, altered):
    """Its number alone is not believed."""
    identified = identify(SUBJECT, versions)
    assert (identified.version.version if identified.version else 0) == found
    assert problem in identified.problem and bool(problem) == bool(identified.problem)
    assert identified.altered == altered


@pytest.mark.parametrize(("days", "found"), [(-1, True), (1, False)])
def test_without_run_and_digest_the_time_decides(days, found):
    """A log of an older service: a version that was registered after the prediction cannot have made it."""
    older = Subject("shop", 3, at=NOW)
    assert bool(identify(older, [version(3, days=days)]).version) == found


@pytest.mark.parametrize("address", ["models:/", "models:/name", "models:/@x"])
def test_an_address_without_a_version_is_an_error(address):
    with pytest.raises(MlopsError, match="names no version"):
        parsed(address)


def test_an_address_names_number_stage_or_alias():
    """What is no address is a request id."""
    assert parsed("4c1d9f2e") is None and parsed("shop", 3) == parsed("models:/shop/3") == Subject("shop", 3)
    assert parsed("models:/shop/Production") == Subject("shop", stage="Production")
    assert parsed("models:/shop@production") == Subject("shop", alias="production")
