"""Vectors, register tiles, pointers and calls by address as values inside @njit code.

This is the one place that writes LLVM IR. Arithmetic is IEEE's but for contraction: a product and
a sum may become one fma. The order of operations is fixed, and so are their bits, wherever the compiler puts them.

cpu      what the CPU that is compiled for has
emit     IR that the others are made of
vectors  a Vector fills one register
tiles    a Tile is rows × vectors of them
memory   pointers and calls
entry    op records, and how the engine calls a kernel with one
"""
