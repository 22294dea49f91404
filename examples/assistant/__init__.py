"""An assistant that answers questions about this platform from its own documentation."""
