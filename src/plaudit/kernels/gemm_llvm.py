"""Register-tiled GEMM micro-kernel, callable from numba loops.

    C = A B,   or C += A B

Vectors, and the instruction that multiplies pairs of bf16 (vdpbf16ps), are written as LLVM IR, since numba cannot
express them. A and B are 32-bit lanes (``packed_bf16.py``): one fp32, or two bf16 that are multiplied and added in one
instruction. C is fp32.

Importing this needs numba and a processor with AVX2 or AVX-512, else it is an ImportError.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from plaudit.kernels.numba_utils import JIT_OPTIONS


def _features() -> set[str]:
    """Features of the processor that numba compiles for."""
    settings: Any = config
    if settings.CPU_FEATURES is not None:
        return {f[1:] for f in settings.CPU_FEATURES.split(",") if f.startswith("+")}
    if settings.CPU_NAME == "generic":
        return set()
    return {name for name, there in get_host_cpu_features().items() if there}


FEATURES = _features()
# fp32 numbers of a vector register.
VECTOR = 16 if "avx512f" in FEATURES else 8
# Whether the processor has vdpbf16ps.
HAS_BF16_DOT = {"avx512f", "avx512bf16"} <= FEATURES
if "avx512f" not in FEATURES and not {"avx2", "fma"} <= FEATURES:
    raise ImportError("the GEMM kernel needs an x86 processor with AVX2 or AVX-512")

# Rows of a tile of C and its most vectors per row: accumulators, a row of B and a broadcast of A fill the registers.
TILE_ROWS = 4
MAX_VECTORS = 4 if VECTOR == 16 else 2
# The number of columns must be a multiple of this.
COLUMN_MULTIPLE = 16

_FLOAT, _INT, _LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)


class _BFloat(ir.Type):
    """LLVM's bfloat, for which llvmlite has no class."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


def _multiply_add(builder: Any, bf16: bool, a: Any, b: Any, c: Any) -> Any:
    """a · b + c of vectors in one instruction."""
    sums = ir.VectorType(_FLOAT, VECTOR)
    if not bf16:
        kind = ir.FunctionType(sums, [sums] * 3)
        fused = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{VECTOR}f32")
        return builder.call(fused, [a, b, c])
    halves = ir.VectorType(_BFloat(), 2 * VECTOR)
    kind = ir.FunctionType(sums, [sums, halves, halves])
    dot = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512bf16.dpbf16ps.512")
    return builder.call(dot, [c, builder.bitcast(a, halves), builder.bitcast(b, halves)])


def _tile(vectors: int) -> Any:
    """TILE_ROWS rows of ``vectors`` vectors of C: C[r, j] = Σ_k A[a_at + r a_row + k a_step] B[b_at + k b_step + j]."""

    @intrinsic
    def tile(
        typing: Any,
        a: Any,
        a_at: Any,
        a_row: Any,
        a_step: Any,
        b: Any,
        b_at: Any,
        b_step: Any,
        count: Any,
        c: Any,
        c_at: Any,
        c_row: Any,
        add: Any,
    ) -> Any:
        n = types.int64
        signature = types.void(a, n, n, n, b, n, n, n, c, n, n, types.boolean)
        bf16 = a.dtype == types.uint32
        lane = _INT if bf16 else _FLOAT
        lanes, sums = ir.VectorType(lane, VECTOR), ir.VectorType(_FLOAT, VECTOR)

        def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            def start(i: int, at: Any, kind: Any) -> Any:
                data = context.make_array(signature.args[i])(context, builder, args[i]).data
                return builder.gep(builder.bitcast(data, kind.as_pointer()), [at])

            def vector(base: Any, j: int, kind: Any) -> Any:
                return builder.bitcast(builder.gep(base, [_LONG(VECTOR * j)]), kind.as_pointer())

            _, a_at, a_row, a_step, _, b_at, b_step, count, _, c_at, c_row, add = args
            a_base, b_base, c_base = start(0, a_at, lane), start(4, b_at, lane), start(8, c_at, _FLOAT)
            a_rows = [builder.gep(a_base, [builder.mul(a_row, _LONG(r))]) for r in range(TILE_ROWS)]
            c_rows = [builder.gep(c_base, [builder.mul(c_row, _LONG(r))]) for r in range(TILE_ROWS)]
            entry = builder.block
            body, done = builder.append_basic_block("step"), builder.append_basic_block("done")
            more, end = builder.append_basic_block("add"), builder.append_basic_block("end")
            builder.branch(body)
            builder.position_at_end(body)
            k = builder.phi(_LONG)
            k.add_incoming(_LONG(0), entry)
            totals = [[builder.phi(sums) for _ in range(vectors)] for _ in range(TILE_ROWS)]
            b_now = builder.gep(b_base, [builder.mul(k, b_step)])
            columns = [builder.load(vector(b_now, j, lanes), align=4) for j in range(vectors)]
            a_now = builder.mul(k, a_step)
            following = builder.add(k, _LONG(1))
            k.add_incoming(following, body)
            none = ir.Constant(lanes, ir.Undefined)
            everywhere = ir.Constant(ir.VectorType(_INT, VECTOR), [0] * VECTOR)
            found = []
            for r in range(TILE_ROWS):
                number = builder.load(builder.gep(a_rows[r], [a_now]), align=4)
                spread = builder.shuffle_vector(
                    builder.insert_element(none, number, _INT(0)), none, everywhere
                )
                for j in range(vectors):
                    total = _multiply_add(builder, bf16, spread, columns[j], totals[r][j])
                    totals[r][j].add_incoming(ir.Constant(sums, [0.0] * VECTOR), entry)
                    totals[r][j].add_incoming(total, body)
                    found.append((total, vector(c_rows[r], j, sums)))
            builder.cbranch(builder.icmp_signed("<", following, count), body, done)
            builder.position_at_end(done)
            builder.cbranch(add, more, end)
            builder.position_at_end(more)
            summed = [builder.fadd(total, builder.load(place, align=4)) for total, place in found]
            builder.branch(end)
            builder.position_at_end(end)
            values = []
            for (total, _), with_before in zip(found, summed):
                value = builder.phi(sums)
                value.add_incoming(total, done)
                value.add_incoming(with_before, more)
                values.append(value)
            for value, (_, place) in zip(values, found):
                builder.store(value, place, align=4)
            return context.get_dummy_value()

        return signature, make

    return tile


