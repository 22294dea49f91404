"""``mlops init``: look at a table, propose label, key, task and metric,
and write a project that runs as it is."""
