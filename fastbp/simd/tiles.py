"""Tiles: rows × vectors, the accumulators of a product, kept in registers, as nothing takes their address."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from . import emit
from .cpu import lanes_of, tile_rows
from .emit import INT32, INT64
from .vectors import Vector


class Tile(types.Type):
    """rows × vectors registers."""

    def __init__(self, dtype, rows, vectors):
        self.dtype, self.rows, self.vectors, self.lanes = dtype, rows, vectors, lanes_of(dtype)
        super().__init__(name=f"tile<{rows} {vectors} {self.lanes} {dtype}>")


@register_model(Tile)
class _TileModel(models.PrimitiveModel):
    def __init__(self, manager, t):
        super().__init__(manager, t, ir.ArrayType(emit.vector(t), t.rows * t.vectors))


LARGE, MEDIUM, SMALL = 0, 1, 2  # tiles of 12, 4 and 1 rows where there are 32 registers


@intrinsic(prefer_literal=True)
def tile(typingctx, dtype, size, vectors):
    """A tile of zeros, LARGE, MEDIUM or SMALL."""
    rows = (tile_rows(), max(tile_rows() // 3, 2), 1)[size.literal_value]
    result = Tile(dtype.dtype, rows, vectors.literal_value)

    def codegen(context, builder, signature, args):
        return ir.Constant(context.get_value_type(result), None)

    return result(dtype, size, vectors), codegen


@intrinsic
def rows_of(typingctx, t):
    """Rows of a tile, a constant."""
    return types.int64(t), lambda context, builder, signature, args: ir.Constant(INT64, t.rows)


@intrinsic
def tile_add_outer(typingctx, t, a, a_stride, b):
    """t[r, :] + a[r · a_stride] · b[0 …]: the update of a matrix product by one column times one row."""

    def codegen(context, builder, signature, args):
        return _add_outer(builder, t, *args, None)

    return t(t, a, types.int64, b), codegen


@intrinsic
def tile_add_outer_first(typingctx, t, a, a_stride, b, n):
    """As tile_add_outer, with the first n elements of b and 0 for the others."""

    def codegen(context, builder, signature, args):
        return _add_outer(builder, t, *args)

    return t(t, a, types.int64, b, types.int64), codegen


def _hidden(builder, value):
    """value, of which the optimiser does not know where it comes from: an empty piece of assembly."""
    return builder.asm(ir.FunctionType(value.type, [value.type]), "", "=r,0", [value], False)


def _add_outer(builder, t, value, a, a_stride, b, n):
    scalar, kind = emit.scalar(t.dtype), emit.vector(t)
    row = []
    for v in range(t.vectors):
        mask = None if n is None else emit.first(builder, n, t.lanes, v * t.lanes)
        address = emit.element(builder, b, ir.Constant(INT64, v * t.lanes), scalar)
        row.append(emit.load(builder, kind, address, mask))
    for r in range(t.rows):
        # LLVM's loop strength reduction would keep a pointer for each row: more than there are registers. Every
        # third row's address is hidden from it; the next two are that plus the stride, once and twice.
        if r % 3 == 0:
            third = _hidden(builder, emit.element(builder, a, builder.mul(a_stride, ir.Constant(INT64, r)), scalar))
        place = builder.mul(a_stride, ir.Constant(INT64, r % 3))
        x = emit.splat(builder, builder.load(emit.element(builder, third, place, scalar)), t.lanes)
        for v in range(t.vectors):
            i = r * t.vectors + v
            value = builder.insert_value(value, emit.fma(builder, x, row[v], builder.extract_value(value, i)), i)
    return value


def _tile_epilogue(ending):
    """An intrinsic (t, c, c_stride, n, rest …) that stores what `ending` makes of each vector of a tile.

    n: how many elements of a row are stored; a tile's full width is stored without masks.
    """

    def codegen(context, builder, signature, args):
        t = signature.args[0]
        value, c, c_stride, n, *rest = args
        scalar = emit.scalar(t.dtype)
        full = builder.icmp_signed(">=", n, ir.Constant(INT64, t.vectors * t.lanes))
        with builder.if_else(full, likely=True) as (then, otherwise):
            for branch, masked in ((then, False), (otherwise, True)):
                with branch:
                    for v in range(t.vectors):
                        skip = ir.Constant(INT64, v * t.lanes)
                        mask = emit.first(builder, n, t.lanes, v * t.lanes) if masked else None
                        column = ending(builder, t, rest, skip, mask)
                        for r in range(t.rows):
                            place = builder.add(builder.mul(c_stride, ir.Constant(INT64, r)), skip)
                            x = column(builder.extract_value(value, r * t.vectors + v), place)
                            emit.store(builder, x, emit.element(builder, c, place, scalar), mask)
        return context.get_dummy_value()

    return codegen


@intrinsic
def tile_store(typingctx, t, c, c_stride, n):
    """c[r · c_stride + j] = t[r, j] for j < n."""

    def ending(builder, t, rest, skip, mask):
        return lambda x, place: x

    return types.void(t, c, types.int64, types.int64), _tile_epilogue(ending)


@intrinsic
def tile_store_relu(typingctx, t, c, c_stride, n, relu):
    """c[r · c_stride + j] = t[r, j], or max(t[r, j], 0) where `relu` is not 0 (NaN stays), for j < n."""

    def ending(builder, t, rest, skip, mask):
        on = builder.icmp_signed("!=", rest[0], ir.Constant(INT64, 0))
        zero = ir.Constant(emit.vector(t), None)
        low = ir.Constant(emit.vector(t), [float("-inf")] * t.lanes)
        floor = builder.select(on, zero, low)

        def column(x, place):
            return builder.select(builder.fcmp_ordered("<", x, floor), floor, x)

        return column

    return types.void(t, c, types.int64, types.int64, types.int64), _tile_epilogue(ending)


@intrinsic
def tile_store_where(typingctx, t, c, c_stride, n, y):
    """c[r · c_stride + j] = t[r, j] where y[r · c_stride + j] > 0, else 0, for j < n: ReLU's derivative."""

    def ending(builder, t, rest, skip, mask):
        zero = ir.Constant(emit.vector(t), None)

        def column(x, place):
            y = emit.load(builder, emit.vector(t), emit.element(builder, rest[0], place, emit.scalar(t.dtype)), mask)
            return builder.select(builder.fcmp_ordered(">", y, zero), x, zero)

        return column

    return types.void(t, c, types.int64, types.int64, y), _tile_epilogue(ending)


