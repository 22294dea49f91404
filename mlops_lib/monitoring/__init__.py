"""Checks of a deployed model against its training."""
