"""Every address, asked by everybody who must not get in (see table.py)."""