@intrinsic(prefer_literal=True)
def block_tile(typingctx, dtype, size, vectors):
    """A tile of zeros for values in blocks: LARGE, MEDIUM or SMALL, of 6, 4 and 1 rows where there are 32 registers."""
    rows = (max(tile_rows() // 2, 2), max(tile_rows() // 3, 2), 1)[size.literal_value]
    result = Tile(dtype.dtype, rows, vectors.literal_value)

    def codegen(context, builder, signature, args):
        return ir.Constant(context.get_value_type(result), None)

    return result(dtype, size, vectors), codegen


def _rows_apart(builder, p, stride, rows, scalar):
    """The addresses of p[r · stride], r < rows; see _add_outer for what is hidden."""
    for r in range(rows):
        if r % 3 == 0:
            third = _hidden(builder, emit.element(builder, p, builder.mul(stride, ir.Constant(INT64, r)), scalar))
        yield emit.element(builder, third, builder.mul(stride, ir.Constant(INT64, r % 3)), scalar)


def _add_products(builder, t, args, spread):
    """t[r, v] + spread(a[r · a_stride]) · b[places[v] …], where `spread` makes a vector of an address."""
    value, a, a_stride, b, places = args
    scalar, kind = emit.scalar(t.dtype), emit.vector(t)
    left = [spread(address) for address in _rows_apart(builder, a, a_stride, t.rows, scalar)]
    for v in range(t.vectors):
        right = emit.load(builder, kind, emit.element(builder, b, builder.extract_value(places, v), scalar))
        for r in range(t.rows):
            i = r * t.vectors + v
            value = builder.insert_value(value, emit.fma(builder, left[r], right, builder.extract_value(value, i)), i)
    return value


@intrinsic
def tile_add_scaled(typingctx, t, a, a_stride, b, places):
    """t[r, v] + a[r · a_stride] · b[places[v] …]: numbers times vectors."""

    def codegen(context, builder, signature, args):
        return _add_products(builder, t, args, lambda p: emit.splat(builder, builder.load(p), t.lanes))

    return t(t, a, types.int64, b, places), codegen


@intrinsic
def tile_add_products(typingctx, t, a, a_stride, b, places):
    """t[r, v] + a[r · a_stride …] · b[places[v] …]: vectors times vectors, lane by lane."""

    def codegen(context, builder, signature, args):
        return _add_products(builder, t, args, lambda p: emit.load(builder, emit.vector(t), p))

    return t(t, a, types.int64, b, places), codegen


@intrinsic
def tile_of_column(typingctx, t, a, a_stride):
    """A tile like t whose rows are a[r · a_stride] in all lanes."""

    def codegen(context, builder, signature, args):
        value, a, a_stride = args
        for r, address in enumerate(_rows_apart(builder, a, a_stride, t.rows, emit.scalar(t.dtype))):
            x = emit.splat(builder, builder.load(address), t.lanes)
            for v in range(t.vectors):
                value = builder.insert_value(value, x, r * t.vectors + v)
        return value

    return t(t, a, types.int64), codegen


def _tile_places(builder, t, c, c_stride, places):
    """(number, address) of each vector of a tile at c[r · c_stride + places[v]]."""
    scalar = emit.scalar(t.dtype)
    for r in range(t.rows):
        row = emit.element(builder, c, builder.mul(c_stride, ir.Constant(INT64, r)), scalar)
        for v in range(t.vectors):
            yield r * t.vectors + v, emit.element(builder, row, builder.extract_value(places, v), scalar)


@intrinsic
def tile_load_at(typingctx, t, c, c_stride, places):
    """A tile like t of the vectors c[r · c_stride + places[v] …]."""

    def codegen(context, builder, signature, args):
        value, *where = args
        for i, address in _tile_places(builder, t, *where):
            value = builder.insert_value(value, emit.load(builder, emit.vector(t), address), i)
        return value

    return t(t, c, types.int64, places), codegen


@intrinsic
def tile_store_at(typingctx, t, c, c_stride, places):
    """c[r · c_stride + places[v] …] = t[r, v]."""

    def codegen(context, builder, signature, args):
        value, *where = args
        for i, address in _tile_places(builder, t, *where):
            emit.store(builder, builder.extract_value(value, i), address)
        return context.get_dummy_value()

    return types.void(t, c, types.int64, places), codegen


@intrinsic
def tile_relu(typingctx, t, relu):
    """max(t, 0), where NaN stays, if `relu` is not 0; else t."""

    def codegen(context, builder, signature, args):
        value, relu = args
        on = builder.icmp_signed("!=", relu, ir.Constant(INT64, 0))
        low = ir.Constant(emit.vector(t), [float("-inf")] * t.lanes)
        floor = builder.select(on, ir.Constant(emit.vector(t), None), low)
        for i in range(t.rows * t.vectors):
            x = builder.extract_value(value, i)
            value = builder.insert_value(value, builder.select(builder.fcmp_ordered("<", x, floor), floor, x), i)
        return value

    return t(t, types.int64), codegen


@intrinsic
def tile_sum_lanes(typingctx, t, p):
    """p[r · vectors + v] = the sum of the lanes of t[r, v], by halves; p has room for whole vectors of such sums."""

    def codegen(context, builder, signature, args):
        value, p = args
        n = t.lanes
        places = ir.VectorType(INT32, n)
        parts = [builder.extract_value(value, i) for i in range(t.rows * t.vectors)]
        parts += [ir.Constant(emit.vector(t), None)] * (-len(parts) % n)
        for first in range(0, len(parts), n):
            # Each step adds the halves of two vectors, and puts the sums side by side: what was `step` vectors apart.
            sums, step = parts[first : first + n], n // 2
            while step:
                width = 2 * step  # lanes of each sum that are still to be added
                low = [lane // width * width + lane % step + (n if lane % width >= step else 0) for lane in range(n)]
                high = [lane + step for lane in low]
                added = []
                for i in range(step):
                    a, b = sums[i], sums[i + step]
                    pair = (builder.shuffle_vector(a, b, ir.Constant(places, mask)) for mask in (low, high))
                    added.append(builder.fadd(*pair))
                sums, step = added, step // 2
            emit.store(builder, sums[0], emit.element(builder, p, ir.Constant(INT64, first), emit.scalar(t.dtype)))
        return context.get_dummy_value()

    return types.void(t, p), codegen


@intrinsic(prefer_literal=True)
def stack(typingctx, dtype, n):
    """Room for n numbers (a constant) on the stack, for as long as the function runs."""
    result = types.CPointer(dtype.dtype)

    def codegen(context, builder, signature, args):
        room = cgutils.alloca_once(builder, context.get_value_type(dtype.dtype), size=n.literal_value)
        room.align = 64
        return builder.bitcast(room, context.get_value_type(result))

    return result(dtype, n), codegen


@intrinsic
def tile_add_row(typingctx, t, b, n):
    """t[r, j] + b[j], for j < n."""

    def codegen(context, builder, signature, args):
        value, b, n = args
        for v in range(t.vectors):
            address = emit.element(builder, b, ir.Constant(INT64, v * t.lanes), emit.scalar(t.dtype))
            row = emit.load(builder, emit.vector(t), address, emit.first(builder, n, t.lanes, v * t.lanes))
            for r in range(t.rows):
                i = r * t.vectors + v
                value = builder.insert_value(value, builder.fadd(builder.extract_value(value, i), row), i)
        return value

    return t(t, b, types.int64), codegen


@intrinsic
def transpose_block(typingctx, y, y_stride, x, x_stride):
    """y[j · y_stride + i] = x[i · x_stride + j] for i, j < lanes: a square of vectors, in registers."""
    t = Vector(x.dtype)

    def codegen(context, builder, signature, args):
        y, y_stride, x, x_stride = args
        n, kind, scalar = t.lanes, emit.vector(t), emit.scalar(t.dtype)
        rows = [
            emit.load(builder, kind, emit.element(builder, x, builder.mul(x_stride, ir.Constant(INT64, i)), scalar))
            for i in range(n)
        ]
        places = ir.VectorType(INT32, n)
        step = 1
        while step < n:
            # swap the off-diagonal squares of size step
            low = [j if not j & step else n + j - step for j in range(n)]
            high = [j + step if not j & step else n + j for j in range(n)]
            for i in range(n):
                if not i & step:
                    a, b = rows[i], rows[i + step]
                    rows[i] = builder.shuffle_vector(a, b, ir.Constant(places, low))
                    rows[i + step] = builder.shuffle_vector(a, b, ir.Constant(places, high))
            step *= 2
        for j in range(n):
            emit.store(builder, rows[j], emit.element(builder, y, builder.mul(y_stride, ir.Constant(INT64, j)), scalar))
        return context.get_dummy_value()

    return types.void(y, types.int64, x, types.int64), codegen
