"""Checks of a network with inputs by name, before and after training, and its conversion to a graph."""

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mlops_lib.errors import TrainingError
from mlops_lib.network_inputs.call import NetworkCall, answers, tensors_of
from mlops_lib.network_inputs.encode import InputEncoder
from mlops_lib.network_inputs.spec import Inputs
from mlops_lib.wrappers.network.double import MAX_PARAMETERS
from mlops_lib.wrappers.network.recurrent import any_length

#: Sizes of the batches with which an exported network is compared, and the most items of their sequences (None: all).
CHECKED: tuple[tuple[int, int | None], ...] = ((1, 1), (2, 2), (3, 3), (17, None))
#: Difference of two answers that comes from rounding.
RTOL, ATOL = 1e-4, 1e-5


def call_in_double(network: nn.Module, encoder: InputEncoder, example: Sequence[np.ndarray]) -> NetworkCall:
    """The network in float64, so that a row's answer does not depend on the size of its batch.

    In float32 if it is large, or if its code works in float32 alone.
    """
    plain = NetworkCall(network, encoder.inputs)
    if sum(parameter.numel() for parameter in network.parameters()) > MAX_PARAMETERS:
        return plain
    try:
        double = NetworkCall(copy.deepcopy(network).double(), encoder.inputs, double=True).eval()
        with torch.inference_mode():
            given = tensors_of(encoder, example)
            same = torch.allclose(plain(*given), double(*given), rtol=1e-3, atol=1e-4, equal_nan=True)
    except Exception:  # the code of a user's network may raise anything
        return plain
    return double if same else plain


def require_answer(call: NetworkCall, encoder: InputEncoder, example: Sequence[np.ndarray]) -> None:
    """Check that the network takes its inputs and gives one tensor with a row for each row.

    Raises:
        TrainingError: It raises, or gives something else.
    """
    name, rows = type(call.network).__name__, len(example[0])
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer: Any = call(*tensors_of(encoder, example))
    except Exception as error:  # a user's code may raise anything
        raise TrainingError(
            f"{name}.forward fails on the first {rows} rows: {type(error).__name__}: {error}\n{described(encoder.inputs)} "
            "Where it takes another type or shape, set dtype or shape in model.inputs."
        ) from error
    found = f"a {type(answer).__name__}"
    if isinstance(answer, Mapping):
        found = f"a dict of {', '.join(map(repr, answer))}"
    if isinstance(answer, Tensor):
        if answer.ndim and len(answer) == rows:
            return
        found = f"{answer.dtype} of shape {list(answer.shape)}".removeprefix("torch.")
    raise TrainingError(
        f"{name}.forward gives {found} for {rows} rows, and predictions are one tensor [{rows}, ...]. Let forward "
        "return the prediction alone, and compute what only the loss needs in a method of its own."
    )


def exported(call: NetworkCall, encoder: InputEncoder, example: Sequence[np.ndarray]) -> Any:
    """The graph of `torch.export`, for batches and sequences of any size.

    Raises:
        TrainingError: The network cannot be exported, or only for one size.
    """
    given = list(_of_unlike_sizes(encoder, example))
    auto = torch.export.Dim.AUTO
    sizes = tuple(
        {0: auto, **{at: auto for at, size in enumerate(spec.shape, start=1) if size is None}}
        for spec in encoder.inputs.specs
    )
    first: TrainingError | None = None
    for strict in (False, True):  # a strict export is slower, and follows len(x)
        try:
            return _exported(call, encoder, example, tuple(given), sizes, strict)
        except TrainingError as error:
            first = first or error
    assert first
    raise first


def _exported(
    call: NetworkCall,
    encoder: InputEncoder,
    example: Sequence[np.ndarray],
    given: tuple[Tensor, ...],
    sizes: Any,
    strict: bool,
) -> Any:
    name = type(call.network).__name__
    try:
        with warnings.catch_warnings(), any_length():
            warnings.simplefilter("ignore")
            program = torch.export.export(call.eval(), given, dynamic_shapes=(sizes,), strict=strict)
    except Exception as error:  # torch.export raises whatever the traced code raises
        raise TrainingError(
            f"{name}.forward cannot be traced by torch.export, so the trained model could not be logged: {error}\n"
            "Make forward free of Python branches on tensor values, or set model.format: script or pickle.\n"
            f"{described(encoder.inputs)}"
        ) from error
    _require_any_size(name, call, program.module(), encoder, example)
    return program


