"""Projects that `mlops init --template` copies: LLM applications that run without a key."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.markup import escape
from rich.table import Table

from mlops_lib.cli.display import out, show
from mlops_lib.cli.init import project
from mlops_lib.cli.init.choices import project_name, yaml_text
from mlops_lib.cli.init.display import first_command, show_winning
from mlops_lib.errors import ConfigError
from mlops_lib.wording import did_you_mean

FOLDER = Path(__file__).parent / "templates"
#: Name of experiment and model in the files of every template.
PLACEHOLDER = "my-project"


@dataclass(frozen=True)
class Template:
    """The files of a template, with the name of the new project in them.

    Attributes:
        config: Text of config.yaml.
        files: The other files, by their path from the folder of the project.
    """

    config: str
    files: dict[str, bytes]

    @property
    def questions(self) -> int:
        """Number of questions in the golden set."""
        return len(self.files["golden.jsonl"].splitlines())

    @property
    def model_setting(self) -> str:
        """The setting in config.yaml that names the LLM, as YAML writes it."""
        return "implementation" if yaml.safe_load(self.config)["model"]["wrapper"] == "llm" else "model"


def begin(folder: Path, name: str) -> None:
    """Write the template `name` as a new project, and show what to do next.

    Raises:
        ConfigError: There is no such template, or a file of the project exists.
    """
    project_of = project_name(folder)
    found = template(name, project_of)
    project.check_folder(folder, list(found.files))
    show_winning(project.write(folder, found.config, found.files))
    out.print(
        f"\n{escape(str(folder))} is made: the template {name}, {found.questions} questions with reference answers, and a "
        "model that needs no key.\n",
        soft_wrap=True,
    )  # fmt: skip
    steps = Table.grid(padding=(0, 2))
    steps.add_column(no_wrap=True)
    for command, meaning in (
        (first_command(folder), "package it, judge it on the questions, register it"),
        (shlex.join(("mlops", "promote", project_of, "1")), "move version 1 to Production"),
        ("mlops serve", "answer requests; the page at / is for people"),
    ):
        steps.add_row(f"[bold]{escape(command)}[/]", f"[dim]{meaning}[/]")
    show(steps)
    out.print(
        f"\nA real model: set OPENAI_API_KEY in the environment, and [bold]{found.model_setting}: openai:gpt-4o-mini[/] in "
        "config.yaml. README.md has the rest.",
        soft_wrap=True,
    )  # fmt: skip


def names() -> list[str]:
    """Names of the templates."""
    return sorted(folder.name for folder in FOLDER.iterdir() if (folder / "config.yaml").is_file())


def template(name: str, project: str) -> Template:
    """The template `name` for a project.

    Raises:
        ConfigError: There is no such template.
    """
    if name not in (known := names()):
        raise ConfigError(
            f"There is no template {name!r}.{did_you_mean(name, known)} Templates: {', '.join(known)}."
        )
    files = {
        file.relative_to(FOLDER / name).as_posix(): file.read_bytes()
        for file in sorted((FOLDER / name).rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    }
    config = files.pop("config.yaml").decode().replace(PLACEHOLDER, yaml_text(project))
    files["README.md"] = _named(files["README.md"].decode(), project).encode()
    return Template(config, files)


def _named(text: str, project: str) -> str:
    """A README with the name of the project, which a shell may read differently in a command."""
    in_command = rf"(promote )?{PLACEHOLDER}"
    return re.sub(in_command, lambda found: found[1] + shlex.quote(project) if found[1] else project, text)
