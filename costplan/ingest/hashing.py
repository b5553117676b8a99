"""xxh3 of many byte spans in one compiled loop: the 64-bit keys of the xxhash package (a test compares); knows no text.

After github.com/Cyan4973/xxHash, doc/xxhash_spec.md: XXH3, 64 bits, seed 0.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic
from numpy.typing import NDArray

jit: Any = numba.njit(cache=True)
_intrinsic: Any = intrinsic
_types: Any = numba.types
U64 = np.uint64

_SECRET = np.frombuffer(
    bytes.fromhex(
        "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221b8084674f743248e"
        "e03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8a8fa763fe39c343ff9dcbbc7c70b4f1d"
        "8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc"
        "8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
    ),
    np.uint8,
)
_P32 = tuple(U64(prime) for prime in (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D))
_P64 = tuple(
    U64(prime)
    for prime in (
        0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5,
    )
)  # fmt: skip
_START = np.array([_P32[2], _P64[0], _P64[1], _P64[2], _P64[3], _P32[1], _P64[4], _P32[0]], U64)
_AVALANCHE, _RRMXMX, _LOW = U64(0x165667919E3779F9), U64(0x9FB21C651E98DF25), U64(0xFFFFFFFF)
_STRIPE, _BLOCK = 64, 1024
Ints = NDArray[np.int64]
_BITS = tuple(U64(bits) for bits in range(64))


@_intrinsic
def load64(_context: Any, data: Any, _at: Any) -> Any:
    """The 8 bytes of an array from an index on, little-endian, wherever they lie."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        word = ir.IntType(64)
        place = builder.bitcast(builder.gep(array.data, [args[1]]), word.as_pointer())
        return builder.load(place, align=1, typ=word)

    return _types.uint64(data, _types.intp), generate


@_intrinsic
def first_byte(_context: Any, _marks: Any) -> Any:
    """Index of the first of 8 bytes that is marked by its highest bit; there must be one."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        zeros = builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))
        return builder.lshr(zeros, ir.Constant(ir.IntType(64), 3))

    return _types.intp(_types.uint64), generate


@_intrinsic
def _product(_context: Any, _one: Any, _other: Any) -> Any:
    """Both halves of a 128-bit product, xored."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        wide, word = ir.IntType(128), ir.IntType(64)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        high = builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), word)
        return builder.xor(builder.trunc(product, word), high)

    return _types.uint64(_types.uint64, _types.uint64), generate


@jit
def _load32(data: Any, at: int) -> Any:
    low = U64(data[at]) | (U64(data[at + 1]) << _BITS[8])
    return low | (U64(data[at + 2]) << _BITS[16]) | (U64(data[at + 3]) << _BITS[24])


@jit
def _avalanche(h: Any) -> Any:
    h = (h ^ (h >> _BITS[37])) * _AVALANCHE
    return h ^ (h >> _BITS[32])


@jit
def _mixed(data: Any, at: int, secret: int) -> Any:
    low = load64(data, at) ^ load64(_SECRET, secret)
    return _product(low, load64(data, at + 8) ^ load64(_SECRET, secret + 8))


@jit
def _up_to_16(data: Any, at: int, size: int) -> Any:
    if size > 8:
        low = load64(data, at) ^ load64(_SECRET, 24) ^ load64(_SECRET, 32)
        high = load64(data, at + size - 8) ^ load64(_SECRET, 40) ^ load64(_SECRET, 48)
        swapped, rest = U64(0), low
        for _ in range(8):
            swapped = (swapped << _BITS[8]) | (rest & U64(255))
            rest >>= _BITS[8]
        return _avalanche(U64(size) + swapped + high + _product(low, high))
    if size > 3:
        h = _load32(data, at + size - 4) + (_load32(data, at) << _BITS[32])
        h ^= load64(_SECRET, 8) ^ load64(_SECRET, 16)
        h ^= ((h << _BITS[49]) | (h >> _BITS[15])) ^ ((h << _BITS[24]) | (h >> _BITS[40]))
        h *= _RRMXMX
        h = (h ^ ((h >> _BITS[35]) + U64(size))) * _RRMXMX
        return h ^ (h >> _BITS[28])
    if size > 0:
        h = (U64(data[at]) << _BITS[16]) | (U64(data[at + (size >> 1)]) << _BITS[24])
        h |= U64(data[at + size - 1]) | (U64(size) << _BITS[8])
        h ^= _load32(_SECRET, 0) ^ _load32(_SECRET, 4)
    else:
        h = load64(_SECRET, 56) ^ load64(_SECRET, 64)
    h = (h ^ (h >> _BITS[33])) * _P64[1]
    h = (h ^ (h >> _BITS[29])) * _P64[2]
    return h ^ (h >> _BITS[32])


