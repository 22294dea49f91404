"""Promotion behind the gate: `promote` asks it on the current champion,
and moves the version when it passes."""

from mlops_lib.promotion.promote import OVERRIDE, Promoted, RefusedError, promote

__all__ = ["OVERRIDE", "Promoted", "RefusedError", "promote"]
