"""A real service with a champion, a challenger and feedback, compared from its prediction log."""

import random

import pytest

from mlops_lib.comparison.in_service import compare_in_service
from mlops_lib.registry import Registry
from tests.support.shop import ROW, copy, running


@pytest.mark.slow
def test_a_real_service_with_a_real_classifier(shop, tmp_path):
    """Two networks behind the service in its own processes; the classes come from the registry."""
    log = tmp_path / "log"
    settings = copy(shop, tmp_path / "project", prediction_log=str(log))
    Registry(settings)._client.set_registered_model_alias("shop", "challenger", "2")
    draw = random.Random(0)
    with running(settings) as service:
        service.until(lambda: "challenger" in service.get("/status")[1])
        for user in range(30):
            row = {**ROW, "user_id": user, "recency": draw.uniform(0, 10)}
            request = service.post("/predict", {"inputs": [row, row]})[1]["request_id"]
            body = {"request_id": request, "outcome": int(row["recency"] > 5) if user else "maybe"}
            service.until(lambda body=body: service.post("/feedback", body)[0] == 202)
    found = compare_in_service(settings, log)
    assert (found.rows, found.entities) == (58, 29), "both rows of a user are of one entity"
    assert found.left_out == {"rows whose outcome is none of the classes 0, 1": 2}
    assert found.against[0].outcome in ("better", "not_worse", "worse", "undecided")
    assert found.against[0].comparisons[0].entities == 29
