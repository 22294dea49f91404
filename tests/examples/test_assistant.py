"""The assistant example: an honest golden dataset, citations, its tool, and the whole pipeline without a key."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import mlflow
import pytest
import yaml

from mlops_lib import config, loaders, wrappers
from tests.support.projects import ROOT

EXAMPLE = ROOT / "examples" / "assistant"


@pytest.fixture
def assistant(tmp_path: Path, blank_store: Path) -> Path:
    """The example's config with a store, and a work folder, of its own."""
    import shutil

    content = yaml.safe_load((EXAMPLE / "config.yaml").read_text())
    shutil.copy(blank_store, tmp_path / "mlflow.db")
    content["mlflow"]["tracking_uri"] = f"sqlite:///{tmp_path}/mlflow.db"
    content["pipeline"] = {"notebooks": str(ROOT / "notebooks"), "work_dir": str(tmp_path / "work")}
    content["data"]["source"] = str(EXAMPLE / "golden.jsonl")
    content["model"]["implementation"] = str(EXAMPLE / "graph")
    content["model"]["params"]["files"]["docs"] = str(EXAMPLE / "handbook")
    (tmp_path / "assistant_metrics.py").write_text((EXAMPLE / "assistant_metrics.py").read_text())
    shutil.copy(EXAMPLE / "golden.jsonl", tmp_path)
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def test_every_reference_is_supported_by_the_documentation() -> None:
    """Questions in English and Korean, none twice; each supporting passage is a sentence of the handbook."""
    rows = [json.loads(line) for line in (EXAMPLE / "golden.jsonl").read_text().splitlines()]
    assert len({row["question"] for row in rows}) == len(rows)
    korean = [row for row in rows if re.search("[가-힣]", row["question"])]
    assert len(rows) - len(korean) >= 60 and len(korean) >= 40
    documents = "\n".join(file.read_text() for file in (EXAMPLE / "handbook").rglob("*.md"))
    for row in rows:
        assert row["reference"].strip() and all(passage in documents for passage in row["passages"]), row
    for some in (rows, korean):
        assert sum(not row["passages"] for row in some) >= 2, "some questions must have no answer"


@pytest.mark.slow
def test_answers_cite_passages_that_hold_them(assistant: Path) -> None:
    """Each answer is in the passage that it cites."""
    settings = config.load(assistant)
    model = wrappers.from_settings(settings)
    model.train(loaders.from_settings(settings), settings)
    rows = loaders.from_settings(settings).load("test")[["question"]]
    cited = 0
    for made in model.answers(rows, settings):
        assert made.error == ""
        if match := re.fullmatch(r"(.*) \[(\d+)\]", made.output):
            assert match[1] in " ".join(made.contexts[int(match[2]) - 1].split())
            cited += 1
    assert cited > 100


@pytest.mark.slow
def test_the_tool_asks_the_served_repurchase_model(assistant: Path) -> None:
    """A question with seven features becomes a request to /predict, and the answer quotes the score."""
    asked = []

    class Predict(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            model = {"name": "repurchase", "version": 3, "stage": "Production", "run_id": "r"}
            body = json.dumps({"predictions": 0.625, "model": model}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Predict)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/predict"
    question = (
        "Will a customer with frequency=3, recency_days=120, tenure_days=200, mean_amount=25.5, total_amount=102, "
        "quantity=7, days_since_last=80 buy again?"
    )
    answers = []
    for address in (url, "http://127.0.0.1:9/predict"):
        content = yaml.safe_load(assistant.read_text())
        content["model"]["params"]["config"]["repurchase_url"] = address
        assistant.write_text(yaml.safe_dump(content))
        settings = config.load(assistant)
        model = wrappers.from_settings(settings)
        model.train(loaders.from_settings(settings), settings)
        answers.append(model.predict(question))
    server.shutdown()
    assert "0.625 by repurchase version 3 at Production" in answers[0]
    assert "does not answer" in answers[1]
    assert asked[0]["inputs"]["mean_amount"] == 25.5 and asked[0]["inputs"]["frequency"] == 3


@pytest.mark.slow
@pytest.mark.usefixtures("forked_steps")
def test_the_four_notebooks_take_it_to_staging_without_a_key(assistant: Path) -> None:
    """get-data, train, evaluate and register run as for any model; 03_evaluate has the figures of the documentation."""
    from mlops_lib.steps.contracts import EvaluateOutputs, RegisterOutputs, TrainOutputs
    from mlops_lib.training import evidence
    from pipelines.local import run_local

    loaded = config.load_with_origins(assistant)
    result = run_local(loaded.settings, loaded.file, {})
    assert result.of(EvaluateOutputs).passed
    assert result.of(RegisterOutputs).stage == "Staging"
    kept = mlflow.artifacts.download_artifacts(
        run_id=result.parent_run_id, artifact_path="notebooks/03_evaluate.ipynb"
    )
    record = Path(kept).read_text()
    for shown in ("Scores, and the rows behind them", "The 10 worst rows", "tok:13a+ko-mecab", "language=ko"):
        assert shown in record
    run_id = result.of(TrainOutputs).run_id
    tags = evidence.run_tags(run_id)
    verdict = evidence.read(run_id, tags[evidence.EVIDENCE_TAG], tags[evidence.SHA256_TAG]).verdict
    found = {
        (one.slice, one.metric.rpartition(":")[2]): one.value
        for one in verdict.criteria if one.name in ("slice_threshold", "threshold")
    }  # fmt: skip
    documented = (ROOT / "docs/example.md").read_text()
    for name, rows in (("English", "language=en"), ("Korean", "language=ko")):
        (line,) = re.findall(rf"^\| {name} \| (.*) \|$", documented, re.MULTILINE)
        for metric, figure in zip(("rouge_l", "chrf", "support_found"), line.split(" | "), strict=True):
            assert found[rows, metric] == pytest.approx(float(figure), rel=0.005)
    assert f"| all | {found['', 'rouge_l']:.3f} |" in documented
