"""Images in an evaluation: pictures for people, thumbnails for baselines, and the rows that a model is furthest from."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mlops_lib.evaluation.baselines import predictions
from mlops_lib.evaluation.figures import pictures
from mlops_lib.evaluation.worst import mistakes
from tests.support.pictures import encoded, noise

DRAW = np.random.default_rng(0)


def plain(value: int) -> bytes:
    """A grey image."""
    return encoded(Image.new("L", (12, 10), value))


def test_the_linear_baseline_learns_from_small_images():
    """Bright images are of one class; the shares of the classes learn nothing of them. A gap is an image too."""
    values = DRAW.integers(0, 256, 120)
    x = pd.DataFrame({"photo": [plain(int(value)) for value in values], "age": range(120)})
    y = np.where(values > 127, "bright", "dark")
    x.loc[5, "photo"] = None
    found = predictions(["logistic", "majority"], (x[:80], y[:80]), x[80:], ["bright", "dark"])
    assert ((found["logistic"] < 0.5) == (y[80:] == "bright")).mean() > 0.9
    assert len(np.unique(found["majority"])) == 1


def test_wrong_classes_are_the_worst_where_the_model_is_sure():
    """Right answers are no mistakes; numbers are ordered by their distance."""
    truth, predicted = ["a", "b", "a", "b"], [0.1, 0.2, 0.7, 0.05]
    found = mistakes("classification", truth, predicted, ["a", "b"], 5)
    assert found == [(3, "is b\nmodel: a 95%"), (1, "is b\nmodel: a 80%"), (2, "is a\nmodel: b 70%")]
    assert [one.row for one in mistakes("regression", [1, 2, 3], [1.5, 2.1, 9], (), 2)] == [2, 0]
    assert mistakes("ranking", [1], [0.1], (), 2) == []


def test_the_worst_of_several_labels_is_named():
    """A row comes once, with the label that is most wrong; rows without a wrong label do not come."""
    truth, predicted = [[1, 0], [0, 1], [1, 1]], [[0.2, 0.9], [0.3, 0.6], [0.1, 0.05]]
    found = mistakes("multilabel", truth, predicted, ["cat", "dog"], 5)
    assert found == [(2, "dog: yes\nmodel: 5%"), (0, "dog: no\nmodel: 90%")]


def test_rows_are_shown_with_pictures():
    """Inline, scaled up where they are tiny; text is escaped; a table without images is shown as it is."""
    frame = pd.DataFrame({"photo": [plain(9), b"no image"], "label": ["<b>", "x"]})
    html = pictures.table(frame, {"photo": "image"}).to_html()
    assert html.count("data:image/png;base64,") == 2 and "&lt;b&gt;" in html and "<b>" not in html
    assert pictures.table(frame, {"photo": "text"}) is frame


@pytest.mark.parametrize("labels", [["고양이", "개"] * 6, np.linspace(0, 1, 12)])
def test_examples_are_drawn_for_each_label(labels):
    """Few labels have a row each; amounts are above each picture."""
    frame = pd.DataFrame({"photo": [encoded(noise(DRAW, 30, 20)) for _ in range(12)], "y": labels})
    figure = pictures.examples(frame, "photo", "y")
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.images]
    assert len(titles) == 12 and titles[0] == ("y = 개" if isinstance(labels, list) else "0")
    assert figure.png.startswith(b"\x89PNG")
