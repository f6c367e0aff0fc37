"""Matrix products from register tiles: C = A · B for any strides of A, with something done to each tile of C.

The tile is LARGE (12 rows × 2 vectors with AVX-512: 24 of 32 registers, one row of B in two more): each step
of its inner loop is 24 multiply-adds for 2 loads of B and 12 broadcasts of A, which is what the CPU's two
multipliers take 12 cycles for. Each element of C is one sum in the order of k, whatever tile it falls into.
"""

from __future__ import annotations

from ..runtime.functions import inner
from ..simd.memory import offset
from ..simd.tiles import LARGE, MEDIUM, SMALL, rows_of, tile, tile_add_outer, tile_add_outer_first
from ..simd.vectors import fma, lanes, load, load_first, splat, sum_lanes


def product_storing(finish):
    """The @njit function product, below, for one way to store a tile.

    finish(t, c, c_stride, r, j, n, extra) stores the tile t whose first element is C[r, j], n columns wide.
    """

    @inner
    def rows_of_tiles(extra, empty, masked, r, rows, c, c_stride, a, a_stride, a_step, b, b_step, depth, n, j):
        """As many tiles like `empty` as fit into the rows from r on; returns the first row that is left."""
        height = rows_of(empty)
        while r + height <= rows:
            t, ak, bk = empty, offset(a, r * a_stride), b
            if masked:
                for _ in range(depth):
                    t = tile_add_outer_first(t, ak, a_stride, bk, n)
                    ak, bk = offset(ak, a_step), offset(bk, b_step)
            else:
                for _ in range(depth):
                    t = tile_add_outer(t, ak, a_stride, bk)
                    ak, bk = offset(ak, a_step), offset(bk, b_step)
            finish(t, c, c_stride, r, j, n, extra)
            r += height
        return r

    @inner
    def panel(extra, dtype, vectors, masked, rows, c, c_stride, a, a_stride, a_step, b, b_step, depth, n, j):
        """n columns of C, from column j on."""
        args = c, c_stride, a, a_stride, a_step, b, b_step, depth, n, j
        r = rows_of_tiles(extra, tile(dtype, LARGE, vectors), masked, 0, rows, *args)
        r = rows_of_tiles(extra, tile(dtype, MEDIUM, vectors), masked, r, rows, *args)
        rows_of_tiles(extra, tile(dtype, SMALL, vectors), masked, r, rows, *args)

    @inner
    def product(extra, dtype, rows, columns, depth, c, c_stride, a, a_stride, a_step, b, b_step, panel_step):
        """C[r, j] = Σ A[r · a_stride + k · a_step] B[k, j], for r < rows, j < columns, k < depth.

        B[k, j] stands at (j // width) · panel_step + k · b_step + j % width, where width is two vectors: panel_step
        is the width for a plain matrix with rows of b_step elements.
        """
        width = 2 * lanes(dtype)
        j = 0
        if rows == 1 and panel_step == width:  # reads B once, in order: long pieces of its rows, eight sums at a time
            while j + 4 * width <= columns:
                bj, n = offset(b, j), 4 * width
                rows_of_tiles(
                    extra, tile(dtype, SMALL, 8), False, 0, 1, c, c_stride, a, a_stride, a_step, bj, b_step, depth, n, j
                )
                j += n
        while j + width <= columns:
            bj = offset(b, j // width * panel_step)
            panel(extra, dtype, 2, False, rows, c, c_stride, a, a_stride, a_step, bj, b_step, depth, width, j)
            j += width
        while j < columns:  # what is left, a vector at a time: a third kind of tile would only cost compilation
            bj, n = offset(b, j // width * panel_step + j % width), min(columns - j, lanes(dtype))
            panel(extra, dtype, 1, True, rows, c, c_stride, a, a_stride, a_step, bj, b_step, depth, n, j)
            j += n

    return product


@inner
def dot(a, b, n, dtype):
    """Σ a[i] b[i] for i < n: lane sums over whole vectors, in two chains."""
    width = lanes(dtype)
    s, t = splat(dtype(0)), splat(dtype(0))
    i = 0
    while i + 2 * width <= n:
        s = fma(load(a, i), load(b, i), s)
        t = fma(load(a, i + width), load(b, i + width), t)
        i += 2 * width
    if i + width <= n:
        s = fma(load(a, i), load(b, i), s)
        i += width
    if i < n:
        t = fma(load_first(a, i, n - i), load_first(b, i, n - i), t)
    return sum_lanes(s + t)
