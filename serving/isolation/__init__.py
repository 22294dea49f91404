"""Models in processes of their own: the messages, the wire, and the process that runs a model's code."""
