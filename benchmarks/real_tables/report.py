"""Print the medians of all scores as a table of Markdown: `python report.py peers.jsonl ours.jsonl`."""

import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path

MODELS = ("skrub", "catboost", "auto", "network")


def main(files: list[str]) -> None:
    """One line a table: the peers, the defaults, and each default's ratio to the better peer."""
    scores: dict[tuple[str, str], list[float]] = defaultdict(list)
    for file in files:
        for line in Path(file).read_text(encoding="utf-8").splitlines():
            if "{" in line:
                found = json.loads(line[line.index("{") :]) if '"table"' in line else None
                if found:
                    scores[found["table"], found["model"]].append(found["score"])
    print("| table | skrub | CatBoost | auto | network | auto / better | network / better |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for table in dict.fromkeys(name for name, _ in scores):
        medians = [statistics.median(scores[table, model]) for model in MODELS if scores[table, model]]
        better = max(medians[:2])
        cells = [f"{one:.3f}" for one in medians] + [f"{one / better:.3f}" for one in medians[2:]]
        print(f"| {table} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main(sys.argv[1:])
