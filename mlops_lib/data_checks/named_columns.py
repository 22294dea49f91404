"""Check that the columns which settings name are in the prepared data, before a model is trained."""

from mlops_lib import plugins
from mlops_lib.columns.schema import Schema
from mlops_lib.errors import DataError
from mlops_lib.evaluation.metrics import answers
from mlops_lib.evaluation.metrics.interface import chosen
from mlops_lib.evaluation.simulation.script import GOAL
from mlops_lib.evaluation.simulation.user import SimulatedUser
from mlops_lib.llm.prompt_fields import unclear_path
from mlops_lib.settings import Settings
from mlops_lib.wording import did_you_mean


def require_checked(settings: Settings, schema: Schema) -> None:
    """Check the columns that ``data.checks`` has rules for.

    Raises:
        DataError: The prepared data lacks some of them; says why and what to do for each.
    """
    checks = settings.data.checks
    named = [("data.checks.columns", name) for name in checks.columns]
    named += [("data.checks.unique", name) for name in checks.unique]
    lines = [
        f"{setting} names {name!r}, {_why(name, schema, settings)}"
        for setting, name in named
        if name not in schema.used
    ]
    if lines:
        raise DataError("\n".join(lines))


def require_slices(settings: Settings, schema: Schema) -> None:
    """Check the columns and functions that ``evaluation.gate.slices`` names.

    Raises:
        DataError: The prepared data has no such column; says why and what to do.
        PluginError: There is no such function.
    """
    for name in settings.evaluation.gate.slices:
        if name in schema.used:
            continue
        if not plugins.is_path(name):
            raise DataError(f"evaluation.gate.slices names {name!r}, {_why(name, schema, settings)}")
        plugins.load("slice", name)


def require_metrics(settings: Settings, schema: Schema) -> None:
    """Check that the data has the columns that the metrics and the simulated user need beside the label.

    Raises:
        DataError: It lacks some of them, or a prompt has one after a backslash; says what to do for each.
        PluginError: There is no such metric.
    """
    if settings.evaluation.task != "text":
        return
    for name in SimulatedUser.needed(settings):
        if name not in schema.references and (name == GOAL or name not in schema.features):
            raise DataError(
                f"The simulated user needs the column {name!r} of the reference. {_add(name, schema)} Or leave "
                "evaluation.simulated_user.model empty."
            )
    columns = [*schema.features, *schema.references]
    user = settings.evaluation.simulated_user
    if user.model and (unclear := unclear_path(user.prompt, columns)):
        raise DataError(f"evaluation.simulated_user.prompt has {unclear}")
    for metric in chosen(settings.evaluation.task, settings):
        rubric = settings.evaluation.rubrics.get(metric)
        if rubric and (unclear := unclear_path(rubric.prompt, columns)):
            raise DataError(f"evaluation.rubrics.{metric}.prompt has {unclear}")
        for name in answers.needed_columns(metric, settings):
            # A feature, which the model gets, may be shown to a judge; people's scores are no feature.
            is_feature = name in schema.features and not (rubric and name == rubric.people)
            if name not in schema.references and not is_feature:
                raise DataError(
                    f"The metric {metric} needs the column {name!r} of the reference. {_add(name, schema)} Or take "
                    f"{metric} out of {'evaluation.rubrics' if rubric else 'evaluation'}."
                )


def _add(name: str, schema: Schema) -> str:
    """How to add a column of the reference."""
    listed = ", ".join(schema.references) or "none"
    return f"Add it to the golden data, and its name to data.reference_columns, which has: {listed}."


def _why(name: str, schema: Schema, settings: Settings) -> str:
    column = next((one for one in schema.columns if one.name == name), None)
    if column is None:
        near = did_you_mean(name, schema.used)
        return f"which is no column of the prepared data.{near} It has: {', '.join(schema.used)}."
    if settings.data.columns.get(name) == "drop":
        return "which data.columns drops. Remove that entry, or do not name the column here."
    if settings.data.features:
        return "which data.features leaves out. Add it to data.features, or do not name the column here."
    return f"which is not in the prepared data: {column.reason}."
