"""Where a model comes from: captured when it is trained, and read back to explain or to reproduce it."""
