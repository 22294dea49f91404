"""A network whose answer for a row depends on the rows beside it is an error before the training."""

import pytest
import torch
from torch import nn

from mlops_lib import wrappers
from mlops_lib.errors import TrainingError
from mlops_lib.wrappers.network.row_wise import require_row_wise
from tests.support.projects import written

X = torch.linspace(-2, 2, 60).reshape(5, 4, 3)


def attention(**more):
    """One layer of a transformer for [rows, 4, 3]."""
    return nn.TransformerEncoderLayer(3, 1, 6, dropout=0.0, **more).eval()


def test_networks_that_answer_row_by_row_pass():
    """Layers with batch_first, normalisation by learned statistics, dicts, lists of detectors, collated inputs, and answers that
    are as long as the longest row."""
    torch.manual_seed(0)
    normal = nn.BatchNorm1d(4).eval()
    for network in (
        attention(batch_first=True),
        lambda x: {"a": normal(x), "b": x.sum((1, 2))},
        lambda x: x * torch.nan,
        lambda x: [{"boxes": one} for one in x],
        lambda x: x[:, : (x[:, 0, 0] > 0).sum() + 1],
    ):
        require_row_wise("Net", network, [X])
    require_row_wise("Net", lambda x, edges: x.softmax(0), [X, torch.zeros(2, 9)])


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (attention(), "another answer for row 0 .* alone .* than beside others .*batch_first=True"),
        (lambda x: nn.LSTM(3, 2)(x)[0], "batch_first=True"),
        (nn.BatchNorm1d(4, track_running_stats=False).eval(), "track_running_stats"),
        (lambda x: {"a": x, "b": x - x.mean(0)}, "another answer in 'b' for row 0"),
        (lambda x: x.sum((1, 2), keepdim=True).squeeze(), r"gives \[\] for one row, and must give \[1\].*squeeze\(-1\)"),
        (lambda x: x.sum(2).squeeze().reshape(x.shape[0] // 2, -1)[[0] * 5], "fails for one alone"),
    ],
)  # fmt: skip
def test_rows_that_change_each_others_answers_are_an_error(network, words):
    """The usual causes: layers that take the first dimension for time, statistics of the batch, `squeeze()`."""
    torch.manual_seed(0)
    with pytest.raises(TrainingError, match=words):
        require_row_wise("Net", network, [X])


@pytest.mark.slow
def test_a_part_that_mixes_rows_may_begin_at_zero(stored):
    """The untrained network passes; the trained one is refused before it is logged, without and with names of inputs."""
    for network in ("Mixing", "MixingByName"):
        stored.configure(
            model={"implementation": f"toy_training:{network}", "params": {}},
            train={"max_epochs": 1},
        )
        settings, dataset = written(stored)
        with pytest.raises(TrainingError, match=f"{network}.forward gives another answer for row 0"):
            wrappers.from_settings(settings).train(dataset, settings)


def test_rounding_of_large_answers_is_no_other_answer():
    """Near zero, beside an answer of a million."""
    answers = torch.tensor([1e6, 0.001, 1.0, 2.0, 3.0])

    def network(x):
        return answers[x[:, 0, 0].long()] + (0.01 if len(x) == 1 else 0)

    rows = torch.arange(5.0).reshape(5, 1, 1)
    require_row_wise("Net", network, [rows], trained=True)
    with pytest.raises(TrainingError, match="another answer for row 1"):
        require_row_wise("Net", network, [rows])