@jit
def _up_to_240(data: Any, at: int, size: int) -> Any:
    h = U64(size) * _P64[0]
    if size <= 128:
        for pair in range((size - 1) // 32, -1, -1):
            h += _mixed(data, at + 16 * pair, 32 * pair)
            h += _mixed(data, at + size - 16 * (pair + 1), 32 * pair + 16)
        return _avalanche(h)
    for chunk in range(8):
        h += _mixed(data, at + 16 * chunk, 16 * chunk)
    h = _avalanche(h)
    for chunk in range(8, size // 16):
        h += _mixed(data, at + 16 * chunk, 16 * (chunk - 8) + 3)
    return _avalanche(h + _mixed(data, at + size - 16, 119))


@jit
def _accumulate(lanes: Any, data: Any, at: int, secret: int) -> None:
    for lane in range(8):
        word = load64(data, at + 8 * lane)
        key = word ^ load64(_SECRET, secret + 8 * lane)
        lanes[lane ^ 1] += word
        lanes[lane] += (key & _LOW) * (key >> _BITS[32])


@jit
def _longer(data: Any, at: int, size: int, lanes: Any) -> Any:
    lanes[:] = _START
    stripes = (size - 1) // _STRIPE
    for stripe in range(stripes):
        _accumulate(lanes, data, at + _STRIPE * stripe, 8 * (stripe % 16))
        if stripe % 16 == 15:
            for lane in range(8):
                h = lanes[lane]
                lanes[lane] = (h ^ (h >> _BITS[47]) ^ load64(_SECRET, 128 + 8 * lane)) * _P32[0]
    _accumulate(lanes, data, at + size - _STRIPE, 121)
    h = U64(size) * _P64[0]
    for pair in range(4):
        low = lanes[2 * pair] ^ load64(_SECRET, 11 + 16 * pair)
        h += _product(low, lanes[2 * pair + 1] ^ load64(_SECRET, 19 + 16 * pair))
    return _avalanche(h)


@jit
def keys_of(data: Any, starts: Any, ends: Any) -> NDArray[np.uint64]:
    """xxh3 of every span of a byte array."""
    keys, lanes = np.empty(len(starts), U64), np.empty(8, U64)
    for index in range(len(starts)):
        at, size = starts[index], ends[index] - starts[index]
        if size <= 16:
            keys[index] = _up_to_16(data, at, size)
        elif size <= 240:
            keys[index] = _up_to_240(data, at, size)
        else:
            keys[index] = _longer(data, at, size, lanes)
    return keys


@jit
def _number_keys(keys: Any, table: Any, numbers: Any, count: int) -> tuple[Ints, Ints]:
    found, new, news = np.empty(len(keys), np.int64), np.empty(len(keys), np.int64), 0
    for index in range(len(keys)):
        key = keys[index] if keys[index] else U64(1)  # 0 marks a free place
        at = np.int64(key & U64(len(table) - 1))
        while table[at] != key and table[at]:
            at = (at + 1) & (len(table) - 1)
        if not table[at]:
            table[at], numbers[at] = key, count + news
            new[news] = index
            news += 1
        found[index] = numbers[at]
    return found, new[:news]


class KeyTable:
    """Numbers keys in the order in which they come."""

    def __init__(self) -> None:
        self.count = 0
        self._keys, self._numbers = np.zeros(1 << 10, U64), np.zeros(1 << 10, np.int64)

    def numbers(self, keys: NDArray[np.uint64]) -> tuple[Ints, Ints]:
        """(number of every key, the places at which keys stand that are new)."""
        if 2 * (self.count + len(keys)) > len(self._keys):
            old, place = np.flatnonzero(self._keys), 4 * (self.count + len(keys))
            order = old[np.argsort(self._numbers[old])]
            known = self._keys[order]
            size = 1 << place.bit_length()
            self._keys, self._numbers = np.zeros(size, U64), np.zeros(size, np.int64)
            _number_keys(known, self._keys, self._numbers, 0)
        found, new = _number_keys(keys, self._keys, self._numbers, self.count)
        self.count += len(new)
        return found, new
