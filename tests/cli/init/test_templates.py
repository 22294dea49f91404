"""`mlops init --template`: each runs without a key, and a real model needs a key and one line."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from mlops_lib import config, loaders, wrappers
from mlops_lib.cli import app
from mlops_lib.cli.init.from_template import FOLDER, PLACEHOLDER, names, template
from mlops_lib.errors import MlopsError, ModelError
from mlops_lib.settings import Settings
from mlops_lib.wrappers.interface import ModelWrapper
from tests.support.llm_fixtures import Vendor
from tests.support.projects import ROOT, Project
from tests.support.shop import started

QUESTIONS = {
    "prompt": ("국내 배송비가 얼마인가요?", "30,000원부터 무료입니다. [6]"),
    "rag": ("유급 연차는 1년에 며칠인가요?", "연차 20일을 받습니다. [leave.ko.md]"),
    "agent": ("주문 MB-2001은 언제 도착하나요?", "11월 27일에 도착합니다."),
}


def model_of(folder: Path, blank_store: Path) -> tuple[ModelWrapper, Settings]:
    """The trained model of a project."""
    (folder / ".mlops").mkdir(exist_ok=True)
    shutil.copy(blank_store, folder / ".mlops/mlflow.db")
    settings = config.load(folder / "config.yaml")
    model = wrappers.from_settings(settings)
    model.train(loaders.from_settings(settings), settings)
    return model, settings


def test_help_and_documentation_know_every_template() -> None:
    assert names() == sorted(QUESTIONS)
    help_text = CliRunner().invoke(app.app, ["init", "--help"], env={"COLUMNS": "200"}).output
    assert "mlops init answers --template rag" in help_text
    for text in (help_text, (ROOT / "docs/init.md").read_text()):
        assert all(name in text for name in names())


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_a_template_answers_its_questions_in_both_languages(init, tmp_path, blank_store, name):
    """A folder with a space and Korean letters; no row fails, and each language passes the threshold of its slice."""
    folder = tmp_path / "내 봇"
    status, printed = init("--template", name, folder=folder.name)
    assert status == 0 and "12 questions" in printed and "cd '내 봇' && mlops run" in printed
    assert "mlops promote '내 봇' 1" in printed and "OPENAI_API_KEY" in printed
    assert not [
        file for file in folder.rglob("*") if file.is_file() and PLACEHOLDER.encode() in file.read_bytes()
    ]
    model, settings = model_of(folder, blank_store)
    assert (settings.model.name, settings.mlflow.experiment) == ("내 봇", "내 봇")
    data = loaders.from_settings(settings)
    rows = data.load("test")
    assert len(rows) == 12
    report = model.evaluate(data, settings)
    assert report.verdict.passed, report.verdict
    shown = {one.slice: one.value for one in report.verdict.criteria if one.name == "slice_threshold"}
    assert set(shown) == {"language=en", "language=ko"} and min(shown.values()) > 0.6
    assert report.metrics["rouge_l"].value < 1, "references are written by people"
    if name == "agent":
        ends = report.per_row["conversation_end"].dropna()
        assert sorted(ends) == ["goal_reached", "script_ended"]
    question, answer = QUESTIONS[name]
    assert model.predict(question).endswith(answer)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_a_real_model_needs_a_key_and_one_line(init, tmp_path, blank_store, vendor: Vendor, name):
    """The line of the closing words, against a server that speaks OpenAI's protocol."""
    _, printed = init("--template", name, folder="mine")
    (line,) = re.findall(r"and (\w+: openai:\S+) in\s+config.yaml", printed)
    file = tmp_path / "mine/config.yaml"
    setting = line.partition(":")[0]
    text, count = re.subn(
        rf"(?m)^( +){setting}: fake:extract", rf"\1{line}", file.read_text(encoding="utf-8")
    )
    assert count == 1
    file.write_text(text, encoding="utf-8")
    model, _ = model_of(file.parent, blank_store)
    assert model.predict("배송비는?").startswith("Answer to: ")
    assert vendor.stats["calls"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["prompt", "rag"])
def test_a_real_model_without_a_key_names_the_variable(init, tmp_path, blank_store, monkeypatch, name):
    """Nothing is sent, also from a graph."""
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    init("--template", name)
    file = tmp_path / "mine/config.yaml"
    file.write_text(
        file.read_text(encoding="utf-8").replace(": fake:extract", ": openai:gpt-4o-mini"), encoding="utf-8"
    )
    model, _ = model_of(file.parent, blank_store)
    with pytest.raises(ModelError, match="No key for openai:gpt-4o-mini. Set OPENAI_API_KEY"):
        model.predict("배송비는?")


