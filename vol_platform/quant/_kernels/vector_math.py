"""Branch-free exp, log and erfcx that the compiler can turn into vector instructions.

Calls into the C library (`math.exp`, `math.erfc`) cost 3 to 8 ns each and stop vectorisation of the
loop around them. These versions are straight lines of fused multiply-adds, so that a loop over
options becomes AVX-512 (or AVX2) code. Every coefficient comes from
`vol_platform_tests/quant/generate_coefficients.py` (60-digit Chebyshev series); a test derives them
again.

The erfcx series is shared by all: with ``y = x + 1`` and ``u = (y - 3.5) / (y + 3.5)`` the function
``P(u) = (y + 3.5) erfcx(y - 1)`` is smooth on ``-1 <= u <= 1``, that is for every ``x >= -1``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

__all__ = [
    "erfcx_difference_quotient",
    "erfcx_series",
    "exp",
    "float_from_bits",
    "float_to_bits",
    "fma",
    "log_quotient",
    "prefer_wide_vectors",
]

SERIES_SHIFT = 1.0
SERIES_SCALE = 3.5
INVERSE_SQRT_2 = 0.7071067811865476
LN2_HIGH = 0.6931471803691238  # 32 bits of ln 2, so that products with an exponent are exact
LN2_LOW = 1.9082149292705877e-10
INVERSE_LN2 = 1.4426950408889634
ROUNDING_MAGIC = (
    6755399441055744.0  # 1.5 * 2**52: adding it rounds to an integer held in the low bits
)
ROUNDING_MAGIC_BITS = 0x4338000000000000
ONE_BITS = 0x3FF0000000000000
SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
RECIPROCAL_MAGIC_BITS = 0x7FDE600000000000
INVERSE_SQRT_MAGIC_BITS = 0x5FE6EB50C7B537A9
LOG_START_0 = 0.500319  # 1 / (2 + f) between sqrt(1/2) - 1 and sqrt(2) - 1, to 0.3 %
LOG_START_1 = -0.254993
LOG_START_2 = 0.116863


def _fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """Give ``a * b + c`` with one rounding."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float64(types.float64, types.float64, types.float64), generate


def _float_to_bits(typing_context: Any, value: Any) -> Any:
    """Give the 64 bits of a float as an integer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), generate


def _float_from_bits(typing_context: Any, bits: Any) -> Any:
    """Give the float with these 64 bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), generate


