"""``mlops config`` and ``ui``: see the settings of a project, look at its runs."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from mlops_lib import config
from mlops_lib.cli.display import ConfigOption, out, show
from mlops_lib.errors import MlopsError
from mlops_lib.redact import mask


def show_config(
    config_file: ConfigOption = None,
    get: Annotated[str, typer.Option(help="Print the value of this one setting, for scripts.")] = "",
) -> None:
    """Show every resolved setting and where it came from; secrets are masked.

    [dim]Example:[/] MLFLOW_MODEL_STAGE=Staging mlops config
    """
    loaded = config.load_with_origins(config_file)
    if get:
        values = config.flat(loaded.settings)
        if get not in values:
            raise MlopsError(f"No setting {get!r}. Settings: {', '.join(values)}.")
        typer.echo(values[get])
        return
    table = Table("setting", "from", "value", box=None, pad_edge=False)
    for key, value in config.flat(loaded.settings).items():
        origin = loaded.origins.get(key, "default")
        origin = Path(origin).name if origin == str(loaded.file) else origin
        shown = mask(_short(value))
        # The value is last, so that a long one pads no line.
        table.add_row(key, origin, shown, style="dim" if origin == "default" else None)
    show(table)
    out.print(f"[dim]{loaded.file}[/]", soft_wrap=True)


def _short(value: Any) -> str:
    """A value as config.yaml would have it: sections in it with what was set, an empty one as nothing."""
    if hasattr(value, "model_dump"):
        value = value.model_dump(exclude_defaults=True)
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {{{_short(inner)}}}" if isinstance(inner, Mapping) or hasattr(inner, "model_dump")
                         else f"{name}: {_short(inner)}" for name, inner in value.items())  # fmt: skip
    if isinstance(value, tuple | list):
        return ", ".join(map(_short, value))
    return str(value)


def ui(
    config_file: ConfigOption = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 5000,
) -> None:
    """Open MLflow's pages on the project's runs and models; Ctrl-C ends them.

    [dim]Example:[/] mlops ui --port 5001
    """
    from mlops_lib import tracking

    uri = tracking.tracking_uri(config.load(config_file))
    if uri.startswith("http"):
        out.print(f"The runs are on a server already: {mask(uri)}", soft_wrap=True)
        return
    # Workers for LLM jobs that this platform never starts.
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    os.environ["MLFLOW_BACKEND_STORE_URI"] = uri  # not an argument, which every user of the machine can read
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "ui", "--port", str(port), "--workers", "1"])
