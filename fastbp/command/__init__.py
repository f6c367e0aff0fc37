"""What the command line does: train, predict, and tell how good the predictions are."""
