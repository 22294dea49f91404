"""TabularNetwork: preprocessing inside, the right shape for each task, nothing lost by tracing it."""

import pytest
import torch

from mlops_lib.networks.tabular import TabularNetwork


def batches(x, y, size=7):
    return [(x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)]


@pytest.fixture
def x():
    """50 rows of two features on very different scales, one of them with a missing value."""
    torch.manual_seed(0)
    x = torch.randn(50, 2) * torch.tensor([1.0, 1000.0])
    x[3, 1] = float("nan")
    return x


@pytest.mark.parametrize(("classes", "shape"), [(0, (50,)), (2, (50,)), (4, (50, 4))])
def test_predictions_have_the_form_of_the_task(x, classes, shape):
    """Values, P(positive), or probabilities that add up to one; never NaN for a missing feature."""
    network = TabularNetwork(n_features=2, n_classes=classes).eval()
    predictions = network(x)
    assert predictions.shape == shape and predictions.isfinite().all()
    if classes:
        assert ((predictions >= 0) & (predictions <= 1)).all()
    if classes > 2:
        assert torch.allclose(predictions.sum(1), torch.ones(50))


def test_moments_are_those_of_all_rows_whatever_the_batches(x):
    """Mean and scale equal torch's own over the whole table, NaN left out."""
    network = TabularNetwork(n_features=2, n_classes=2)
    network.fit_preprocessing(batches(x, torch.zeros(50)))
    logged = x.double().sign() * x.double().abs().log1p()
    known = logged[~logged[:, 1].isnan(), 1]
    assert torch.allclose(network.mean.double(), torch.stack([logged[:, 0].mean(), known.mean()]), atol=1e-6)
    expected = torch.stack([logged[:, 0].std(correction=0), known.std(correction=0)])
    assert torch.allclose(network.scale.double(), expected, atol=1e-5)


def test_a_constant_feature_divides_by_nothing():
    """Its scale is one, and predictions stay finite."""
    network = TabularNetwork(n_features=2, n_classes=2).eval()
    x = torch.tensor([[1.0, 5.0], [2.0, 5.0]])
    network.fit_preprocessing([(x, torch.zeros(2))])
    assert network.scale[1] == 1 and network(x).isfinite().all()


def test_a_regression_answers_in_the_units_of_the_label(x):
    """Untrained output is about the label's mean, not about zero."""
    network = TabularNetwork(n_features=2, n_classes=0).eval()
    network.fit_preprocessing(batches(x, torch.full((50,), 500.0) + torch.arange(50.0)))
    assert 400 < network(x).mean() < 650


def test_the_preprocessing_is_saved_with_the_weights(x):
    """A reloaded network predicts the same without the training data."""
    network = TabularNetwork(n_features=2, n_classes=2).eval()
    network.fit_preprocessing(batches(x, torch.zeros(50)))
    other = TabularNetwork(n_features=2, n_classes=2).eval()
    assert not torch.allclose(other(x), network(x))
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(x), network(x))


@pytest.mark.slow
@pytest.mark.parametrize("codes", [(0, 5), (4, 5), (0, 0)])
@pytest.mark.parametrize("classes", [0, 2, 3])
def test_numbers_and_categories_in_any_mixture_are_learned_traced_and_saved(tmp_path, codes, classes):
    """A step lowers the loss; the traced graph is saved, and answers as the network does."""
    torch.manual_seed(0)
    x = torch.stack([torch.randint(0, n, (40,)).float() if n else torch.randn(40) for n in codes], 1)
    y = torch.arange(40.0) % classes if classes else x[:, 0] * 3
    network = TabularNetwork(2, classes, codes)
    network.fit_preprocessing([(x, y)])
    optimizer = network.configure_optimizers()
    losses = []
    for _ in range(20):
        losses.append(network._loss((x, y, torch.ones(40))))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    network.eval()
    graph = torch.export.export(network, (x[:5],), dynamic_shapes=[{0: torch.export.Dim.AUTO}])
    torch.export.save(graph, tmp_path / "network.pt2")
    loaded = torch.export.load(tmp_path / "network.pt2").module()
    assert torch.allclose(loaded(x), network(x), atol=1e-6)
