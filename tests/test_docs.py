"""README, CONTRIBUTING and docs/: every link, name, setting and command exists, and the code runs."""

import ast
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from mlops_lib import config, loaders, plugins
from mlops_lib.cli import app
from mlops_lib.evaluation import evaluate
from mlops_lib.settings import Section, Settings
from tests.support.pages import PAGES, ROOT, TARGETS, blocks, commands, inline

FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
PACKAGES = {"mlops_lib", "pipelines", "serving"}
#: Dotted names in the pages that are neither settings nor code.
OTHERS = {"train.x"}

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@every_page
def test_every_link_leads_somewhere(page):
    """Relative links name files of the repository, and headings that they have."""
    for target, anchor in re.findall(r"\]\(([^)#: ]*)(?:#([^)]*))?\)", page.read_text()):
        file = page.parent / target if target else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), f"{target}#{anchor}"


@every_page
def test_every_path_exists(page):
    """Inline code that begins with a folder of the repository is a path in it."""
    for name in inline(page):
        if re.fullmatch(r"[\w.-]+(/[\w.*-]*)+", name) and name.split("/")[0] in FOLDERS - {"data"}:
            assert list(ROOT.glob(name.rstrip("/"))), name


def test_the_structure_names_every_package():
    """docs/structure.md has each package of the library and of the service."""
    named = inline(ROOT / "docs" / "structure.md")
    found = [
        file.parent.name for top in ("mlops_lib", "serving") for file in ROOT.glob(f"{top}/*/__init__.py")
    ]
    assert found and not set(found) - set(named)


def is_setting(name: str) -> bool:
    """Whether `section.key` is a setting; below a setting that holds a dictionary, any name is."""
    model: Any = Settings
    for part in name.split("."):
        if not (isinstance(model, type) and issubclass(model, Section)):
            return "dict" in str(model)
        if part not in model.model_fields:
            return False
        model = model.model_fields[part].annotation
    return True


def is_code(name: str) -> bool:
    """Whether `package.module.Name` is a module, or something that a module defines."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:length])
        file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
        if file.is_file():
            rest = parts[length:]
            defined = (
                rf"^\s*(class|def|async def|from .* import .*) ?\b{rest[-1]}\b|\b{rest[-1]}\b.*="
                if rest
                else ""
            )
            return bool(re.search(defined, file.read_text(), re.MULTILINE))
    return False


@every_page
def test_every_setting_and_module_exists(page):
    """Inline code such as `serving.poll_s` or `mlops_lib.loaders.base` names a setting or code."""
    sections = set(Settings.model_fields) - {"root"}
    for name in inline(page):
        name = name.partition(":")[0]
        first = name.split(".")[0]
        if not re.fullmatch(r"\w+(\.\w+)+", name) or first not in sections | PACKAGES or name in OTHERS:
            continue
        if name.endswith((".py", ".yaml", ".json", ".csv", ".log")):
            continue
        assert is_setting(name) or is_code(name), name


@every_page
def test_every_yaml_block_is_a_configuration(page, tmp_path):
    """Blocks of YAML are settings that load beside a minimal config.yaml."""
    for block in blocks(page, "yaml"):
        content: dict[str, Any] = {
            "data": {"source": "rows.csv", "label": "y"},
            "evaluation": {"metric": "roc_auc", "threshold": 0.5},
        }
        for name, section in yaml.safe_load(block).items():
            content[name] = {**content.get(name, {}), **section}
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(content))
        config.load(file)


@every_page
def test_every_command_parses(page):
    """Commands, arguments and options of `mlops` and `make` are those there are."""
    group = typer.main.get_command(app.app)
    for call in commands(page, "mlops"):
        assert not call or call[0] in group.commands or call[0].startswith("-"), call
        command = group
        while call and hasattr(command, "commands") and call[0] in command.commands:
            command, call = command.commands[call[0]], call[1:]
        if call and "RUN" not in call:
            command.make_context("mlops", call, resilient_parsing=False)
    for call in commands(page, "make"):
        assert not call or call[0] in TARGETS, call


@every_page
def test_every_python_block_is_python(page):
    """Blocks of Python parse."""
    for block in blocks(page, "python"):
        ast.parse(block)


def program(page: str, name: str) -> str:
    """The block of Python that begins with the name of its file."""
    (found,) = [block for block in blocks(ROOT / "docs" / page, "python") if block.startswith(f"# {name}\n")]
    return found


def names_of(folder: Path, page: str, name: str) -> dict[str, Any]:
    """The global names of a page's program after it has run."""
    (folder / name).write_text(program(page, name))
    return runpy.run_path(str(folder / name))


