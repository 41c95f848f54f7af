"""Pictures of fits; matplotlib is loaded by `draw`, on first use."""
