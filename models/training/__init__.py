"""Training runs: batches, steps, epochs and their state."""
