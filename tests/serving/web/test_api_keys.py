"""Keys, against the running service."""

import pytest

from serving.web.api_keys import make
from tests.support.shop import ROW, copy, running

pytestmark = pytest.mark.slow


def test_keys_open_what_they_should_and_rotate_without_a_restart(shop, tmp_path):
    """401 without one, 403 for admin routes with a caller's, 429 too fast; a changed file counts within seconds."""
    file = tmp_path / "keys.yaml"
    (ops, ops_line), (caller, caller_line), (slow, slow_line) = (
        make("ops", True),
        make("shop", False),
        make("slow", False),
    )
    file.write_text("\n".join([ops_line, caller_line, slow_line.replace("}", ", rate_per_s: 0.001}")]))
    settings = copy(shop, tmp_path / "project", api_keys=str(file))

    def bearer(key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {key}"}

    with running(settings) as service:
        assert service.post("/predict", ROW)[0] == service.get("/status")[0] == 401
        assert service.post("/predict", ROW, **bearer("guess"))[0] == 401
        assert service.post("/predict", ROW, **bearer(caller))[0] == 200
        assert service.post("/predict", ROW, **{"X-API-Key": caller})[0] == 200
        assert service.post("/model/reload", {}, **bearer(caller))[0] == 403
        assert service.post("/model/reload", {}, **bearer(ops))[0] == 200
        assert service.get("/readyz")[0] == service.get("/metrics")[0] == service.get("/")[0] == 200
        asked = [service.post("/predict", ROW, **bearer(slow))[0] for _ in range(6)]
        assert 200 in asked and 429 in asked and set(asked) == {200, 429}
        renewed, renewed_line = make("shop", False)
        file.write_text(f"{ops_line}\n{renewed_line}")
        service.until(lambda: service.post("/predict", ROW, **bearer(renewed))[0] == 200)
        assert service.post("/predict", ROW, **bearer(caller))[0] == 401
        file.write_text("- {name: [")

        def slip_is_seen() -> bool:
            assert service.post("/predict", ROW, **bearer(renewed))[0] == 200, "a slip locked everybody out"
            return "cannot be read" in service.log.read_text()

        service.until(slip_is_seen)
        log = service.log.read_text()
        assert not any(key in log for key in (ops, caller, slow, renewed))


@pytest.mark.parametrize("with_keys", [False, True], ids=["no keys", "keys"])
def test_keys_hold_under_a_root_path(shop, tmp_path, with_keys):
    """Behind `--root-path /api` admin routes are an admin's, probes everybody's, and predictions are at /predict."""
    file = tmp_path / "keys.yaml"
    (ops, ops_line), (caller, caller_line) = make("ops", True), make("shop", False)
    file.write_text(f"{ops_line}\n{caller_line}")
    settings = copy(shop, tmp_path / "project", **({"api_keys": str(file)} if with_keys else {}))
    with running(settings, "--root-path", "/api") as service:  # ready: the probe asks for no key
        assert service.post("/model/reload", {})[0] == (401 if with_keys else 403)
        assert service.post("/model/reload", {}, **{"X-API-Key": caller})[0] == 403
        assert service.post("/model/reload", {}, **{"X-API-Key": ops})[0] == (200 if with_keys else 403)
        assert service.post("/predict", ROW, **{"X-API-Key": caller})[0] == 200
        assert service.post("/predict", ROW)[0] == (401 if with_keys else 200)
