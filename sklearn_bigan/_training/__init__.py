"""What lives while `fit` runs: the loop, the schedule, averaging, diagnostics."""
