"""Training: rows, epochs, evaluation, history, checkpoints."""
