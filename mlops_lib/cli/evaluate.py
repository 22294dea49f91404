"""``mlops evaluate``: judge a trained model again."""

from typing import Annotated

import typer

from mlops_lib import config
from mlops_lib.cli.display import ConfigOption, out, show_report


def evaluate(
    config_file: ConfigOption = None,
    run_id: Annotated[str, typer.Option(help="Run of the model; default: the latest trained one.")] = "",
    replay: Annotated[
        str, typer.Option(help="Reproduce this run's evaluation from its recorded LLM calls; logs nothing.")
    ] = "",
) -> None:
    """Judge a trained model on the test split of the configured data and show its scores.

    [dim]Example:[/] mlops evaluate --replay 3f2a...
    """
    from mlops_lib import loaders, tracking, wrappers
    from mlops_lib.data_checks import declared

    settings = config.load(config_file, {"evaluation.replay": replay})
    tracking.connect(settings)
    run_id = replay or run_id or tracking.latest_run(settings, "train-model")
    out.print(f"{settings.model.name}, {tracking.describe_run(settings, run_id)}", soft_wrap=True)
    model = wrappers.load(wrappers.uri_of_run(run_id), settings.model.wrapper)
    folder = loaders.prepared_folder(settings)
    declared.write(settings, loaders.from_settings(settings), folder)
    show_report(model.evaluate(loaders.prepared(settings, folder), settings))
