"""An assistant that answers questions about this platform from a handbook.

``handbook/`` is the example's data, as ``golden.jsonl`` is: change the two together. The platform's own
documentation is in ``docs/``.
"""
