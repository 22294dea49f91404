"""Letters that matplotlib's own font lacks: another font has them, or one line says what to install."""

import shutil
import warnings
from pathlib import Path

import matplotlib
import pytest
from matplotlib import font_manager

from mlops_lib.evaluation.figures import fonts, style

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _fresh():
    """Each test looks for fonts, and warns, as a new process does."""
    for cached in (fonts.families, fonts._say_once):
        cached.cache_clear()
    yield
    for cached in (fonts.families, fonts._say_once):
        cached.cache_clear()


def figure(title):
    with style.chart(title, "", "x", "y") as (made, _):
        pass
    return made


def test_an_installed_korean_font_follows_the_own_font(tmp_path, monkeypatch):
    """It is taken although matplotlib's list of fonts does not have it; the first of the preferred names wins."""
    mono = Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSansMono.ttf")
    files = [tmp_path / name for name in ("malgun.ttf", "NanumGothic.ttf", "other.ttf")]
    for file in files:
        shutil.copy(mono if file.stem == "NanumGothic" else mono.with_name("DejaVuSerif.ttf"), file)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(file) for file in files])
    monkeypatch.setattr(font_manager.fontManager, "ttflist", list(font_manager.fontManager.ttflist))
    assert fonts.families() == ["DejaVu Sans", "DejaVu Sans Mono"]


def test_missing_glyphs_are_one_warning_with_the_package(monkeypatch):
    """Two figures of many Korean letters; other warnings stay."""
    monkeypatch.setitem(style.STYLE, "font.family", ["DejaVu Sans"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            figure("고객 재구매 예측")._repr_png_()
        with fonts.one_warning():
            warnings.warn("another", stacklevel=1)
    assert (
        len(caught) == 2 and "fonts-nanum" in str(caught[0].message) and "another" in str(caught[1].message)
    )
