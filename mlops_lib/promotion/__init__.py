"""Promotion behind the gate: `promote` asks it on the current champion, and moves the version when it passes."""

from mlops_lib.promotion.promote import Promoted, RefusedError, promote

__all__ = ["Promoted", "RefusedError", "promote"]
