"""The champion: the version at Production, asked on the rows that a new model is judged on."""

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops_lib.columns.schema import Schema
from mlops_lib.errors import ConversationError, MlopsError
from mlops_lib.evaluation.judged import Champion
from mlops_lib.llm.accounting.ledger import Ledger
from mlops_lib.loaders.base import BaseDataLoader, Split
from mlops_lib.redact import mask
from mlops_lib.registry import MODEL_DIGEST_TAG, ModelVersion, Registry
from mlops_lib.settings import Settings
from mlops_lib.wording import listed
from mlops_lib.wrappers.load import load

if TYPE_CHECKING:
    from mlops_lib.wrappers.interface import ModelWrapper

STAGE = "Production"


def find(config: Settings, name: str = "") -> ModelVersion | None:
    """The version of `name` (empty: ``model.name``) at Production; None if there is none.

    Raises:
        RegistryError: The registry cannot be asked.
    """
    return Registry(config).at_stage(name or config.model.name, STAGE)


def ask(
    version: ModelVersion,
    data_loader: BaseDataLoader,
    config: Settings,
    split: Split,
    challenger_run_id: str = "",
    ledger: Ledger | None = None,
) -> Champion:
    """Load a version and ask it on the rows of a split. A failure of any kind becomes `Champion.problem`.

    Args:
        version: The version at Production.
        data_loader, config, split: As for the evaluation of the challenger.
        challenger_run_id: Run of the challenger, which is not asked when it is the champion itself.
            LLM calls of a comparison are recorded there.
        ledger: LLM calls that the challenger's evaluation made, which count in the same limits.
    """
    known = Champion(version.name, version.version, version.run_id, version.tags.get(MODEL_DIGEST_TAG, ""))
    if challenger_run_id and challenger_run_id == version.run_id:
        return known  # the gate says so
    try:
        model = load(version.uri, config.model.wrapper)
        if problem := _mismatch(model, data_loader.schema, config):
            return replace(known, problem=f"{problem} {_way_out(config, version.name)}")
        rows, note = model.judged_rows(data_loader, config, split, challenger_run_id, ledger)
    except ConversationError as error:
        return replace(known, problem=f"{error} {_way_out(config, version.name)}")
    except MlopsError as error:
        return replace(known, problem=mask(str(error)))
    except (Exception, SystemExit) as error:  # the model's own code may do anything
        return replace(known, problem=mask(f"it failed with {type(error).__name__}: {error}"))
    return replace(known, rows=rows, note=note)


def _way_out(config: Settings, name: str) -> str:
    """The remedy for two models that no data can compare."""
    command = config.command("promote", name, "VERSION", "--force", "--reason", "TEXT")
    return (
        "A run with evaluation.gate.champion: false registers the new model without a comparison; then a person can "
        f"move it to Production with: {command}"
    )


def _mismatch(model: "ModelWrapper", schema: Schema, config: Settings) -> str:
    """Why a model cannot be asked on these rows, from the facts that it carries;
    "" if none speaks against it."""
    task, columns = config.evaluation.task, model.columns
    if columns and columns.labels and columns.labels != schema.labels:
        return f"it predicts {listed(map(repr, columns.labels))}, and the new model {listed(map(repr, schema.labels))}."
    if lacking := [name for name in model.features_of(schema) if name not in schema.used]:
        if config.data.features and not set(lacking) & set(config.data.features):
            return f"it takes columns that data.features leaves out: {listed(map(repr, lacking))}."
        return f"it takes columns that the data no longer has: {listed(map(repr, lacking))}."
    if task == "classification" and model.classes and schema.classes:
        if set(model.classes) != set(schema.classes):
            return f"it knows the classes {listed(map(repr, model.classes))}, and the data has {listed(map(repr, schema.classes))}."
    elif task == "classification" and columns and schema.classes:
        return "it predicts numbers, and the new model classes."
    elif task != "classification" and model.classes:
        return f"it predicts the classes {listed(map(repr, model.classes))}, and evaluation.task is {task}."
    return ""
