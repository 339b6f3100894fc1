"""Data sets, losses and fit loops that made the embedded weights."""
