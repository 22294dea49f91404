"""Facts about a version, read from its files. No code of the model is imported."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mlops_lib import plugins
from mlops_lib.columns.schema import Schema
from mlops_lib.network_inputs.spec import InputSpec, OutputSpec
from mlops_lib.registry import model_digest
from mlops_lib.wrappers.interface import CLASSES_KEY, COLUMNS_KEY, INPUTS_KEY, OUTPUTS_KEY, SOURCE_KEY
from mlops_lib.wrappers.load import wrapper_name
from mlops_lib.wrappers.table_package import read_encoder
from mlops_lib.wrappers.text.example_questions import QUESTIONS_KEY

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

#: Most values of a category that the page offers.
MAX_CHOICES = 50


@dataclass(frozen=True)
class ModelFacts:
    """What the service knows of a model without opening it.

    Attributes:
        holds_code: Whether the model's files hold code that runs when the model is opened or called.
        kinds: Its wrapper and flavours: the template imports their packages before it forks.
        signature: Inputs and outputs; None for a model that was logged without.
        columns: Columns of a row of the source; None for a model that was logged elsewhere.
        prepared: Columns of the training data, where the model carries ``data.prepare``; None: the same.
        classes: A classifier's classes in the order of its probabilities; empty for other models.
        digest: SHA-256 of the model's files; "" for a model without files.
        questions: Example questions for a model that takes messages.
        choices: Column -> its known values, for categories with few.
        inputs: Of a network that takes several, by name.
        outputs: Of a network that gives several, by name.
    """

    holds_code: bool
    kinds: tuple[str, ...] = ()
    signature: "ModelSignature | None" = None
    columns: Schema | None = None
    prepared: Schema | None = None
    classes: list[Any] = field(default_factory=list)
    digest: str = ""
    questions: list[str] = field(default_factory=list)
    choices: dict[str, list[Any]] = field(default_factory=dict)
    inputs: dict[str, InputSpec] = field(default_factory=dict)
    outputs: dict[str, OutputSpec] = field(default_factory=dict)

    @property
    def labels(self) -> list[str]:
        """The labels of a model with several, in the order of its prediction's columns;
        empty for other models."""
        return list(self.predicted) if len(self.predicted) > 1 else []

    @property
    def predicted(self) -> tuple[str, ...]:
        """The labels that the model was trained on."""
        found = self.prepared or self.columns
        return found.labels if found else ()

    @classmethod
    def read(cls, folder: Path, digest: str = "") -> Self:
        """The facts of the model in `folder`.

        Args:
            digest: Of its files, if they have just been hashed: large models take long.

        Raises:
            ModelError: The folder holds no MLflow model, or no wrapper can load it.
        """
        from mlflow.models import Model

        name = wrapper_name(folder, str(folder))
        info = Model.load(str(folder))
        metadata = info.metadata or {}
        # A wrapper of the user's own is not imported here.
        known = name in plugins.names("wrapper")
        source, prepared = metadata.get(SOURCE_KEY), metadata.get(COLUMNS_KEY)
        columns = source or prepared
        return cls(
            holds_code=not known or bool(source) or plugins.load("wrapper", name).holds_code(folder, info),
            kinds=(name, *info.flavors),
            signature=info.signature,
            columns=Schema.from_dict(columns) if columns else None,
            prepared=Schema.from_dict(prepared) if prepared else None,
            classes=list(metadata.get(CLASSES_KEY, [])),
            digest=digest or model_digest(folder),
            inputs={one["name"]: InputSpec.from_dict(one) for one in metadata.get(INPUTS_KEY, [])},
            outputs={one["name"]: OutputSpec.from_dict(one) for one in metadata.get(OUTPUTS_KEY, [])},
            questions=list(metadata.get(QUESTIONS_KEY, [])),
            choices={} if source else _choices(folder),
        )


def _choices(folder: Path) -> dict[str, list[Any]]:
    encoder = read_encoder(folder)
    learned = encoder.learned if encoder else {}
    known = {name: list(about.get("values", ())) for name, about in learned.items()}
    return {name: values for name, values in known.items() if 0 < len(values) <= MAX_CHOICES}
