"""Backpropagation made visible: trouble, one step in numbers, the range of learning rates, wrong gradients."""