@pytest.mark.slow
def test_the_rag_template_reads_documents_of_every_form(init, tmp_path, blank_store):
    """A file without a heading, text before the first heading, a Korean name; no Markdown at all is an error."""
    init("--template", "rag")
    folder = tmp_path / "mine"
    for file in (folder / "docs").iterdir():
        file.unlink()
    with pytest.raises(MlopsError, match="has no Markdown file with text"):
        model_of(folder, blank_store)
    (folder / "docs/시설.md").write_text(
        "열람실은 오전 7시부터 엽니다. 스터디룸은 4명부터 씁니다.\n", encoding="utf-8"
    )
    (folder / "docs/대출.md").write_text(
        "책은 7권까지 빌립니다.\n\n### 연체\n연체료는 500원입니다.\n", encoding="utf-8"
    )
    model, _ = model_of(folder, blank_store)
    for question, answer in (
        ("스터디룸은 몇 명부터 쓸 수 있나요?", "스터디룸은 4명부터 씁니다. [시설.md]"),
        ("책은 몇 권까지 빌리나요?", "책은 7권까지 빌립니다. [대출.md]"),
        ("연체료가 얼마예요?", "연체료는 500원입니다. [대출.md]"),
    ):
        assert model.predict(question) == answer


def test_a_template_with_options_of_a_table_is_refused(init, tmp_path):
    """Each option is named; a mistyped template gets the nearest name; nothing is written."""
    for options, error in (
        (
            ("--template", "rag", "--source", "a.csv", "--label", "y", "--key", ""),
            "leave out --source, --label, --key",
        ),
        (("--template", "rag", "--set", "data.seed=1"), "leave out --set"),
        (("--template", "rga"), "no template 'rga'. Did you mean 'rag'? Templates: agent, prompt, rag"),
        (("--template", "chat"), "no template 'chat'. Templates: agent, prompt, rag"),
    ):
        status, printed = init(*options)
        assert status == 1 and error in printed, printed
    assert not list(tmp_path.iterdir())


def test_a_file_of_the_users_is_never_changed(init, tmp_path):
    """A README of one's own is named and kept; files with other names stay beside the project."""
    own = tmp_path / "mine/README.md"
    own.parent.mkdir()
    own.write_text("my work")
    status, printed = init("--template", "prompt")
    assert status == 1 and "README.md" in printed and "Choose an empty folder" in printed
    assert own.read_text() == "my work" and list(own.parent.iterdir()) == [own]
    own.rename(own.with_name("notes.md"))
    assert init("--template", "prompt")[0] == 0
    assert (own.parent / "notes.md").read_text() == "my work" and own.is_file()


@pytest.mark.parametrize(("project", "argument"), [("my-project-2", "my-project-2"), ("책방 2", "'책방 2'")])
def test_a_command_of_the_readme_has_the_name_as_a_shell_reads_it(project: str, argument: str) -> None:
    """The name of the folder in the heading, and as one argument in the command."""
    readme = template("prompt", project).files["README.md"].decode()
    assert readme.startswith(f"# {project}\n") and f"\nmlops promote {argument} 1 " in readme


def test_the_folder_of_templates_holds_nothing_else() -> None:
    """A key or a work folder must not get into every new project."""
    for name in names():
        content = yaml.safe_load((FOLDER / name / "config.yaml").read_text(encoding="utf-8"))
        assert content["model"]["name"] == content["mlflow"]["experiment"] == PLACEHOLDER
        rows = [
            json.loads(line)
            for line in (FOLDER / name / "golden.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        assert len({row["id"] for row in rows}) == 12
        found = {file.name for file in (FOLDER / name).iterdir()} - {"__pycache__"}
        code = {"prompt": set(), "rag": {"rag.py", "docs"}, "agent": {"agent.py"}}[name]
        assert found == {"config.yaml", "prompts.yaml", "golden.jsonl", "README.md"} | code


@pytest.mark.slow
def test_the_commands_of_the_readme_work(tmp_path):
    """init, run, promote, serve and the request of the project's README, in an empty folder without a key."""
    (tmp_path / "helper").mkdir()
    project = Project(tmp_path / "helper")
    for command in (["init", ".", "--template", "agent"], ["run"], ["promote", "helper", "1"]):
        done = project.mlops(*command, warm=True)
        assert done.returncode == 0, done.stdout + done.stderr
    (body,) = re.findall(r"invoke -d '(.*)'", (project.root / "README.md").read_text(encoding="utf-8"))
    with started(["mlops", "serve"], project.root, tmp_path / "service.log") as service:
        service.until_ready()
        _, answer = service.post("/invoke", json.loads(body))
    assert answer["predictions"] == "주문 MB-2001은 배송 중이며 11월 27일에 도착합니다."
