"""A network whose answer for a row depends on the rows beside it is an error before the training."""

import pytest
import torch
from torch import nn

from mlops_lib.errors import TrainingError
from mlops_lib.wrappers.network.row_wise import require_row_wise

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
