"""The estimator `auto`: good where the signal is known, equal to scikit-learn's trees, and robust on odd tables."""

import re

import numpy as np
import pytest

from mlops_lib.estimators import auto, basis, linear_model, table_model, trees


def table(rows=300, seed=0):
    """Two numbers with gaps, a category of four codes and one of 60; a label that is linear, with a step."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(rows, 2))
    few, many = rng.integers(0, 4, rows), rng.integers(0, 60, rows)
    label = 2 * numbers[:, 0] + (few == 2) + (many % 2) + rng.normal(0, 0.2, rows)
    numbers[rng.random((rows, 2)) < 0.1] = np.nan
    return np.column_stack([numbers, few, many]), label, (0, 0, 4, 60)


@pytest.mark.slow
def test_a_regression_explains_most_of_what_can_be_explained():
    """Numbers, gaps and both sizes of categories are used."""
    matrix, label, codes = table(600)
    model, facts = auto.fit(matrix[:400], label[:400], codes, 0)
    errors = model.predict(matrix[400:]) - label[400:]
    assert 1 - errors.var() / label[400:].var() > 0.75
    assert sum(facts["weights"].values()) > 0.5


@pytest.fixture
def few_rounds(monkeypatch):
    """Twenty rounds of boosting instead of 400, for tests that do not ask how good the model is."""
    monkeypatch.setattr(trees, "SMALL", tuple(recipe._replace(rounds=20) for recipe in trees.SMALL))


@pytest.mark.slow
@pytest.mark.usefixtures("few_rounds")
@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_are_the_same_bits_alone_and_in_a_batch(classes):
    """They lie between 0 and 1, add up to 1, and do not depend on the other rows of a batch."""
    matrix, label, codes = table(200)
    labels = np.digitize(label, np.quantile(label, np.linspace(0, 1, classes + 1)[1:-1]))
    model, _ = auto.fit(matrix, labels, codes, classes)
    together = model.predict(matrix)
    alone = np.concatenate([model.predict(row[None]) for row in matrix])
    assert np.array_equal(together, alone) and ((together >= 0) & (together <= 1)).all()
    assert together.shape == ((200,) if classes == 2 else (200, classes))
    if classes > 2:
        assert np.allclose(together.sum(1), 1)


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_the_arrays_predict_as_scikit_learn_does(classes):
    """The flattened trees give scikit-learn's scores, with gaps, and with numbers beyond those of the fit."""
    matrix, label, _ = table(400)
    x = matrix[:, :2]
    labels = (
        np.digitize(label, np.quantile(label, np.linspace(0, 1, classes + 1)[1:-1])) if classes else label
    )
    estimator = trees.boosted(trees.SMALL[0], classes, seed=0, rounds=20).fit(x, labels)
    scores = classes if classes > 2 else 1
    arrays = trees.to_arrays([(estimator, 1.0)], 2, scores)
    baseline = arrays.pop("baseline")
    odd = np.vstack([x, [[np.nan, np.nan], [1e9, -1e9], [np.nan, 0.0]]])
    expected = trees.Fitted(estimator, odd).scores(20)
    found = table_model.trees(odd, arrays | {"intercept": baseline[None]}) + baseline
    assert np.allclose(found, expected, atol=1e-9)


@pytest.mark.slow
@pytest.mark.usefixtures("few_rounds")
def test_the_same_seed_gives_the_same_model():
    """Twice the same arrays."""
    matrix, label, codes = table(120)
    first, second = (auto.fit(matrix, label, codes, 0, seed=3)[0].arrays for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_weights_reach_every_learner():
    """Rows of weight zero, whose labels are wrong, change the prediction little."""
    matrix, label, codes = table(400)
    wrong = np.arange(400) % 2 == 1
    spoiled = np.where(wrong, -label * 3, label)
    weights = np.where(wrong, 1e-6, 1.0)
    weighed = auto.fit(matrix, spoiled, codes, 0, weights=weights)[0].predict(matrix)
    plain = auto.fit(matrix, spoiled, codes, 0)[0].predict(matrix)
    assert np.corrcoef(weighed, label)[0, 1] > 0.8 > np.corrcoef(plain, label)[0, 1]


@pytest.mark.usefixtures("few_rounds")
@pytest.mark.parametrize("classes", [0, 2, 3])
def test_odd_tables_are_fitted(classes):
    """Thirty rows: a constant column, an empty one, infinity, and a class with one row."""
    rng = np.random.default_rng(0)
    matrix = np.column_stack([rng.normal(size=30), np.ones(30), np.full(30, np.nan), np.zeros(30)])
    matrix[3, 0] = np.inf
    labels = np.arange(30) % 2.0 if classes else rng.normal(size=30)
    if classes == 3:
        labels[7] = 2
    model, _ = auto.fit(matrix, labels, (0, 0, 0, 5), classes)
    assert np.isfinite(model.predict(matrix)).all()


def test_a_row_s_own_label_has_no_part_in_its_mean():
    """The mean label of a code with one row, seen by that row, is the mean of all rows."""
    codes = np.arange(50.0)[:, None]
    labels = np.arange(50.0)[:, None]
    weights = np.ones(50)
    arrays = basis.fit_expansion(codes, labels, weights, (50,))
    crossed = basis.cross_fitted(table_model.expand(codes, arrays), codes, labels, weights, arrays, seed=0)
    assert abs(np.corrcoef(crossed[:, 0], labels[:, 0])[0, 1]) < 0.7
    assert np.corrcoef(table_model.expand(codes, arrays)[:, 0], labels[:, 0])[0, 1] > 0.99


@pytest.mark.slow
def test_many_classes_bound_the_work(monkeypatch):
    """Trees and linear model learn from fewer rows in fewer rounds, a class of three rows is kept, and the facts say so."""
    monkeypatch.setattr(trees, "MAX_ROWS_CLASSES", 20 * 600)
    monkeypatch.setattr(trees, "MAX_TREES", 20 * 15)
    monkeypatch.setattr(trees, "MIN_ROUNDS", 10)
    monkeypatch.setattr(linear_model, "MAX_ROWS", 1_000)
    rng = np.random.default_rng(0)
    labels = np.append(rng.integers(0, 19, 5_000), [19] * 3)
    matrix = np.column_stack([labels + rng.normal(0, 0.3, len(labels)), rng.normal(size=len(labels))])
    model, facts = auto.fit(matrix, labels, (0, 0), 20)
    assert facts["bounds"][-1] == "20 classes have 15 rounds at most" and max(facts["rounds"]) <= 15
    trees_from, linear_from = (
        int(re.search(r"from ([\d,]+) ", one)[1].replace(",", "")) for one in facts["bounds"][:2]
    )
    assert 500 < trees_from < 1_100 and 300 < linear_from < 900
    assert facts["held_out_rows"] < 1_000, "held out once, not cross-validated"
    assert (model.predict(matrix).argmax(1) == labels).mean() > 0.7
