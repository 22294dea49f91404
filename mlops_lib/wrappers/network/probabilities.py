"""Check before training that a network's answers have the form by which they are judged."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mlops_lib.errors import TrainingError
from mlops_lib.training.heads import Head

#: Tasks that judge one number for each row, and those that judge one for each label.
ONE_NUMBER, ONE_EACH = ("regression", "ranking", "loss"), ("multilabel", "multioutput")
#: Difference of a row's sum from 1 that comes from rounding.
SUM_TOLERANCE = 1e-3


def require_judgeable(
    name: str, given: np.ndarray | Mapping[str, np.ndarray], judged: Iterable[Head]
) -> None:
    """Check the answers of an untrained network for some rows: those of each judged output.

    Raises:
        TrainingError: They have another form than the task takes; says what to return.
    """
    for head in judged:
        chosen = head.config.evaluation
        if isinstance(given, Mapping) and chosen.output not in given:
            raise TrainingError(
                f"evaluation.heads names {chosen.output!r}, and {name}.forward gives {', '.join(given)}. Each judged output has the "
                "name of its label."
            )
        answer = given[chosen.output] if isinstance(given, Mapping) else given
        if chosen.task == "classification":
            require_probabilities(name, answer, head.classes)
        elif chosen.task in (*ONE_NUMBER, *ONE_EACH):
            _require_numbers(name, answer, chosen.task, head.data_loader.schema.labels)


def require_repeatable(
    name: str, first: np.ndarray | Mapping[str, np.ndarray], second: np.ndarray | Mapping[str, np.ndarray]
) -> None:
    """Check that two answers for the same rows are equal.

    Raises:
        TrainingError: They differ: ``forward`` draws random numbers, so nothing that is judged is what callers get.
    """
    outputs = first if isinstance(first, Mapping) else {"": first}
    again = second if isinstance(second, Mapping) else {"": second}
    for output, answer in outputs.items():
        pairs = zip(answer, again[output], strict=True)
        if not all(
            one.shape == other.shape and np.allclose(one, other, 1e-3, 1e-5, True) for one, other in pairs
        ):
            which = f" in {output!r}" if output else ""
            raise TrainingError(
                f"{name}.forward gives two answers{which} for the same rows, so it draws random numbers. Callers would get other "
                "answers than 03_evaluate judges. Draw in the training alone, as in: if self.training: z = z + noise."
            )


def _require_numbers(name: str, answer: np.ndarray, task: str, labels: Sequence[str]) -> None:
    rows = len(answer)
    if answer.shape == ((rows,) if task in ONE_NUMBER else (rows, len(labels))):
        return
    if task in ONE_EACH:
        wanted = f"a number for each of the labels {', '.join(labels)}, [rows, {len(labels)}]"
        remedy = "Return them in this order."
    else:
        wanted, remedy = "one number for each row, [rows]", "Return scores.squeeze(-1)."
        if answer.shape != (rows, 1):
            remedy = "Return that number, or a dict of outputs with a name for each, of which evaluation.output names the judged one."
    raise TrainingError(
        f"{name}.forward gives {list(answer.shape)} for {rows} rows, and evaluation.task {task} judges {wanted}. {remedy}"
    )


def require_probabilities(name: str, answer: np.ndarray, classes: Sequence[Any]) -> None:
    """Check the answers of an untrained network: most tutorials return scores, which the gate would refuse after the training.

    Args:
        name: Of the network, for the error.
        answer: For some rows. Rows that are not finite, as of missing numbers, are not checked, nor are other shapes than
            those of scores.
        classes: Of the label.

    Raises:
        TrainingError: They are no probabilities; says what to return.
    """
    rows, count = len(answer), len(classes)
    if answer.dtype.kind != "f" or answer.shape not in ((rows,), (rows, 1), (rows, count)):
        return
    known = answer[np.isfinite(answer.reshape(rows, -1)).all(1)]
    is_form = answer.shape == ((rows,) if count == 2 else (rows, count))
    within = not known.size or (known.min() >= 0 and known.max() <= 1)
    if is_form and within and (count == 2 or np.allclose(known.sum(-1), 1, atol=SUM_TOLERANCE)):
        return
    form = f"one for each of the {count} classes, [rows, {count}], with the sum 1 in each row"
    remedy = "scores.softmax(-1)"
    if count == 2:
        form = f"P({classes[1]!r}), [rows]"
        remedy = "scores.squeeze(-1).sigmoid(), or of two columns scores.softmax(-1)[:, 1]"
    values = f" from {known.min():.3g} to {known.max():.3g}" if known.size else ""
    raise TrainingError(
        f"{name}.forward gives {list(answer.shape)}{values} for {rows} rows, and a classification is judged by "
        f"probabilities: {form}. Return {remedy}, and compute the loss of the scores in a method of its own, which "
        "training_step and forward call."
    )
