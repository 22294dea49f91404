"""Compare the time of an LLM evaluation with the ideal, on a server that answers after 300 ms.

The ideal is rows / concurrency x 300 ms. Prints the ratio for an LLM client and for a graph, each over 200
golden rows: `python -m benchmarks.llm_evaluation`.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import yaml

from benchmarks.llm.models import GRAPH

ROWS, CONCURRENCY, DELAY_S = 200, 8, 0.3
ROOT = Path(__file__).parents[1]


def main() -> None:
    """Start the server, evaluate with each wrapper, and print the ratios."""
    command = [sys.executable, "-m", "tests.support.vendor_server"]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    url = f"http://127.0.0.1:{int(server.stdout.readline())}"
    os.environ |= {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "none"}
    body = json.dumps({"delay_s": DELAY_S}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{url}/_control", body)).close()
    ideal_s = math.ceil(ROWS / CONCURRENCY) * DELAY_S
    try:
        for wrapper in ("llm", "langgraph"):
            with tempfile.TemporaryDirectory() as folder:
                took_s, coverage = evaluate(Path(folder), wrapper)
            print(
                f"{wrapper:<10} {took_s / ideal_s:.2f} times the ideal {ideal_s:.1f} s, coverage {coverage:.0%}"
            )
    finally:
        server.terminate()


def evaluate(folder: Path, wrapper: str) -> tuple[float, float]:
    """Return the seconds for 200 rows and the share of rows with an answer."""
    from mlops_lib import config, loaders, wrappers

    rows = [{"question": f"Question {i}?", "reference": "x"} for i in range(ROWS)]
    (folder / "golden.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "prompts.yaml").write_text("user: '{{question}}'")
    (folder / "graph").mkdir()
    (folder / "graph/langgraph.py").write_text(GRAPH)
    (folder / "graph/prompts.yaml").write_text("{}")
    (folder / "graph/config.json").write_text('{"model": "openai:gpt-test"}')
    chosen = {"llm": ("openai:gpt-test", {"prompts": "prompts.yaml"}), "langgraph": ("graph", {})}[wrapper]
    content = {
        "data": {"source": "golden.jsonl", "label": "reference", "features": ["question"]},
        "model": {"wrapper": wrapper, "implementation": chosen[0], "params": chosen[1]},
        "evaluation": {
            "task": "text", "metric": "exact_match", "threshold": 0.0, "concurrency": CONCURRENCY
        },
        "llm": {"tracing": True},
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    settings = config.load(folder / "config.yaml")
    model = wrappers.from_settings(settings)
    data = loaders.from_settings(settings)
    model.train(data, settings)
    import mlflow
    import pandas as pd

    model.predict("warm up")
    questions = pd.DataFrame(rows)[["question"]]
    began = time.monotonic()
    made = model.answers(questions, settings)
    took_s = time.monotonic() - began
    mlflow.flush_trace_async_logging()
    return took_s, sum(not generation.error for generation in made) / ROWS


if __name__ == "__main__":
    main()
