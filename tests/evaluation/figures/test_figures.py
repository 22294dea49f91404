"""Figures: their titles and labels, that nothing covers the data, and that no global state changes."""

import warnings

import matplotlib
import numpy as np
import pytest
from matplotlib._pylab_helpers import Gcf

from mlops_lib.evaluation.figures import overview, style
from mlops_lib.evaluation.figures.calibration import reliability
from mlops_lib.evaluation.tasks.classification import Classification
from mlops_lib.evaluation.tasks.regression import Regression

RNG = np.random.default_rng(0)
ROWS = 300
HAPPENED = RNG.random(ROWS) < 0.3
PROBABILITY = np.clip(0.3 + 0.3 * HAPPENED + RNG.normal(0, 0.15, ROWS), 0, 1)
TARGET = RNG.normal(50, 20, 2000)


def classes(count: int, rows: int = 600, name: str = "class number {:02}"):
    truth = np.arange(rows) % count
    probability = RNG.dirichlet(np.ones(count), rows) + np.eye(count)[truth]
    return np.array([name.format(k) for k in truth]), probability / probability.sum(axis=1, keepdims=True)


CASES = {
    "two": (Classification, HAPPENED, PROBABILITY, {"majority": np.full(ROWS, 0.3), "other": PROBABILITY**2}),
    "three": (Classification, *classes(3), {"majority": np.full((600, 3), 1 / 3)}),
    "thirty": (Classification, *classes(30), {}),
    "not mathematics": (Classification, classes(2, name="$\\x{}$")[0], np.tile([0.2, 0.7], 300), {}),
    "constant": (Classification, [0, 1, 1], [0.4, 0.4, 0.4], {}),
    "certain": (Classification, [0, 1], [0.0, 1.0], {}),
    "numbers": (Regression, TARGET[:200], TARGET[:200] + 5, {"mean": np.full(200, 50.0)}),
    "many numbers": (Regression, TARGET, TARGET + RNG.normal(0, 5, 2000), {}),
    "one number": (Regression, [3.0], [4.0], {}),
    "equal numbers": (Regression, [3.0, 3.0], [3.0, 3.0], {}),
}


@pytest.fixture(scope="module", params=CASES)
def figures(request):
    """The figures of one case, drawn with every warning an error."""
    task, truth, predicted, baselines = CASES[request.param]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return task().figures(truth, predicted, baselines)


def test_every_figure_asks_and_labels_its_axes(figures):
    """The title holds the question and a number that answers it, and both axes say what they count."""
    for figure in figures.values():
        axes = figure.axes[0]
        question, answer = axes.get_title(loc="left").split("?\n")
        assert question and any(letter.isdigit() for letter in answer)
        assert axes.get_xlabel() and axes.get_ylabel()


def test_titles_of_small_errors_have_their_digits():
    """No version is at its threshold, and no loss is 0, because of four decimals."""
    near = (
        overview.versions({1: 0.5, 2: 0.99996}, "roc_auc", 0.99998, current=2).axes[0].get_title(loc="left")
    )
    assert "roc_auc 0.99996, threshold 0.99998" in near
    curves = overview.learning_curves({"val_loss": [(1, 3e-5), (2, 2e-5)]}).axes[0].get_title(loc="left")
    assert "Lowest val_loss 0.00002 in epoch 2 of 2" in curves


def test_all_text_lies_inside_and_the_legend_beside_the_data(figures):
    """Nothing is cut off at the border, and no legend covers a point."""
    for figure in figures.values():
        page, axes = figure.bbox, figure.axes[0]
        for box in [part.get_tightbbox() for part in [*figure.axes, *figure.legends]]:
            assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= page.x1 + 1 and box.y1 <= page.y1 + 1
        assert axes.get_legend() is None
        for legend in figure.legends:
            assert not legend.get_window_extent().overlaps(axes.get_tightbbox())


def test_tick_labels_are_plain_text(figures):
    """Colour bars on a logarithmic scale count rows, and show no markup of powers."""
    for axes in [axes for figure in figures.values() for axes in figure.axes]:
        ticks = axes.get_xticklabels() + axes.get_yticklabels()
        assert not any("mathdefault" in tick.get_text() for tick in ticks)


@pytest.mark.slow
def test_figures_are_registered_nowhere_and_change_no_settings():
    """Drawing leaves no open pyplot figure behind and no trace in matplotlib's settings."""
    task, truth, predicted, baselines = CASES["two"]
    with matplotlib.rc_context({"font.size": 13, "axes.spines.top": True, "axes.grid": False}):
        before = dict(matplotlib.rcParams)
        task().figures(truth, predicted, baselines)
        assert not Gcf.get_all_fig_managers() and dict(matplotlib.rcParams) == before


