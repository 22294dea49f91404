"""Make ``data/messages.parquet``: the messages of Django 5.2.8 (BSD-3-Clause),
and their translations into eleven languages.

The result is kept in the repository; this makes it again, byte for byte::

    pip download --no-deps django==5.2.8 --dest /tmp/django
    python examples/text/get_data.py /tmp/django/*.whl
"""

import gettext
import io
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

LANGUAGES = {
    "da": "da", "de": "de", "es": "es", "fr": "fr", "it": "it", "ja": "ja",
    "ko": "ko", "nb": "nb", "nl": "nl", "pt_BR": "pt", "sv": "sv",
}  # fmt: skip
ENGLISH = "en"  # the language of the messages themselves
#: Values that a program fills in, marks of a page, and the shortcut of a menu.
NO_TEXT = re.compile(r"%(\(\w+\))?[sdr]|\{[^}]*\}|<[^>]*>|&\w+;|https?://\S+")
SHORTEST_BYTES = 12  # of UTF-8: four Korean letters, twelve Latin ones
TARGET = Path(__file__).parent / "data" / "messages.parquet"


def clean(text: str) -> str:
    """A message without its gaps and marks, on one line."""
    return " ".join(NO_TEXT.sub(" ", text).split())


def translations(wheel: zipfile.ZipFile) -> Iterator[tuple[str, str, str]]:
    """Message as the programmers wrote it, language, text in this language."""
    for name in sorted(wheel.namelist()):
        found = re.fullmatch(r".*/locale/(\w+)/LC_MESSAGES/django\.mo", name)
        if not found or found[1] not in LANGUAGES:
            continue
        catalog = gettext.GNUTranslations(io.BytesIO(wheel.read(name)))._catalog  # type: ignore[attr-defined]
        for source, text in catalog.items():
            message, number = source if isinstance(source, tuple) else (source, 0)
            message = message.rpartition("\x04")[2]  # without its context
            if message and text and number == 0:
                yield message, LANGUAGES[found[1]], text
                yield message, ENGLISH, message


def main(wheel: str) -> None:
    """Read the catalogs out of `wheel` and write them as Parquet, one row a message and language."""
    rows = pd.DataFrame(translations(zipfile.ZipFile(wheel)), columns=["message", "language", "text"])
    rows["text"] = rows["text"].map(clean)
    is_long = rows["text"].str.encode("utf-8").str.len() >= SHORTEST_BYTES
    rows = rows[is_long].drop_duplicates(["message", "language"])
    # Left in English by its translators, or the same in two languages: no one answer is right.
    rows = rows[~rows["text"].str.casefold().duplicated(keep=False)]
    rows = rows.sort_values(["message", "language"], ignore_index=True)
    # All translations of a message have its number, and so are in one split.
    rows["message"] = rows["message"].factorize()[0] + 1
    TARGET.parent.mkdir(exist_ok=True)
    rows[["message", "text", "language"]].to_parquet(TARGET, index=False, compression="zstd")
    print(f"{len(rows):,} texts of {rows['message'].nunique():,} messages -> {TARGET}")


if __name__ == "__main__":
    main(sys.argv[1])
