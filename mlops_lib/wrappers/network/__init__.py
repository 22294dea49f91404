"""Networks with inputs by name: checked, converted to a graph, logged and opened."""
