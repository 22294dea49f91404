"""What a model does wrong, against the running service."""

from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("x", "status", "code"),
    [
        (666, 500, "model_failed"),
        (7, 500, "model_failed"),
        (404, 500, "non_finite_prediction"),
        (99, 500, "wrong_prediction_count"),
        (13, 504, "model_timeout"),
    ],
)
def test_a_model_that_misbehaves_hurts_its_caller_alone(naughty, x, status, code):
    """Raising, exiting, NaN, a prediction too few, hanging: a clear error for one; those beside it are answered."""
    with ThreadPoolExecutor(9) as pool:
        bad = pool.submit(naughty.post, "/predict", {"x": x})
        good = [pool.submit(naughty.post, "/predict", {"x": n + 0.5}) for n in range(6)]
        said, problem = bad.result()
        assert [(s, body.get("predictions")) for s, body in (g.result() for g in good)] == [
            (200, n + 0.5) for n in range(6)
        ]
    assert (said, problem["code"]) == (status, code), problem
    assert "secret-value" not in str(problem) and "Traceback" not in str(problem)
    assert naughty.get("/livez")[0] == naughty.get("/readyz")[0] == 200
