"""One library for training, evaluating, registering and serving models, self-trained or LLM.

Nothing is imported here, so that ``import mlops_lib`` costs milliseconds; import the module you need.
"""

__version__ = "0.1.0"
