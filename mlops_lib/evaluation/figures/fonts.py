"""Fonts with Korean, Chinese and Japanese glyphs, which matplotlib's own font lacks."""

import functools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matplotlib import font_manager

OWN = "DejaVu Sans"
#: Starts of file names, by preference: Nanum, Noto, and the fonts of Windows and macOS.
FILES = (
    "nanumgothic",
    "nanumbarungothic",
    "notosanscjk",
    "notosanskr",
    "malgun",
    "applesdgothicneo",
    "applegothic",
)
GLYPH = r"Glyph \d+ .*missing from"


@functools.cache
def families() -> list[str]:
    """matplotlib's own font, and after it an installed one for the glyphs that it lacks."""
    files = {Path(path).stem.lower(): path for path in sorted(font_manager.findSystemFonts())}
    for start in FILES:
        for stem, path in files.items():
            if stem.startswith(start):
                # matplotlib's list of fonts may be older than this font.
                font_manager.fontManager.addfont(path)
                return [OWN, font_manager.FontProperties(fname=path).get_name()]
    return [OWN]


@contextmanager
def one_warning() -> Iterator[None]:
    """Replace matplotlib's warning for each missing glyph by one line in the whole process."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", GLYPH)
        yield
    for warning in caught:
        if "missing from" not in str(warning.message):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        else:
            _say_once()


@functools.cache
def _say_once() -> None:
    warnings.warn(
        "Figures show boxes for some letters: no installed font has them. Install fonts-nanum (Korean) or fonts-noto-cjk "
        "(also Chinese and Japanese).",
        stacklevel=2,
    )
