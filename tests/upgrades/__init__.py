"""Databases of earlier releases, as their own code filled them, and the way up from each."""
