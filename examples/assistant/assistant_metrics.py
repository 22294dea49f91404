"""The example's own metric: did retrieval find the passages that hold the answer?"""

from mlops_lib.evaluation.metrics import Case


def support_found(case: Case) -> float:
    """Share of a question's supporting passages among the answer's contexts; 1 if the question has none."""
    if not (wanted := case.columns["passages"]):
        return 1.0
    found = "\n".join(case.contexts)
    return sum(passage in found for passage in wanted) / len(wanted)


support_found.columns = ("passages",)  # of data.reference_columns
