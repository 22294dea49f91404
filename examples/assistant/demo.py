"""`make demo-llm`: graph, prompts and golden dataset -> four notebooks -> Production
-> one question over HTTP."""

import json
import time
from pathlib import Path

from rich.console import Console

from examples.repurchase.demo import Service, post
from mlops_lib import config
from mlops_lib.cli import app
from mlops_lib.cli.display import PipelineDisplay, show_result
from mlops_lib.errors import MlopsError
from mlops_lib.promotion import promote
from mlops_lib.steps.contracts import RegisterOutputs

CONFIG = Path(__file__).with_name("config.yaml")
QUESTION = "How do I give Production back to the version that held it before?"
SHOWN = "examples/assistant/config.yaml"
console = Console()


def main() -> None:
    """Run the pipeline on the assistant and promote the new version, and ask the service one question;
    needs no key."""
    from pipelines.local import run_local

    began = time.monotonic()
    loaded = config.load_with_origins(CONFIG)
    assert loaded.file is not None  # it was given
    console.rule("[bold]1  Pipeline: get-data, train-model, evaluate-model, register-model", align="left")
    with PipelineDisplay(Console(stderr=True)) as display:
        result = run_local(loaded.settings, loaded.file, {}, display.update)
    if not show_result(loaded.settings, result):
        raise MlopsError("The gate refused the assistant, so there is nothing to serve.")
    console.rule("[bold]2  Promotion", align="left")
    made = result.of(RegisterOutputs)
    assert made is not None  # show_result said so
    version = promote(
        loaded.settings, made.model_name, made.version, say=lambda text: console.print(text, style="dim")
    ).version
    console.print(f"{version.name} version {version.version} is at {version.stage}")
    console.rule("[bold]3  Service", align="left")
    with Service(loaded.file) as service:
        url = service.start()
        console.print(f"listening at {url}")
        answer = post(f"{url}/invoke", {"inputs": {"question": QUESTION}})
    console.print_json(json.dumps({"question": QUESTION, "answer": answer}))
    console.rule("[bold]Next", align="left")
    for command, what in (
        (f".venv/bin/mlops serve -c {SHOWN}", "the service, on port 8081"),
        (f".venv/bin/mlops evaluate -c {SHOWN}", "evaluate it again: costs no calls"),
        ("OPENAI_API_KEY=...", "with model.params.config.model: openai:gpt-4o-mini in its config.yaml"),
        ("docs/llm.md", "LLM models: packaging, evaluation, serving"),
    ):
        console.print(f"{command:<60} [dim]{what}[/]", soft_wrap=True, highlight=False)
    console.print(f"[dim]done in {time.monotonic() - began:.0f} s[/]")


if __name__ == "__main__":
    app.guarded(main)
