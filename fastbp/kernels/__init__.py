"""The instructions: forward and backward pairs on arrays and scalars, nothing of Python in them.

A kernel works on the items lo .. hi that it is given, on one thread. What shares the items among threads, the one
`parallel=True` for all forward, backward and update loops, is in program/engine.py.
"""
