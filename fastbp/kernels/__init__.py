"""The instructions: forward and backward pairs on arrays and scalars, nothing of Python in them."""
