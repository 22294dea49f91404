"""Digests, and files that are written whole or not at all."""

import os

import pytest

from mlops_lib import files


def test_a_folder_digest_changes_with_names_and_bytes(tmp_path):
    """The order of creation does not count; a name and a byte do."""
    (tmp_path / "b.py").write_text("2")
    (tmp_path / "한글.py").write_text("1")
    first = files.digest_of_folder(tmp_path)
    (tmp_path / "b.py").write_text("3")
    changed = files.digest_of_folder(tmp_path)
    (tmp_path / "b.py").write_text("2")
    assert files.digest_of_folder(tmp_path) == first != changed
    (tmp_path / "b.py").rename(tmp_path / "c.py")
    assert files.digest_of_folder(tmp_path) != first
    assert files.digest_of_folder(tmp_path, [tmp_path / "한글.py"]) != first


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    """The error comes through, the old content stays, and no partial file is left."""
    file = tmp_path / "state.json"
    files.write_json(file, {"a": 1})
    with pytest.raises(TypeError):
        files.write_json(file, {"a": object()})
    assert files.read_json(file) == {"a": 1} and os.listdir(tmp_path) == ["state.json"]


@pytest.mark.parametrize("content", ["", "{", "[1]", None])
def test_what_holds_no_object_reads_as_empty(tmp_path, content):
    """A missing file, half an object, and a list."""
    file = tmp_path / "state.json"
    if content is not None:
        file.write_text(content)
    assert files.read_json(file) == {}
