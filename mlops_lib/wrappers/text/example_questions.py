"""Questions of the golden dataset that travel with a text model,
as examples for the people who talk to it."""

from typing import Any

from mlops_lib.loaders.base import BaseDataLoader, Split

#: In the model's metadata: the questions.
QUESTIONS_KEY = "mlops_questions"
MAX_QUESTIONS, MAX_CHARS = 6, 200
#: The splits with the rows; nothing is fitted, so most rows are for the test.
SPLITS: tuple[Split, ...] = ("test", "validation", "train")


def example_questions(data_loader: BaseDataLoader) -> dict[str, Any]:
    """Metadata with a few short questions, evenly spaced over the dataset;
    empty for rows of more than a question."""
    columns = list(data_loader.schema.features)
    if len(columns) != 1:
        return {}
    found: dict[str, None] = {}
    for split in SPLITS:
        if len(found) < MAX_QUESTIONS and data_loader.count(split):
            asked = data_loader.sample(split, MAX_QUESTIONS)[columns[0]]
            found |= {text: None for text in asked if isinstance(text, str) and 0 < len(text) <= MAX_CHARS}
    return {QUESTIONS_KEY: list(found)[:MAX_QUESTIONS]}
