"""A loaded `torch.export` graph as one native call.

A graph of `torch.export` is run by Python, one call for each operator. Each call releases the interpreter's
lock and has to get it back. In a server, whose event loop needs the same lock, that costs more than the
arithmetic. A graph frozen into TorchScript is one call, which releases the lock once (measured with 13
operators and one row: 92 us as loaded, 14 us frozen). TorchScript is deprecated but works; if freezing fails,
the graph stays as it is.
"""

import logging
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

#: Sizes of the batches on which both must agree. They differ, to find a size that tracing has fixed.
CHECKED_ROWS = (1, 2, 5, 17)


def freeze(module: "torch.nn.Module", *example: "torch.Tensor") -> Any:
    """`module` as one native call, or `module` itself if the two do not agree.

    Args:
        module: Result of `torch.export.load(...).module()`, with a forward of tensors.
        example: The tensors [rows, ...], at least one row.
    """
    import torch

    if not _plain(module):
        return module
    batches = [tuple(one[torch.arange(rows) % len(one)] for one in example) for rows in CHECKED_ROWS]
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # that TorchScript is deprecated
            wanted = [module(*batch) for batch in batches]
            # The hooks check shapes in Python, which cannot be traced. The server's schema does so too.
            module._forward_pre_hooks.clear()
            frozen = torch.jit.freeze(torch.jit.trace(module, batches[-1], check_trace=False).eval())
            # Twice, because the second call may be optimised.
            for batch, answer in [*zip(batches, wanted, strict=True)] * 2:
                torch.testing.assert_close(frozen(*batch), answer, equal_nan=True)
    except Exception as error:  # a model's operators may raise anything
        log.info("the model is not frozen and stays a torch.export graph: %s", error)
        return module
    return frozen


def _plain(module: Any) -> bool:
    """Whether the graph has only operators. Tracing would keep one branch of a `torch.cond` only."""
    import torch

    graph = getattr(module, "graph", None)
    return graph is not None and all(
        isinstance(node.target, torch._ops.OpOverload) for node in graph.nodes if node.op == "call_function"
    )
