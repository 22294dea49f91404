"""A logged model that carries ``data.prepare``, and so takes rows of the source. See docs/decisions/0110."""

import importlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_lib import plugins
from mlops_lib.columns.encode import BadValue
from mlops_lib.columns.source_rows import SourceRows
from mlops_lib.errors import InputError, ModelError, TrainingError
from mlops_lib.loaders import served_rows
from mlops_lib.loaders.base import BaseDataLoader
from mlops_lib.settings import Settings
from mlops_lib.wrappers.code.carried_code import carried_code
from mlops_lib.wrappers.code.data_beside import data_of
from mlops_lib.wrappers.code.own_code import Needs, require_portable
from mlops_lib.wrappers.inputs import RefusedValue
from mlops_lib.wrappers.interface import SOURCE_KEY, ModelWrapper

#: Folder of a logged model that has the file, and the file.
FOLDER, FILE = "data/table", "source_rows.json"


@dataclass(frozen=True)
class Preparation:
    """``data.prepare`` on its way into a logged model.

    Attributes:
        rows: How a row of the source becomes the features.
        needs: The modules that it imports.
        data: Data files that they read from their folders -> the folder that the modules are imported from.
    """

    rows: SourceRows
    needs: Needs
    data: dict[Path, Path]

    @classmethod
    def of(cls, data_loader: BaseDataLoader, config: Settings) -> "Preparation | None":
        """What the model of a dataset carries; None where a request has the prepared columns.

        Raises:
            TrainingError: The dataset was prepared with other settings, or the code cannot travel.
        """
        if config.data.served_rows == "prepared":
            return None
        rows = data_loader.source_rows
        if rows is None or rows.prepare != config.data.prepare:
            raise TrainingError(
                "data.served_rows is raw, and the dataset was prepared without it or with another data.prepare. Run "
                "01_get_data again."
            )
        if rows.code_sha256 not in ("", served_rows.code_sha256(rows.prepare, config.root)):
            raise TrainingError(
                f"data.prepare ({rows.prepare}) or a module that it imports was edited since 01_get_data ran. Run 01_get_data "
                "again."
            )
        if rows.made and rows.features_of_example(plugins.load("prepare", rows.prepare)) != list(rows.made):
            raise TrainingError(
                f"data.prepare ({rows.prepare}) makes other features than when 01_get_data ran. Run 01_get_data again."
            )
        needs = Needs({"pandas", rows.prepare.partition(":")[0]}, config.root)
        needs.require_portable()
        data = data_of(needs.imported, config.root, needs.own)
        require_portable(data, "the data files beside the modules of data.prepare")
        return cls(rows, needs, data)

    @property
    def metadata(self) -> dict[str, Any]:
        """What a service reads without importing the code."""
        return {SOURCE_KEY: self.rows.schema.to_dict()}

    def copy_code(self, folder: Path, others: Sequence[str] = ()) -> list[str]:
        """Copy modules and data into a folder, beside the `others` that the model needs; return MLflow's ``code_paths``."""
        for path in map(Path, others):  # of a package that both need, each has a part
            if path.is_dir():
                shutil.copytree(path, folder / path.name, dirs_exist_ok=True)
            else:
                shutil.copyfile(path, folder / path.name)
        self.needs.copy_into(folder)
        for file, base in self.data.items():
            target = folder / file.relative_to(base)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        return [str(path) for path in sorted(folder.iterdir())]

    def write(self, folder: Path) -> None:
        """Write the file that `PreparingModel` and the model's pyfunc read."""
        text = json.dumps(self.rows.to_dict(), ensure_ascii=False)
        (folder / FILE).write_text(text, encoding="utf-8")


class PreparingModel(ModelWrapper):
    """A model that runs ``data.prepare`` on the rows of the source and predicts from the result.

    It is judged on the prepared rows of a dataset, as any other model is.

    Args:
        model: The model of the prepared rows.

    Raises:
        ModelError: The code that it carries cannot be imported.
    """

    def __init__(self, model: ModelWrapper) -> None:
        self._model = model
        self.name, self.info, self.folder = model.name, model.info, model.folder
        self.open(model.folder)

    def fit(self, data_loader: BaseDataLoader, config: Settings, run_id: str) -> str:
        return self._model.fit(data_loader, config, run_id)

    def open(self, folder: Path) -> None:
        file = folder / FOLDER / FILE
        self._rows = SourceRows.from_dict(json.loads(file.read_text(encoding="utf-8")))
        module, _, function = self._rows.prepare.partition(":")
        try:
            with carried_code(folder):
                self._prepare = getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError) as error:
            raise ModelError(
                f"Cannot import data.prepare ({self._rows.prepare}) of {folder}: {error}"
            ) from error

    def answers(self, rows: Any, config: Settings, scripts: Sequence[Any] = ()) -> Any:
        return self._model.answers(rows, config, scripts)

    def predict(self, input_data: Any) -> Any:
        try:
            rows = self._rows.prepared(self._prepare, input_data)
        except BadValue as error:
            raise RefusedValue.of(error) from None
        except ValueError as error:
            raise InputError(f"data.prepare ({self._rows.prepare}) refuses the rows: {error}") from error
        return self._model.predict(rows)


def with_prepare(model: ModelWrapper) -> ModelWrapper:
    """The model, or if it carries ``data.prepare``, a model that runs it first."""
    carries = model.info and SOURCE_KEY in (model.info.metadata or {})
    return PreparingModel(model) if carries else model
