"""The same rows as a request of each protocol."""

import csv
import io
from collections.abc import Callable, Mapping
from typing import Any

Rows = list[dict[str, Any]]
DATATYPES = {"number": "FP64", "integer": "INT64", "boolean": "BOOL"}


def as_csv(rows: Rows) -> bytes:
    """Rows as a CSV file has them."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def tensors(rows: Rows, kinds: Mapping[str, str]) -> list[dict[str, Any]]:
    """A tensor a feature: numbers as numbers, with null for a gap, and the rest as texts."""
    return [
        {
            "name": name,
            "shape": [len(rows)],
            "datatype": DATATYPES.get(kind, "BYTES"),
            "data": [row[name] for row in rows],
        }
        for name, kind in kinds.items()
    ]


#: Route -> its body. Behind a space: the format, where a path has several.
ROUTES: dict[str, Callable[[Rows, Mapping[str, str]], Any]] = {
    "/predict": lambda rows, kinds: {"inputs": rows},
    "/invoke": lambda rows, kinds: {"inputs": rows},
    "/invocations split": lambda rows, kinds: {
        "dataframe_split": {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}
    },
    "/invocations records": lambda rows, kinds: {"dataframe_records": rows},
    "/invocations instances": lambda rows, kinds: {"instances": rows},
    "/invocations inputs": lambda rows, kinds: {
        "inputs": {name: [row[name] for row in rows] for name in rows[0]}
    },
    "/invocations csv": lambda rows, kinds: as_csv(rows),
    "/v2": lambda rows, kinds: {"inputs": tensors(rows, kinds)},
}


def request(route: str, rows: Rows, kinds: Mapping[str, str], model: str) -> tuple[str, Any, dict[str, str]]:
    """Path, body and headers of a request for `rows`.

    Args:
        kinds: The kind of each feature.
        model: The model's name.
    """
    path = f"/v2/models/{model}/infer" if route == "/v2" else route.split()[0]
    return path, ROUTES[route](rows, kinds), {"content_type": "text/csv"} if route.endswith("csv") else {}


def predictions(answer: Any) -> list[Any]:
    """The predictions of an answer, whatever its protocol."""
    return answer["outputs"][0]["data"] if "outputs" in answer else answer["predictions"]
