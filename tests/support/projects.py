"""A user's project in a temporary folder, and what a test may find in one."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml

from mlops_lib import config, loaders
from mlops_lib.loaders.base import BaseDataLoader
from mlops_lib.settings import Settings
from tests.support import forks
from tests.support.warm import start

if TYPE_CHECKING:
    from mlops_lib.evaluation.report import EvaluationReport

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Project:
    """A folder like a user's clone: config.yaml, notebooks, the example's code, and a slice of its data."""

    root: Path

    @property
    def config_file(self) -> Path:
        return self.root / "config.yaml"

    def settings(self, **overrides: Any) -> Settings:
        """Resolved settings; dotted keys with ``__`` for the dot."""
        return config.load(self.config_file, {k.replace("__", "."): v for k, v in overrides.items()})

    def configure(self, **sections: dict[str, Any]) -> "Project":
        """Merge sections into config.yaml."""
        content = yaml.safe_load(self.config_file.read_text())
        for name, section in sections.items():
            content[name] = {**content.get(name, {}), **section}
        self.config_file.write_text(yaml.safe_dump(content, sort_keys=False))
        return self

    def mlops(
        self, *arguments: str, timeout_s: int = 900, warm: bool = False, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line in the project's folder. The steps of a run start from the fork server of the tests.

        Args:
            warm: Start a fork that has the packages imported instead of a new process, see `tests.support.warm`.
        """
        started = forks.environment() if {"run", "reproduce"} & set(arguments) else {}
        variables = {**os.environ, **started, "COLUMNS": "200", **environment}
        if not warm:
            command = [str(BIN / "mlops"), *arguments]
            return subprocess.run(
                command, cwd=self.root, env=variables, capture_output=True, text=True, timeout=timeout_s, check=False
            )  # fmt: skip
        command = ["mlops", *arguments]
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as error:
            process = start(command, self.root, variables, out.fileno(), error.fileno())
            try:
                status = process.wait(timeout_s)
            except BaseException:
                process.kill()
                raise
            printed = [file.seek(0) or file.read() for file in (out, error)]
        return subprocess.CompletedProcess(command, status, *printed)

    def copy(self, target: Path) -> "Project":
        """A copy to change freely; models stay where they are, since MLflow knows them by absolute paths."""
        shutil.copytree(self.root, target)
        return Project(target)


def written(project: Project, **settings: Any) -> tuple[Settings, BaseDataLoader]:
    """Settings of a project, and its prepared dataset."""
    resolved = project.settings(**settings)
    loaders.from_settings(resolved).write(loaders.prepared_folder(resolved))
    return resolved, loaders.prepared(resolved)


def evaluated(project: Project, splits: Mapping[str, pd.DataFrame]) -> "EvaluationReport":
    """The report of a project's model, which is trained and evaluated on these splits."""
    from mlops_lib import wrappers
    from mlops_lib.data_checks import declared

    folder = project.root / "splits"
    folder.mkdir()
    for name, rows in splits.items():
        rows.to_parquet(folder / f"{name}.parquet", index=False)
    settings = project.configure(
        data={"loader": "local", "source": "splits", "prepare": "", "checks": {}}
    ).settings()
    declared.write(settings, loaders.from_settings(settings), loaders.prepared_folder(settings))
    dataset = loaders.prepared(settings)
    model = wrappers.from_settings(settings)
    model.train(dataset, settings)
    return model.evaluate(dataset, settings)


@dataclass(frozen=True)
class Trained:
    """A project with one model: trained, evaluated, registered at Staging. Copy it before changing it."""

    project: Project
    run_id: str
    version: int


@dataclass(frozen=True)
class PipelineRun:
    """One `mlops run`, and the project it ran in."""

    project: Project
    result: subprocess.CompletedProcess[str]
