"""Fixtures: the vendor server, a project folder with an embedded MLflow store, and small golden datasets."""

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.projects import ROOT

#: The API key of these tests, which no file may contain.
KEY = "sk-test-5f1c0ffee-do-not-log"


class Vendor:
    """A client of the vendor server."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def control(self, **behaviour: Any) -> None:
        """Set the behaviour, with defaults for all that is not given, and reset the counters."""
        defaults = {
            "delay_s": 0.0,
            "chunks": 4,
            "chunk_s": 0.0,
            "faults": [],
            "verdict": 1,
            "finish": "",
            "calls": [],
            "verdicts": [],
        }
        body = json.dumps(defaults | behaviour).encode()
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/_control", body)).close()

    @property
    def stats(self) -> dict[str, Any]:
        """Counters since the last `control`."""
        with urllib.request.urlopen(f"{self.url}/_stats") as response:
            return json.load(response)


@pytest.fixture(scope="session")
def vendor_process() -> Iterator[Vendor]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.vendor_server"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    yield Vendor(int(process.stdout.readline()))
    process.terminate()
    process.wait()


@pytest.fixture
def vendor(vendor_process: Vendor, monkeypatch: pytest.MonkeyPatch) -> Vendor:
    """The server, and an environment in which both vendors' clients call it."""
    vendor_process.control()
    monkeypatch.setenv("OPENAI_BASE_URL", f"{vendor_process.url}/v1")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", vendor_process.url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    return vendor_process


@pytest.fixture
def llm_project(tmp_path: Path, blank_store: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Make a project folder with a golden dataset and an LLM model of one prompt; return its config file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / ".mlops").mkdir()
    shutil.copy(blank_store, tmp_path / ".mlops" / "mlflow.db")

    def make(rows: int = 20, wrapper: str = "llm", **sections: dict[str, Any]) -> Path:
        for split, count in (("train", 1), ("validation", 1), ("test", rows)):
            lines = [
                json.dumps(
                    {
                        "id": f"{split}{i}",
                        "question": f"Question {i}?",
                        "reference": f"Answer to: Question {i}?",
                    }
                )
                for i in range(count)
            ]
            folder = tmp_path / "golden"
            folder.mkdir(exist_ok=True)
            (folder / f"{split}.jsonl").write_text("\n".join(lines))
        (tmp_path / "prompts.yaml").write_text("user: '{{question}}'\n")
        content: dict[str, Any] = {
            "mlflow": {"experiment": "test"},
            "data": {"source": "golden", "key": "id", "label": "reference", "features": ["question"]},
            "model": {
                "name": "toy",
                "wrapper": wrapper,
                "implementation": "openai:gpt-test",
                "params": {"prompts": "prompts.yaml", "temperature": 0},
            },
            "evaluation": {
                "task": "text",
                "metrics": ["exact_match"],
                "metric": "exact_match",
                "threshold": 0.5,
            },
            "llm": {"timeout_s": 60.0, "tracing": False},
        }
        for name, values in sections.items():
            content[name] = content.get(name, {}) | values
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(content))
        return file

    return make


def files_with(folder: Path, text: str) -> list[Path]:
    """Files below `folder` that hold `text`."""
    found = (p for p in folder.rglob("*") if p.is_file())
    return [p for p in found if text.encode() in p.read_bytes()]
