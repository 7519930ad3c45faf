"""The one command behind `make run`: everything of Stepwell as child processes of one small supervisor (no Django here)."""
