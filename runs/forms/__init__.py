"""Forms of the run pages, one module per area."""
