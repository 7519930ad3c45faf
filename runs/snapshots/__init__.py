"""What pages show of runs, as frozen values."""

from runs.snapshots.run import run_snapshot
from runs.snapshots.shapes import Control, Failure, Gate, Output, Row, RunSnapshot, Stream

__all__ = ["Control", "Failure", "Gate", "Output", "Row", "RunSnapshot", "Stream", "run_snapshot"]
