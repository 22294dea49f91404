"""The files of the page, in this process: their headers, addresses and words."""

import asyncio
import re

import pytest

from serving.pages import home
from tests.support.toy_service import Caller, Toy, toy_service


def fetched(tmp_path, *paths, **serving):
    """The answers to GETs of paths."""

    async def main():
        async with toy_service(tmp_path, Toy(), **serving) as app:
            return [await Caller(app, path, b"", method="GET")() for path in paths]

    return asyncio.run(main())


def test_nothing_but_the_files_of_the_service_may_run(tmp_path):
    """The policy forbids inline code, other origins and HTML from text; the page is asked for each time."""
    (page,) = fetched(tmp_path, "/")
    policy = page.headers["content-security-policy"]
    assert page.status == 200 and page.headers["cache-control"] == "no-cache"
    for rule in (
        "default-src 'none'", "script-src 'self';", "require-trusted-types-for 'script'", "trusted-types 'none'"
    ):  # fmt: skip
        assert rule in policy
    assert "unsafe" not in policy and page.headers["x-content-type-options"] == "nosniff"
    assert len(page.body) < 2_000
    assert not re.search(rb"<script>|<style>|\son\w+=|style=", page.body)


def test_the_files_of_the_page_are_kept_for_ever_under_their_digest(tmp_path):
    """Under another digest, of a replica that differs, they come but are not kept; other names are 404."""
    page, old, none, dots = fetched(
        tmp_path, "/", "/ui/0123456789abcdef/main.js", f"/ui/{home.DIGEST}/x.js", "/ui/x/..%2fhome.py"
    )
    named = re.findall(r'(?:src|href)="(ui/[^"]+)"', page.body.decode())
    assert len(named) == 4 and all(f"/{home.DIGEST}/" in name for name in named)
    files = fetched(tmp_path, *(f"/{name}" for name in named))
    assert all(file.status == 200 and "immutable" in file.headers["cache-control"] for file in files)
    assert {file.headers["content-type"].partition(";")[0] for file in files} == {
        "text/css",
        "text/javascript",
    }
    assert old.status == 200 and old.headers["cache-control"] == "no-store"
    assert none.status == dots.status == 404


def test_the_page_can_be_turned_off(tmp_path):
    """`serving.page: false`: neither the page nor its files; the API answers."""
    page, file, status = fetched(tmp_path, "/", f"/ui/{home.DIGEST}/main.js", "/status", page=False)
    assert page.status == file.status == 404 and "serving.page" in page.json["detail"]
    assert status.status == 200


@pytest.mark.parametrize("name", sorted(home.FILES))
def test_a_file_needs_nothing_from_elsewhere(name):
    """A file imports files of the page alone, and has none of the ways to make HTML or code of text."""
    text = home.FILES[name].decode()
    assert all(found in home.FILES for found in re.findall(r'from "\./([^"]+)"', text))
    assert not re.findall(r'(?:import|from) "(?!\./)', text) and "url(" not in text and "@import" not in text
    code = re.sub(r"^\s*(//|/?\*).*$", "", text, flags=re.MULTILINE)
    assert re.findall(r"https?://[\w.]+", code) in ([], ["http://www.w3.org"])
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("):
        assert forbidden not in code


def test_every_word_is_there_in_both_languages():
    """English and Korean have the same keys with the same values; each word that a file says is one of them."""
    languages = dict(
        re.findall(r"^  (\w\w): \{\n(.*?)^  \},", home.FILES["words.js"].decode(), re.MULTILINE | re.DOTALL)
    )
    words = {
        tag: {
            quoted or plain: value
            for quoted, plain, value in re.findall(r'(?:"([^"]+)"|\b(\w+)): "((?:[^"\\]|\\.)*)"', text)
        }
        for tag, text in languages.items()
    }
    assert set(words) == {"en", "ko"} and words["en"].keys() == words["ko"].keys()
    assert len(words["en"]) > 100 and all(words["ko"].values())
    for key, value in words["en"].items():
        shared = set(re.findall(r"\{\w+\}", value))
        assert shared <= set(re.findall(r"\{\w+\}", words["ko"][key])), key
    for name, content in home.FILES.items():
        said = re.findall(r'\b(?:say|sayLabel|sayPlaceholder): "(\w+)"|\bt\("(\w+)"', content.decode())
        assert {one or other for one, other in said} <= words["en"].keys(), name
