"""What pages show of runs, as frozen values."""

from runs.snapshots.run import Control, Failure, Gate, Output, Row, RunSnapshot, Stream, run_snapshot

__all__ = ["Control", "Failure", "Gate", "Output", "Row", "RunSnapshot", "Stream", "run_snapshot"]
