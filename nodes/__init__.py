"""The graph nodes, one file per stage."""