def _prefer_wide_vectors(typing_context: Any) -> Any:
    """Ask LLVM for 512-bit vectors in the calling kernel.

    LLVM's tuning tables prefer 256 bits on Intel server cores, because rare wide instructions used
    to lower the clock. Our loops are nothing but wide arithmetic and run 1.4 to 1.8 times faster at
    512. Cores without AVX-512 ignore the wish.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # llvmlite lets through a fixed list of attributes only; its set renders this one verbatim.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.none(), generate


_compiled_call: Any = intrinsic  # its stub does not say that compiled code drops the first argument
fma: Callable[[float, float, float], float] = _compiled_call(_fma)
float_to_bits: Callable[[float], int] = _compiled_call(_float_to_bits)
float_from_bits: Callable[[int], float] = _compiled_call(_float_from_bits)
prefer_wide_vectors: Callable[[], None] = _compiled_call(_prefer_wide_vectors)


@njit(inline="always")
def exp(x: float) -> float:
    """e**x for any finite x; underflows to 0 below -708.3, saturates above 709."""
    x = min(max(x, -750.0), 709.0)
    shifted = fma(x, INVERSE_LN2, ROUNDING_MAGIC)
    exponent = shifted - ROUNDING_MAGIC
    power = float_to_bits(shifted) - ROUNDING_MAGIC_BITS
    r = fma(exponent, -LN2_HIGH, x)
    r = fma(exponent, -LN2_LOW, r)
    q = 2.5105217695684516e-08
    q = fma(q, r, 2.762008948195459e-07)
    q = fma(q, r, 2.755725539833871e-06)
    q = fma(q, r, 2.4801521293463862e-05)
    q = fma(q, r, 0.00019841269874822307)
    q = fma(q, r, 0.0013888888917215586)
    q = fma(q, r, 0.008333333333326134)
    q = fma(q, r, 0.04166666666662412)
    q = fma(q, r, 0.1666666666666667)
    q = fma(q, r, 0.5000000000000001)
    mantissa = 1.0 + fma(r * r, q, r)
    scale = float_from_bits((power + 1023) << 52)
    return mantissa * scale if x > -708.3 else 0.0


@njit(inline="always")
def reciprocal(x: float) -> float:
    """1 / x for a positive normal x, to half a unit in the last place or a hair more.

    A vector division keeps the divider busy for 16 cycles per 8 numbers; this takes 9 instructions.
    The first guess (5 % off) comes from the bits, then two steps of order 3 and one of order 2.
    """
    y = float_from_bits(RECIPROCAL_MAGIC_BITS - float_to_bits(x))
    e = fma(-x, y, 1.0)
    y = fma(y, fma(e, e, e), y)
    e = fma(-x, y, 1.0)
    y = fma(y, fma(e, e, e), y)
    return fma(y, fma(-x, y, 1.0), y)


@njit(inline="always")
def rough_reciprocal(x: float) -> float:
    """1 / x for a positive normal x, to 1e-11."""
    y = float_from_bits(RECIPROCAL_MAGIC_BITS - float_to_bits(x))
    e = fma(-x, y, 1.0)
    y = fma(y, fma(e, e, e), y)
    e = fma(-x, y, 1.0)
    return fma(y, fma(e, e, e), y)


@njit(inline="always")
def rough_inverse_sqrt(x: float) -> float:
    """1 / sqrt(x) for a positive normal x, to 1e-11; finite for x = 0."""
    y = float_from_bits(INVERSE_SQRT_MAGIC_BITS - (float_to_bits(x) >> 1))
    e = fma(-x * y, y, 1.0)
    y = fma(y * e, fma(0.375, e, 0.5), y)
    e = fma(-x * y, y, 1.0)
    return fma(y * e, fma(0.375, e, 0.5), y)


@njit(inline="always")
def inverse_sqrt(x: float) -> float:
    """1 / sqrt(x) for a positive normal x, to about one last unit; finite for x = 0."""
    y = rough_inverse_sqrt(x)
    return fma(0.5 * y, fma(-x * y, y, 1.0), y)


@njit(inline="always")
def sqrt_from_inverse(x: float, inverse: float) -> float:
    """sqrt(x) from 1 / sqrt(x), to half a unit in the last place; 0 for x = 0."""
    root = x * inverse
    return fma(fma(-root, root, x), 0.5 * inverse, root)


@njit(inline="always")
def log_quotient(numerator: float, denominator: float, inverse_denominator: float) -> float:
    """ln(numerator / denominator), accurate to about one unit in the last place also near 1.

    The rounding error of the quotient is recovered with a fused multiply-add and put back after the
    mantissa is split off. ``log(F / K)`` without it costs three digits of implied volatility at the
    money for an option of an hour.
    """
    quotient = numerator * inverse_denominator
    correction = fma(-quotient, denominator, numerator) * inverse_denominator
    bits = float_to_bits(quotient)
    power = (bits - SQRT_HALF_BITS) >> 52
    mantissa = float_from_bits(bits - (power << 52))
    scale = float_from_bits((1023 - power) << 52)
    exponent = float_from_bits(power + ROUNDING_MAGIC_BITS) - ROUNDING_MAGIC
    return log_of_parts(fma(correction, scale, mantissa - 1.0), exponent)


@njit(inline="always")
def log(x: float) -> float:
    """ln(x) for a positive normal x."""
    bits = float_to_bits(x)
    power = (bits - SQRT_HALF_BITS) >> 52
    mantissa = float_from_bits(bits - (power << 52))
    exponent = float_from_bits(power + ROUNDING_MAGIC_BITS) - ROUNDING_MAGIC
    return log_of_parts(mantissa - 1.0, exponent)


@njit(inline="always")
def log_of_parts(f: float, exponent: float) -> float:
    """ln(1 + f) + exponent ln 2 for a mantissa 1 + f between sqrt(1/2) and sqrt(2).

    Series of ln((1 + s) / (1 - s)) in s = f / (2 + f).
    """
    denominator = 2.0 + f
    y = fma(fma(LOG_START_2, f, LOG_START_1), f, LOG_START_0)
    e = fma(-denominator, y, 1.0)
    y = fma(y, fma(e, e, e), y)
    y = fma(y, fma(-denominator, y, 1.0), y)
    s = f * y
    z = s * s
    half_square = 0.5 * f * f
    r = 0.14617093237558204
    r = fma(r, z, 0.15331664799306263)
    r = fma(r, z, 0.1818289100504977)
    r = fma(r, z, 0.2222221110612709)
    r = fma(r, z, 0.28571428626173057)
    r = fma(r, z, 0.39999999999899005)
    r = fma(r, z, 0.666666666666667)
    tail = fma(s, fma(r, z, half_square), exponent * LN2_LOW)
    return fma(exponent, LN2_HIGH, f - (half_square - tail))


@njit(inline="always")
def erfcx_series(u: float) -> float:
    """P(u) = (x + 4.5) erfcx(x) with u = (x - 2.5) / (x + 4.5), for x >= -1."""
    p = -6.1129603379954426e-09
    p = fma(p, u, -1.964274214030399e-10)
    p = fma(p, u, 7.204639867334851e-08)
    p = fma(p, u, 3.6745806835580836e-09)
    p = fma(p, u, -4.78334185188758e-07)
    p = fma(p, u, -6.190441252736744e-09)
    p = fma(p, u, 2.570955766037251e-06)
    p = fma(p, u, -4.3655550185268554e-07)
    p = fma(p, u, -1.3077929058952466e-05)
    p = fma(p, u, 8.033843980962536e-06)
    p = fma(p, u, 6.428736154620651e-05)
    p = fma(p, u, -9.516514983509037e-05)
    p = fma(p, u, -0.00026341100406233555)
    p = fma(p, u, 0.000886877436916389)
    p = fma(p, u, 0.00021173646537468366)
    p = fma(p, u, -0.005983576423305324)
    p = fma(p, u, 0.012177090457255244)
    p = fma(p, u, 0.0084192474393723)
    p = fma(p, u, -0.11730187570480631)
    p = fma(p, u, 0.3962823785443787)
    p = fma(p, u, -0.8985296714437758)
    p = fma(p, u, 1.5869324667461764)
    p = fma(p, u, -2.3086076281178802)
    p = fma(p, u, 2.84237799775853)
    p = fma(p, u, -3.003984513927796)
    p = fma(p, u, 2.7433375637514446)
    p = fma(p, u, -2.1673754442719337)
    return fma(p, u, 1.475644548428005)


@njit(inline="always")
def erfcx_series_quotient(u1: float, u2: float) -> tuple[float, float]:
    """P(u1), and (P(u1) - P(u2)) / (u1 - u2) without cancellation, by one Horner recursion."""
    p = -6.1129603379954426e-09
    q = p
    p = fma(p, u1, -1.964274214030399e-10)
    q = fma(q, u2, p)
    p = fma(p, u1, 7.204639867334851e-08)
    q = fma(q, u2, p)
    p = fma(p, u1, 3.6745806835580836e-09)
    q = fma(q, u2, p)
    p = fma(p, u1, -4.78334185188758e-07)
    q = fma(q, u2, p)
    p = fma(p, u1, -6.190441252736744e-09)
    q = fma(q, u2, p)
    p = fma(p, u1, 2.570955766037251e-06)
    q = fma(q, u2, p)
    p = fma(p, u1, -4.3655550185268554e-07)
    q = fma(q, u2, p)
    p = fma(p, u1, -1.3077929058952466e-05)
    q = fma(q, u2, p)
    p = fma(p, u1, 8.033843980962536e-06)
    q = fma(q, u2, p)
    p = fma(p, u1, 6.428736154620651e-05)
    q = fma(q, u2, p)
    p = fma(p, u1, -9.516514983509037e-05)
    q = fma(q, u2, p)
    p = fma(p, u1, -0.00026341100406233555)
    q = fma(q, u2, p)
    p = fma(p, u1, 0.000886877436916389)
    q = fma(q, u2, p)
    p = fma(p, u1, 0.00021173646537468366)
    q = fma(q, u2, p)
    p = fma(p, u1, -0.005983576423305324)
    q = fma(q, u2, p)
    p = fma(p, u1, 0.012177090457255244)
    q = fma(q, u2, p)
    p = fma(p, u1, 0.0084192474393723)
    q = fma(q, u2, p)
    p = fma(p, u1, -0.11730187570480631)
    q = fma(q, u2, p)
    p = fma(p, u1, 0.3962823785443787)
    q = fma(q, u2, p)
    p = fma(p, u1, -0.8985296714437758)
    q = fma(q, u2, p)
    p = fma(p, u1, 1.5869324667461764)
    q = fma(q, u2, p)
    p = fma(p, u1, -2.3086076281178802)
    q = fma(q, u2, p)
    p = fma(p, u1, 2.84237799775853)
    q = fma(q, u2, p)
    p = fma(p, u1, -3.003984513927796)
    q = fma(q, u2, p)
    p = fma(p, u1, 2.7433375637514446)
    q = fma(q, u2, p)
    p = fma(p, u1, -2.1673754442719337)
    q = fma(q, u2, p)
    p = fma(p, u1, 1.475644548428005)
    return p, q


@njit(inline="always")
def erfcx_difference_quotient(x1: float, x2: float) -> float:
    """(erfcx(x1) - erfcx(x2)) / (x2 - x1), positive, to a few units in the last place.

    Holds also for x1 = x2 >= -1.  With ``A = x + 4.5`` both values are ``P(u) / A`` and
    ``u1 - u2 = 7 (x1 - x2) / (A1 A2)``, which leaves ``(P(u1) - 7 Q / A2) / (A1 A2)``: the
    difference of the arguments cancels analytically.
    """
    a1 = x1 + (SERIES_SHIFT + SERIES_SCALE)
    a2 = x2 + (SERIES_SHIFT + SERIES_SCALE)
    inverse_product = reciprocal(a1 * a2)
    inverse2 = a1 * inverse_product
    u1 = fma(-2.0 * SERIES_SCALE * a2, inverse_product, 1.0)
    u2 = fma(-2.0 * SERIES_SCALE, inverse2, 1.0)
    p, q = erfcx_series_quotient(u1, u2)
    return fma(-2.0 * SERIES_SCALE * inverse2, q, p) * inverse_product


@njit(inline="always")
def erfcx(x: float) -> float:
    """exp(x**2) erfc(x) for x >= -1."""
    inverse = reciprocal(x + (SERIES_SHIFT + SERIES_SCALE))
    return erfcx_series(fma(-2.0 * SERIES_SCALE, inverse, 1.0)) * inverse
