"""Generated requests over the whole OpenAPI document, of a service whose every route is open to the generator."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from serving.web.api_keys import make
from tests.support.shop import copy, running

pytestmark = pytest.mark.slow


def test_schemathesis_finds_no_server_error(shop, tmp_path):
    """With an admin's key and a prediction log, so that bodies reach the routes behind them: no 5xx."""
    file, (key, line) = tmp_path / "keys.yaml", make("ops", admin=True)
    file.write_text(line)
    settings = copy(
        shop, tmp_path / "project", poll_s=60.0, prediction_log=str(tmp_path / "log"), api_keys=str(file)
    )
    with running(settings) as service:
        document = service.get("/openapi.json")[1]
        assert "example" not in str(document), "a logged row, shown without a key"
        assert set(document["components"]["securitySchemes"]) == {"bearer", "header"}
        for path in (
            "/predict",
            "/status",
            "/feedback",
            "/model/reload",
            "/v1/models",
            "/v2/models/{name}/infer",
        ):
            (operation,) = document["paths"][path].values()
            assert operation["security"] == [{"bearer": []}, {"header": []}], path
        assert not any(
            "security" in document["paths"][path]["get"] for path in ("/livez", "/readyz", "/metrics")
        )
        command = [
            str(Path(sys.executable).parent / "schemathesis"), "run", f"{service.url}/openapi.json",
            "--header", f"Authorization: Bearer {key}", "--checks", "not_a_server_error", "--max-examples", "15",
            "--phases", "examples,coverage,fuzzing", "--generation-deterministic", "--request-timeout", "300",
        ]  # fmt: skip
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=3600, check=False
        )
        assert done.returncode == 0, done.stdout[-4000:]
        assert re.search(r"(\d+) generated", done.stdout) or "passed" in done.stdout, done.stdout[-2000:]
        assert service.get("/readyz")[0] == 200 and "Traceback" not in service.log.read_text()
        metrics = service.get("/metrics")[1].decode()
        # Generated bodies that were taken; those of feedback name requests that nobody made.
        for route, status in (("/feedback", "404"), ("/predict", "20")):
            taken = f'mlops_serving_requests_total{{route="{route}",status="{status}'
            assert taken in metrics, route
        assert 'route="/v2/models/{name}/infer",status="422"' in metrics, "no body has reached its reader"
