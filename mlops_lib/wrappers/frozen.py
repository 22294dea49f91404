"""A loaded `torch.export` graph as one native call.

The graph that `torch.export` gives back is Python: a call for each operator, each of which lets go of the
interpreter's lock and must win it again. In a server, whose event loop wants the same lock, that costs more
than the arithmetic. Frozen into TorchScript it is one call that lets go once (measured, 13 operators, one
row: 92 us as loaded, 14 us frozen). TorchScript is deprecated but there; where it fails, the graph stays.
"""

import logging
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

#: Batches on which both must agree; of different sizes, so that a size that tracing baked in is found.
CHECKED_ROWS = (1, 2, 5, 17)


def freeze(module: "torch.nn.Module", example: "torch.Tensor") -> Any:
    """`module` as one native call, or `module` itself where that cannot be done faithfully.

    Args:
        module: What `torch.export.load(...).module()` gave; a forward of one tensor.
        example: float32 [rows, features], at least one row.
    """
    import torch

    if not _plain(module):
        return module
    batches = [example[torch.arange(rows) % len(example)] for rows in CHECKED_ROWS]
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # that TorchScript is deprecated
            wanted = [module(batch) for batch in batches]
            # The hooks check shapes in Python, which cannot be traced; the server's schema checks them too.
            module._forward_pre_hooks.clear()
            frozen = torch.jit.freeze(torch.jit.trace(module, (batches[-1],), check_trace=False).eval())
            for batch, answer in [*zip(batches, wanted, strict=True)] * 2:  # twice: it specialises itself
                torch.testing.assert_close(frozen(batch), answer, equal_nan=True)
    except Exception as error:  # tracing runs the model's operators, which raise what they like
        log.info("served as torch.export left it, not frozen: %s", error)
        return module
    return frozen


def _plain(module: Any) -> bool:
    """Whether the graph is operators alone: tracing would keep one branch of a `torch.cond`."""
    import torch

    graph = getattr(module, "graph", None)
    return graph is not None and all(
        isinstance(node.target, torch._ops.OpOverload) for node in graph.nodes if node.op == "call_function"
    )
