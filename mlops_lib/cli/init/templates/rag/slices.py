"""The language of a question, for evaluation.gate.slices in config.yaml."""

import re


def language(row: dict) -> str:
    """``ko`` for a question with Korean letters, else ``en``."""
    return "ko" if re.search("[가-힣]", row["question"]) else "en"
