"""Keys of many byte spans in one compiled loop, by the xxhash package's own function; knows no text."""

from importlib.util import find_spec
from typing import Any

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic
from numpy.typing import NDArray

jit: Any = numba.njit(cache=True)
_intrinsic: Any = intrinsic
_types: Any = numba.types
U64 = np.uint64
Ints = NDArray[np.int64]

_spec = find_spec("xxhash._xxhash")
assert _spec is not None and _spec.origin is not None
llvmlite.binding.load_library_permanently(_spec.origin)
# xxhash.h: `XXH64_hash_t XXH3_64bits(const void* input, size_t length)`; by name, so that compiled loops can be kept
_xxh3: Any = _types.ExternalFunction("XXH3_64bits", _types.uint64(_types.intp, _types.intp))


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


@jit
def keys_of(data: Any, starts: Any, ends: Any) -> NDArray[np.uint64]:
    """xxh3 of every span of a byte array."""
    keys, base = np.empty(len(starts), U64), data.ctypes.data
    for index in range(len(starts)):
        keys[index] = _xxh3(base + starts[index], ends[index] - starts[index])
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