def test_a_figure_shows_itself():
    """A notebook that never imported pyplot still gets a PNG."""
    figure = Regression().figures([1.0, 2.0], [1.0, 3.0], {})["residuals"]
    assert figure._repr_png_().startswith(b"\x89PNG")


def lines(figure) -> dict[str, np.ndarray]:
    drawn = figure.axes[0].get_lines()
    return {line.get_label(): line.get_xydata() for line in drawn if not line.get_label().startswith("_")}


@pytest.mark.slow
def test_curves_hold_the_areas_in_the_legend():
    """The area below each drawn curve is the number beside its name, for the model and each baseline."""
    task, truth, predicted, baselines = CASES["two"]
    figures = task().figures(truth, predicted, baselines)
    for name, tolerance in (("roc", 1e-3), ("precision_recall", 1e-2)):
        drawn = lines(figures[name])
        assert [label.split()[0] for label in drawn] == ["model", "majority", "other"]
        for label, points in drawn.items():
            assert np.trapezoid(points[:, 1], points[:, 0]) == pytest.approx(
                float(label.split()[-1]), abs=tolerance
            )


@pytest.mark.slow
def test_the_mean_curve_of_three_classes_holds_the_mean_area():
    """Averaging curves and averaging areas agree, so the thick line is what the title says."""
    task, truth, predicted, _ = CASES["three"]
    # The first two classes are mixed up, the third is not: their curves differ.
    predicted = np.column_stack([predicted[:, :2][:, ::-1] / 2 + predicted[:, :2] / 2, predicted[:, 2]])
    label, points = next(iter(lines(task().figures(truth, predicted, {})["roc"]).items()))
    assert np.trapezoid(points[:, 1], points[:, 0]) == pytest.approx(float(label.split()[-1]), abs=5e-3)


@pytest.mark.slow
def test_confusion_prints_the_counts():
    """Each cell holds its share of the true class and the rows behind it."""
    figure = Classification().figures([0, 0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.9, 0.9, 0.5], {})["confusion"]
    cells = [text.get_text() for text in figure.axes[0].texts]
    assert cells == ["75%\n3 of 4", "25%\n1 of 4", "50%\n1 of 2", "50%\n1 of 2"]


def test_reliability_bins_hold_every_row_once():
    """Weighted by their rows, the bins give back the means of all rows; the interval holds the share."""
    probability = np.linspace(0, 1, 1000)
    bins = reliability(probability, probability > 0.5)
    assert len(bins.predicted) == 10 and bins.predicted.mean() == pytest.approx(0.5)
    assert bins.observed.tolist() == [0.0] * 5 + [1.0] * 5
    assert (bins.low <= bins.observed).all() and (bins.observed <= bins.high).all()
    assert (bins.low >= 0).all() and (bins.high <= 1).all()


def test_wilson_interval_is_the_published_one():
    """Five of fifty gives 0.0435 to 0.2136 in Newcombe's (1998) form of Wilson's interval."""
    bins = reliability(np.full(50, 0.1), np.arange(50) < 5)
    assert bins.low == pytest.approx([0.0435], abs=1e-4) and bins.high == pytest.approx([0.2136], abs=1e-4)


@pytest.mark.parametrize(("rows", "count"), [(1, 1), (39, 1), (40, 2), (200, 10), (10_000, 10)])
def test_bins_are_as_many_as_the_rows_allow(rows, count):
    """Twenty rows or more to a bin and ten bins at most."""
    sizes = np.bincount(style.bins(np.arange(rows, dtype=float)))
    assert len(sizes) == count and sizes.max() - sizes.min() <= 1


def test_equal_values_share_a_bin():
    """Equal values are never in two bins."""
    values = np.repeat([0.1, 0.2, 0.9], [500, 3, 497])
    numbers = style.bins(values)
    assert all(len(set(numbers[values == value])) == 1 for value in (0.1, 0.2, 0.9))


def test_long_names_are_cut():
    """A name too long for an axis ends in an ellipsis, within the width."""
    assert style.shorten("short", 10) == "short"
    assert style.shorten("much too long", 10) == "much too …"


def test_a_figure_is_drawn_again_only_after_a_change():
    """Notebook and MLflow show the same file; a figure that somebody changed is drawn anew."""
    with style.chart("Is it?", "Yes", "x", "y") as (figure, axes):
        axes.plot([0, 1], [0, 1])
    first = figure.png
    assert first.startswith(b"\x89PNG") and figure.png is first and figure._repr_png_() is first
    axes.set_title("changed")
    changed = figure.png
    assert changed != first and figure.png is changed
