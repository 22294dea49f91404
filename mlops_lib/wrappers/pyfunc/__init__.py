"""Models that were logged outside the platform, through MLflow's python_function flavour."""

from mlops_lib.wrappers.pyfunc.wrapper import PyfuncWrapper

__all__ = ["PyfuncWrapper"]
