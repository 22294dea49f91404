"""``mlops serve`` and ``mlops key``: the service from the command line."""

import os
import socket
import sys
from typing import Annotated

import typer

from mlops_lib import config
from mlops_lib.cli.display import ConfigOption, err
from mlops_lib.errors import MlopsError

#: Time for a worker to answer uvicorn, which kills it otherwise.
#: Loading a model may hold Python's lock for long.
HEALTHCHECK_S = 60


def serve(
    model: Annotated[
        str,
        typer.Argument(
            help="Address of a registered model: models:/name@alias, models:/name/3 or models:/name/Production. "
            "Default: the model and stage of the configuration."
        ),
    ] = "",
    config_file: ConfigOption = None,
    host: Annotated[str, typer.Option(help="Address to bind; default: serving.host.")] = "",
    port: Annotated[
        int, typer.Option(min=-1, max=65535, help="Port; 0 takes a free one; -1: serving.port.")
    ] = -1,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0: serving.workers.")] = 0,
) -> None:
    """Serve a registered model over HTTP, and follow its stage or alias.

    [dim]Example:[/] MLFLOW_MODEL_STAGE=Staging mlops serve --port 8081 --workers 2

    [dim]Any registry's model, without a config.yaml:[/]

    MLFLOW_TRACKING_URI=http://mlflow:5000 mlops serve models:/churn@champion

    mlops serve "models:/my model/3" --port 0
    """
    import uvicorn

    if model:
        os.environ[config.SERVED_ENV] = model  # for the workers too
    loaded = config.load_for_service(
        config_file,
        {
            "serving.host": host,
            "serving.port": None if port < 0 else port,
            "serving.workers": workers or None,
        },
    )
    if loaded.file.exists():
        os.environ[config.CONFIG_ENV] = str(loaded.file)
    # Worker processes get this path: a serving.py of the project must not be found in place of the service.
    sys.path[:] = [entry for entry in sys.path if entry != str(loaded.file.parent)]
    serving = loaded.settings.serving
    _require_free(serving.host, serving.port)
    uvicorn.run(
        "serving.main:app",
        host=serving.host,
        port=serving.port,
        workers=serving.workers,
        timeout_worker_healthcheck=HEALTHCHECK_S,
        server_header=False,  # it would help an attacker to find known weaknesses
    )


def key(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    admin: Annotated[bool, typer.Option("--admin", help="It also opens the admin routes.")] = False,
) -> None:
    """Make an API key, and its line for the file that serving.api_keys names.

    [dim]Example:[/] mlops key shop >> keys.yaml
    """
    from serving.web.api_keys import make

    secret, line = make(name, admin)
    err.print(f"The key, shown this once: {secret}", soft_wrap=True)
    typer.echo(line)


def _require_free(host: str, port: int) -> None:
    """Raise for an address that is taken; uvicorn's own message has an error number and no advice."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise MlopsError(
                f"Cannot listen at {host}, port {port}: {error.strerror}. Take another with --port (0: any free one)."
            ) from None