def test_the_loader_of_the_data_page_loads(project):
    """The example loader, named in config.yaml as the page says, prepares a dataset."""
    (project.root / "invoices.py").write_text(program("data.md", "invoices.py"))
    section = next(b for b in blocks(ROOT / "docs" / "data.md", "yaml") if "InvoiceLoader" in b)
    content = yaml.safe_load(project.config_file.read_text())
    content["data"] = yaml.safe_load(section)["data"]
    project.config_file.write_text(yaml.safe_dump(content))
    settings = project.settings()
    assert loaders.from_settings(settings).write(loaders.prepared_folder(settings))["train"] == 3
    assert loaders.prepared(settings).schema.features.keys() == {"amount"}


@pytest.mark.slow
def test_the_program_of_the_training_page_runs(stored, monkeypatch, capsys):
    """Prepare, train, evaluate, predict and load, on the example's slice."""
    monkeypatch.setenv(config.CONFIG_ENV, str(stored.config_file))
    names = names_of(stored.root, "training.md", "train_once.py")
    assert "passed" in capsys.readouterr().out
    assert names["again"].run_id == names["result"].run_id


def test_the_metric_of_the_llm_page_scores(tmp_path):
    """The example metric is a function of a case."""
    from mlops_lib.evaluation.metrics import Case
    from mlops_lib.llm.generation import Generation

    names = names_of(tmp_path, "llm.md", "my_metrics.py")
    case = Case(Generation(input={"question": "Now?"}, output="Please wait."), "Please wait.")
    assert names["polite"](case) == 1.0


@pytest.mark.slow
def test_the_metric_of_the_evaluation_page_is_reported(project, monkeypatch):
    """The example metric stands in a report beside ROC AUC, as its setting says."""
    monkeypatch.delitem(sys.modules, "shop_metrics", raising=False)  # another test's
    (project.root / "shop_metrics.py").write_text(program("evaluation.md", "shop_metrics.py"))
    section = next(b for b in blocks(ROOT / "docs" / "evaluation.md", "yaml") if "shop_metrics" in b)
    settings = project.configure(**yaml.safe_load(section)).settings()
    report = evaluate("classification", [0, 1, 1], [0.2, 0.4, 0.9], split="test", settings=settings)
    assert report.metrics["shop_metrics:missed_buyers"].value == 0.5
    assert set(report.metrics) == {"roc_auc", "shop_metrics:missed_buyers"}


def rows(page: str, heading: str) -> list[list[str]]:
    """Cells of the first table below a heading, without its two header lines."""
    section = (ROOT / "docs" / page).read_text().partition(heading)[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_table_of_variables_is_complete():
    """Every variable that is read stands beside its setting, and no other."""
    documented = {
        re.findall(r"`(\w+)`", row[1])[0]: row[0].strip("`")
        for row in rows("configuration.md", "## Environment")
    }
    assert documented == {**config.ENVIRONMENT, config.CONFIG_ENV: ""}


def test_the_table_of_metrics_is_complete():
    """Every metric of the two tasks with numbers, with its direction, and every baseline."""
    table = {row[0].strip("`"): row[1:] for row in rows("evaluation.md", "# Evaluation")}
    for task in ("classification", "regression"):
        higher, _, lower = table[task][0].partition("lower is better:")
        named = dict.fromkeys(re.findall(r"`(\w+)`", higher), True)
        named |= dict.fromkeys(re.findall(r"`(\w+)`", lower), False)
        assert named == plugins.load("task", task)().metrics
        assert re.findall(r"`(\w+)`", table[task][1]) == plugins.names("baseline", task)


def test_the_pages_name_every_loader_wrapper_and_metric():
    """A plugin that no page names is not found by anybody."""
    text = "\n".join(page.read_text() for page in PAGES if page.parent.name == "docs")
    for kind in ("loader", "wrapper", "task", "metric", "features", "network"):
        missing = [name for name in plugins.names(kind) if not re.search(rf"`{name}`|: {name}\b", text)]
        assert not missing, f"{kind}: {missing}"


def test_the_page_on_serving_names_every_code_and_path():
    """Codes of problem objects that callers get, and paths of inference, stand in its tables."""
    from serving.protocols.inference import InferenceRoute
    from serving.web.routes import route_table

    text = (ROOT / "docs" / "serving.md").read_text()
    sources = "\n".join(file.read_text() for file in (ROOT / "serving").rglob("*.py"))
    codes = set(re.findall(r"Problem\(\s*HTTPStatus\.\w+,\s*\"(\w+)\"", sources)) - {"disconnected"}
    assert len(codes) > 20 and not [code for code in codes if f"`{code}`" not in text]
    paths = {route.path for route in route_table().routes if isinstance(route, InferenceRoute)}
    assert not [path for path in paths if not path.startswith("/v2/") and f"`{path}`" not in text]
