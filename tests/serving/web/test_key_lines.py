"""The line that `mlops key` writes for the file of keys."""

import pytest
import yaml
from pydantic import TypeAdapter

from mlops_lib.errors import InputError
from serving.web.api_keys import Key, Keys, make
from serving.web.problems import Problem

NAMES = [
    "shop", "it's", 'a "b"', "a: b", "- x", "상점", "yes", "null", "1", "1.5", "2021-01-01", "#x", "x #y", "{x}", "[x",
    "a\\b", "*a", "&a", "!a", "%a", "@a", "`a", "a,b", "é", "😀", " padded ", "?", "~", "x" * 100,
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_any_printable_name_is_valid_yaml(name: str, tmp_path) -> None:
    """The name comes back as it was, beside another line, and the key opens the service under that name."""
    key, line = make(name, admin=True)
    file = tmp_path / "keys.yaml"
    file.write_text(f"{make('other', False)[1]}\n{line}\n", encoding="utf-8")
    found = TypeAdapter(list[Key]).validate_python(yaml.safe_load(file.read_text(encoding="utf-8")))
    assert [one.name for one in found] == ["other", name] and [one.admin for one in found] == [False, True]
    assert Keys(file).admit(key.encode(), admin=True) == name


@pytest.mark.parametrize(
    "name", ["", "a\nb", "a\r", "\t", "a\x00b", "a\u2028b", "\x1b[31m", "x" * 101, "\ufeffa"]
)
def test_a_name_with_a_line_end_is_refused(name: str) -> None:
    """Empty and long names and control characters, with the rule in the error."""
    with pytest.raises(InputError, match="1 to 100 printable characters"):
        make(name, admin=False)


def test_callers_without_a_key_have_no_name(tmp_path) -> None:
    """A service without keys calls everybody by the empty name; one with keys refuses strangers."""
    assert Keys(None).admit(b"", admin=False) == ""
    (tmp_path / "keys.yaml").write_text(make("shop", False)[1])
    with pytest.raises(Problem):
        Keys(tmp_path / "keys.yaml").admit(b"", admin=False)