_one, _two, _three, _four = _tile(1), _tile(2), _tile(3), _tile(4)


@njit(**JIT_OPTIONS)
def gemm_tile(
    a: Any,
    a_at: int,
    a_row: int,
    a_step: int,
    b: Any,
    b_at: int,
    b_step: int,
    count: int,
    c: Any,
    c_at: int,
    c_row: int,
    width: int,
    add: bool,
) -> None:
    """TILE_ROWS × ``width`` (a multiple of COLUMN_MULTIPLE) of C over ``count`` ≥ 1 k-steps; offsets in lanes."""
    j = 0
    while width - j >= MAX_VECTORS * VECTOR:
        if MAX_VECTORS == 4:
            _four(a, a_at, a_row, a_step, b, b_at + j, b_step, count, c, c_at + j, c_row, add)
        else:
            _two(a, a_at, a_row, a_step, b, b_at + j, b_step, count, c, c_at + j, c_row, add)
        j += MAX_VECTORS * VECTOR
    left = (width - j) // VECTOR
    if left == 3:
        _three(a, a_at, a_row, a_step, b, b_at + j, b_step, count, c, c_at + j, c_row, add)
    elif left == 2:
        _two(a, a_at, a_row, a_step, b, b_at + j, b_step, count, c, c_at + j, c_row, add)
    elif left == 1:
        _one(a, a_at, a_row, a_step, b, b_at + j, b_step, count, c, c_at + j, c_row, add)


@intrinsic
def _max_of(typing: Any, x: Any, at: Any, count: Any) -> Any:
    """The maximum of ``count`` > 0 numbers (a multiple of COLUMN_MULTIPLE) of x from ``at`` on; NaN is skipped."""
    signature = types.float32(x, types.int64, types.int64)
    vectors = ir.VectorType(_FLOAT, VECTOR)

    def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        base = builder.gep(data, [args[1]])
        entry = builder.block
        body, done = builder.append_basic_block("step"), builder.append_basic_block("done")
        builder.branch(body)
        builder.position_at_end(body)
        i, top = builder.phi(_LONG), builder.phi(vectors)
        i.add_incoming(_LONG(0), entry)
        top.add_incoming(ir.Constant(vectors, [float("-inf")] * VECTOR), entry)
        here = builder.load(builder.bitcast(builder.gep(base, [i]), vectors.as_pointer()), align=4)
        higher = builder.select(builder.fcmp_ordered(">", here, top), here, top)
        following = builder.add(i, _LONG(VECTOR))
        i.add_incoming(following, body)
        top.add_incoming(higher, body)
        builder.cbranch(builder.icmp_signed("<", following, args[2]), body, done)
        builder.position_at_end(done)
        result = builder.extract_element(higher, _INT(0))
        for lane in range(1, VECTOR):
            other = builder.extract_element(higher, _INT(lane))
            result = builder.select(builder.fcmp_ordered(">", other, result), other, result)
        return result

    return signature, make


max_of: Any = _max_of
