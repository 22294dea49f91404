"""The inputs of a network: tensors by name, made of the columns of a table.

`resolve` reads a network's forward and config.yaml in training. The modules of `PORTABLE` need NumPy,
the portable modules of `mlops_lib.columns` and (`call`) torch alone: a logged model carries copies of both.
"""

#: Modules that a logged model carries, beside `mlops_lib.columns`.
PORTABLE = ("__init__", "spec", "tokens", "images", "collate", "encode", "outputs", "call")
