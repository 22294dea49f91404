"""The pages of the documentation: their blocks of code, inline code and commands."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples" / "assistant" / "handbook").glob("*.md")),
]
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def inline(page: Path) -> list[str]:
    """Inline code, outside of fenced blocks."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", text)


def commands(page: Path, program: str) -> list[list[str]]:
    """Arguments of each call of a program, in blocks of bash and in inline code; calls with `...` are left out."""
    lines = [line for block in blocks(page, "bash") for line in block.splitlines()]
    lines += [
        line[2:] for block in blocks(page, "console") for line in block.splitlines() if line[:2] == "$ "
    ]
    lines += inline(page)
    calls = [re.sub(r"^(\w+=\S* )+", "", re.split(r"  #| >> ", line)[0]).strip() for line in lines]
    return [shlex.split(call)[1:] for call in calls if call.split(" ")[0] == program and "..." not in call]