def scripted(call: NetworkCall, encoder: InputEncoder, example: Sequence[np.ndarray]) -> Any:
    """The TorchScript of the network, traced with an example, for batches and sequences of any size.

    Raises:
        TrainingError: The network cannot be traced, or only for one size.
    """
    # Without it, a LightningModule raises, since it has no trainer.
    from lightning.pytorch.core.module import _jit_is_scripting

    name = type(call.network).__name__
    try:
        with warnings.catch_warnings(), torch.inference_mode(), _jit_is_scripting():
            warnings.simplefilter("ignore")
            given = tuple(_of_unlike_sizes(encoder, example))
            script = torch.jit.trace(call.eval(), given, check_trace=False)
    except Exception as error:  # the code of a user's network may raise anything
        raise TrainingError(
            f"{name}.forward cannot be traced as TorchScript, so the trained model could not be logged: {error}\n"
            f"Set model.format: pickle.\n{described(encoder.inputs)}"
        ) from error
    _require_any_size(name, call, script, encoder, example)
    return script


def depends_on_padding(call: NetworkCall, encoder: InputEncoder, prepared: Sequence[np.ndarray]) -> bool:
    """Whether a row's answer changes when a longer sequence is beside it."""
    if not encoder.has_free_sizes:
        return False
    alone = answers(call, encoder.with_inputs(by_length=True), prepared)
    with torch.inference_mode():
        beside = call(*tensors_of(encoder, prepared, extra=3)).numpy()
    return not np.allclose(alone, beside, rtol=RTOL, atol=ATOL, equal_nan=True)


def described(inputs: Inputs) -> str:
    """The inputs for people."""
    return "Its inputs are " + "; ".join(map(str, inputs.specs)) + "."


def _of_unlike_sizes(encoder: InputEncoder, example: Sequence[np.ndarray]) -> Iterator[Tensor]:
    """Tensors whose free sizes differ from each other and from the rows: torch.export takes equal sizes for one."""
    taken = {1, len(example[0])}
    longest: dict[str, int] = {}
    for spec, one in zip(encoder.inputs.specs, tensors_of(encoder, example), strict=True):
        if not spec.is_free or spec.form == "collated":
            yield one
            continue
        name = spec.of or spec.name
        if name not in longest:
            longest[name] = next(size for size in range(one.shape[1], 10**9) if size not in taken)
            taken.add(longest[name])
        more = one.new_zeros((one.shape[0], longest[name] - one.shape[1], *one.shape[2:]))
        yield torch.cat([one, more], 1)


def _require_any_size(
    name: str, call: NetworkCall, graph: nn.Module, encoder: InputEncoder, example: Sequence[np.ndarray]
) -> None:
    for rows, most in CHECKED:
        chosen = np.arange(rows) % len(example[0])
        given = tensors_of(encoder, [_cut(one[chosen], most) for one in example])
        try:
            with torch.inference_mode():
                torch.testing.assert_close(graph(*given), call(*given), rtol=RTOL, atol=ATOL, equal_nan=True)
        except Exception as error:  # a guard on a size, or another result
            shapes = ", ".join(str(list(one.shape)) for one in given)
            free = next((spec.name for spec in encoder.inputs.specs if spec.is_free), "")
            remedy = "Use no size of the example in forward, as in x.view(5, -1), and x.shape[0] instead of len(x)."
            if free and not encoder.inputs.collate:
                remedy = (
                    "Some layers are exported for one length only. Set the most items that count in "
                    f"config.yaml, such as model.inputs: {{{free}: {{column: {_column_of(encoder, free)}, length: 50}}}}; or set model.format: script."
                )
            raise TrainingError(
                f"{name}.forward, as exported by torch.export, does not give the network's answer for inputs of shape "
                f"{shapes}: {str(error).strip().splitlines()[0]}\n{remedy}\n{described(encoder.inputs)}"
            ) from error


def _cut(prepared: np.ndarray, most: int | None) -> np.ndarray:
    """Sequences with at most so many items; anything else, such as rows for a collate function, as it is."""
    if prepared.dtype != object:
        return prepared
    made = np.empty(len(prepared), dtype=object)
    for row, items in enumerate(prepared):
        made[row] = items[:most] if isinstance(items, np.ndarray) else items
    return made


def _column_of(encoder: InputEncoder, name: str) -> str:
    return next(spec.columns[0] for spec in encoder.inputs.specs if spec.name == name)
