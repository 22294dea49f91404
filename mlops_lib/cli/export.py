"""``mlops export``: a registered network as a file for other runtimes."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from mlops_lib import config
from mlops_lib.cli.display import ConfigOption, out
from mlops_lib.errors import ModelError


def export(
    name: Annotated[str, typer.Argument(help="Name of the model in the registry.")],
    version: Annotated[int, typer.Argument(min=1, help="Version to export.")],
    format: Annotated[Literal["onnx"], typer.Option(help="Format of the file.")] = "onnx",
    output: Annotated[Path | None, typer.Option(help="The file; NAME-VERSION.onnx without it.")] = None,
    config_file: ConfigOption = None,
) -> None:
    """Write a network as an ONNX file, and compare its answers with the network's on the logged example rows.

    The file takes the network's tensors, of any number of rows; its metadata says how columns become tensors.

    [dim]Example:[/] mlops export repurchase 3 --format onnx
    """
    from mlops_lib import wrappers
    from mlops_lib.registry import Registry
    from mlops_lib.wrappers.lightning import PytorchLightningWrapper

    settings = config.load(config_file)
    found = Registry(settings).resolve(name, "", "", version)
    model = wrappers.load(found.uri)
    if not isinstance(model, PytorchLightningWrapper):
        raise ModelError(
            f"{name} version {version} is a model of the wrapper {model.name!r}: only networks become ONNX."
        )
    from mlops_lib.wrappers.network import onnx

    file = output or Path(f"{name}-{version}.{format}")
    done = onnx.export(model, file)
    out.print(
        f"{file}: the largest difference from the network is {done.difference:.2g}, on {done.rows} rows."
    )
    for kind, tensors in (("input", done.inputs), ("output", done.outputs)):
        for one in tensors:
            out.print(f"  {kind}  {one}", markup=False)
