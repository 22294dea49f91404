"""The documentation's graph of one's own: trained, evaluated, registered and served, without a key."""

import re
from pathlib import Path

import mlflow
import pytest
import yaml

from mlops_lib import config, wrappers
from mlops_lib.registry import Registry
from tests.support.projects import ROOT, Project
from tests.support.promoting import promote
from tests.support.shop import running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project of the documentation after `mlops run`; returns its config file."""
    folder = tmp_path_factory.mktemp("shop")
    page = (ROOT / "docs/llm.md").read_text()
    code, settings, row = (
        re.search(rf"```{kind}\n(.*?)```", page[page.index("## Bring your own graph") :], re.DOTALL)[1]  # type: ignore[index]
        for kind in ("python", "yaml", "json")
    )
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    (folder / "my_agent.py").write_text(code)
    lines = [
        row.replace("tea", item).replace("3", price)
        for item, price in (("tea", "3"), ("coffee", "4"), ("juice", "5"))
    ]
    (folder / "golden.jsonl").write_text("".join(lines * 4))
    content = yaml.safe_load(settings) | {"pipeline": {"notebooks": str(ROOT / "notebooks")}}
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    done = Project(folder).mlops("run", warm=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "config.yaml"


def test_the_graph_is_registered_with_its_scores(shop: Path) -> None:
    """Every question reached the tool, and the calls are in the record of the run."""
    settings = config.load(shop)
    (version,) = Registry(settings).versions("shop")
    metrics = mlflow.get_run(version.run_id).data.metrics
    assert metrics["test.rouge_l"] == 1.0
    # Two calls a row; rows with the same question share them if one is answered before the other begins.
    assert metrics["test.llm.calls"] + metrics["test.llm.calls_reused"] == 24
    model = wrappers.load(f"models:/shop/{version.version}")
    assert model.predict("What is the price of item=coffee?") == "coffee costs 4 dollars"


def test_the_graph_is_served(shop: Path, tmp_path: Path) -> None:
    """The service answers rows and chats, in the process of the version, which has the graph's code alone."""
    settings = config.load(shop)
    promote(settings, "shop", 1)
    hidden = shop.with_name("my_agent.py").rename(tmp_path / "hidden.py")
    try:
        with running(settings) as service:
            question = "What is the price of item=juice?"
            answer = "juice costs 5 dollars"
            assert service.post("/invoke", {"inputs": {"question": question}})[1]["predictions"] == answer
            chat = {"model": "shop", "messages": [{"role": "user", "content": question}]}
            found = service.post("/v1/chat/completions", chat)[1]
            assert found["choices"][0]["message"]["content"] == answer
    finally:
        hidden.rename(shop.with_name("my_agent.py"))
