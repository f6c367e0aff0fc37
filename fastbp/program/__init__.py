"""Layers become a program: buffers, the instructions on them, and the engine that runs these."""
