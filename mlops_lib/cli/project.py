"""``mlops init``, ``config`` and ``ui``: begin a project, see its settings, look at its runs."""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

import mlops_lib
from mlops_lib import config
from mlops_lib.cli.display import ConfigOption, out, show
from mlops_lib.errors import ConfigError, MlopsError
from mlops_lib.redact import mask

#: The notebooks that each project gets a copy of: a link to notebooks/ in a checkout, a folder in a wheel.
NOTEBOOKS = Path(mlops_lib.__file__).parent / "template"
#: Task -> an estimator that accepts most tables unprepared, and a gate that a model better than guessing passes.
STARTS = {
    "classification": ("HistGradientBoostingClassifier", "metric: roc_auc\n  threshold: 0.6"),
    "regression": ("HistGradientBoostingRegressor", "metric: r2\n  threshold: 0.1"),
}
CONFIG = """\
# The settings of this project; `mlops config` shows every one there is. Paths start from this file's folder.

mlflow:
  experiment: {name}

data:
  source: {source}
  label: {label}  # column to predict
  key: {key}  # column that tells entities apart; decides the split, is no feature

model:
  name: {name}
  wrapper: sklearn  # or lightning, langgraph, llm, pyfunc, package.module:Class
  implementation: sklearn.ensemble:{estimator}
  params: {{}}

evaluation:
  task: {task}
  {gate}  # the score from which on a model is registered
"""


def init(
    folder: Annotated[Path, typer.Argument(help="Folder to make, or an existing one without config.yaml.")],
    source: Annotated[str, typer.Option(help="File or folder of Parquet, CSV or JSON.")],
    label: Annotated[str, typer.Option(help="Column to predict.")],
    key: Annotated[str, typer.Option(help="Column that tells entities apart, if there is one.")] = "",
    task: Annotated[str, typer.Option(help="classification or regression.")] = "classification",
) -> None:
    """Begin a project: a config.yaml that runs as it is, and copies of the notebooks.

    [dim]Example:[/] mlops init churn --source churn.csv --label churned --key customer
    """
    if task not in STARTS:
        raise ConfigError(f"--task is {task!r}. Begin with one of: {', '.join(STARTS)}.")
    file, name = folder / "config.yaml", folder.resolve().name
    if file.exists():
        raise ConfigError(f"{file} is there already. Choose another folder, or edit that file.")
    if "://" in source:
        raise ConfigError(
            "--source is an address. Begin with a file, then set data.loader: sql (docs/data.md)."
        )
    source = os.path.relpath(source, folder)
    estimator, gate = STARTS[task]
    given = {"name": name, "source": source, "label": label, "key": key}
    # Quoted: a label `no`, a folder `2024` and a file `a #1.csv` are texts.
    quoted = {field: json.dumps(value, ensure_ascii=False) for field, value in given.items()}
    with _whole_or_nothing(folder, folder / "notebooks", file):
        ignored = shutil.ignore_patterns(".*")
        shutil.copytree(NOTEBOOKS, folder / "notebooks", ignore=ignored, dirs_exist_ok=True)
        file.write_text(CONFIG.format(**quoted, task=task, estimator=estimator, gate=gate), encoding="utf-8")
        config.load(file)
    next_ = f"cd {shlex.quote(str(folder))} && mlops run"
    out.print(f"{file} and {folder / 'notebooks'} are made. Next: {next_}", soft_wrap=True)


@contextmanager
def _whole_or_nothing(*paths: Path) -> Iterator[None]:
    """When the block raises, remove each path that was not there before it."""
    new = [path for path in paths if not path.exists()]
    try:
        yield
    except BaseException:
        for path in new:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        raise


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
