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
from mlops_lib.network_inputs.outputs import ONLY
from mlops_lib.network_inputs.spec import Inputs
from mlops_lib.wrappers.network.double import MAX_IMAGE_VALUES, MAX_PARAMETERS
from mlops_lib.wrappers.network.recurrent import any_length

#: Sizes of the batches with which an exported network is compared,
#: and the most items of their sequences (None: all).
CHECKED: tuple[tuple[int, int | None], ...] = ((1, 1), (2, 2), (3, 3), (17, None))
#: Difference of two answers that comes from rounding.
RTOL, ATOL = 1e-4, 1e-5


def call_in_double(network: nn.Module, encoder: InputEncoder, example: Sequence[np.ndarray]) -> NetworkCall:
    """The network in float64, so that a row's answer does not depend on the size of its batch.

    In float32 if it is large or takes large images, or if its code works in float32 alone.
    """
    plain = NetworkCall(network, encoder.inputs)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    if parameters > MAX_PARAMETERS or encoder.image_values > MAX_IMAGE_VALUES:
        return plain
    try:
        double = NetworkCall(copy.deepcopy(network).double(), encoder.inputs, double=True).eval()
        with torch.inference_mode():
            given = tensors_of(encoder, example)
            torch.testing.assert_close(
                double(*given), plain(*given), rtol=1e-3, atol=1e-4, equal_nan=True, check_dtype=False
            )
    except Exception:  # they differ, or the code of a user's network raises
        return plain
    return double


def require_answer(call: NetworkCall, encoder: InputEncoder, example: Sequence[np.ndarray]) -> list[str]:
    """Check that the network takes its inputs, and gives tensors with a row for each row.

    Returns:
        The names of its outputs; none for one tensor.

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
    if isinstance(answer, list):
        return _require_item_a_row(name, answer, rows, encoder.inputs)
    found = answer if isinstance(answer, Mapping) else {ONLY: answer}
    for key, one in found.items():
        if not isinstance(one, Tensor) or not one.ndim or len(one) != rows:
            raise TrainingError(
                f"{name}.forward gives {_form(one)}{f' as {key!r}' if key else ''} for {rows} rows, and must give one tensor "
                f"[{rows}, ...], or a dict or tuple of such. Compute what only the loss needs in a method of its own."
            )
    return [key for key in found if key]


def _require_item_a_row(name: str, answer: Sequence[Any], rows: int, inputs: Inputs) -> list[str]:
    """Check a list with a dict of tensors for each row, as detectors give it."""
    names = list(answer[0]) if answer and isinstance(answer[0], Mapping) else []
    alike = all(isinstance(one, Mapping) and list(one) == names for one in answer)
    if (
        not names
        or not alike
        or len(answer) != rows
        or not all(isinstance(t, Tensor) for t in answer[0].values())
    ):
        raise TrainingError(
            f"{name}.forward gives a list of {len(answer)} items, such as {_form(answer[0]) if answer else 'none'}, for "
            f"{rows} rows. A list must have a dict of tensors for each row, all with the same keys."
        )
    if inputs.format != "pickle":
        raise TrainingError(
            f"{name}.forward gives a list with a dict for each row, which no graph can hold. Give a dict of tensors "
            f"[{rows}, ...], padded to one number of items; or set model.format: pickle."
        )
    return names


def _form(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype} of shape {list(value.shape)}".removeprefix("torch.")
    if isinstance(value, Mapping):
        return f"a dict of {', '.join(map(repr, value))}"
    return f"a {type(value).__name__}"


def exported(call: NetworkCall, encoder: InputEncoder, example: Sequence[np.ndarray]) -> Any:
    """The graph of `torch.export`, for batches and sequences of any size.

    Raises:
        TrainingError: The network cannot be exported, or only for one size.
    """
    given = list(of_unlike_sizes(encoder, example))
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
            given = tuple(of_unlike_sizes(encoder, example))
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
    beside = answers(call, encoder, prepared, extra=3)
    pairs = zip(_by_name(alone).values(), _by_name(beside).values(), strict=True)
    return not all(_same(*pair) for pair in pairs)


def _by_name(found: np.ndarray | dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return found if isinstance(found, dict) else {ONLY: found}


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two answers are equal; answers of unlike sizes are not."""
    if one.dtype == object or one.shape != other.shape:
        return False
    return np.allclose(one, other, rtol=RTOL, atol=ATOL, equal_nan=True)


def described(inputs: Inputs) -> str:
    """The inputs for people."""
    return "Its inputs are " + "; ".join(map(str, inputs.specs)) + "."


def of_unlike_sizes(encoder: InputEncoder, example: Sequence[np.ndarray]) -> Iterator[Tensor]:
    """Tensors whose free sizes differ from each other and from the rows:
    torch.export takes equal sizes for one."""
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
        given = tensors_of(encoder, [cut(one[chosen], most) for one in example])
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


def cut(prepared: np.ndarray, most: int | None) -> np.ndarray:
    """Sequences with at most so many items; anything else, such as rows for a collate function, as it is."""
    if prepared.dtype != object:
        return prepared
    made = np.empty(len(prepared), dtype=object)
    for row, items in enumerate(prepared):
        made[row] = items[:most] if isinstance(items, np.ndarray) else items
    return made


def _column_of(encoder: InputEncoder, name: str) -> str:
    return next(spec.columns[0] for spec in encoder.inputs.specs if spec.name == name)
