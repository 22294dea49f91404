"""OpenLineage events of the steps, for a catalogue such as Marquez or DataHub: see docs/decisions/0317."""
