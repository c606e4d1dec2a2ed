"""How alike two activities are over the same stimuli: one idea per file, written once for numpy and torch arrays."""
