"""Compressed files as byte streams that end where the data is damaged and stop decompression bombs; knows no records.

Kinds are told by magic bytes, not by name. Of a damaged gzip file everything before the damage is given out.
"""

import codecs
import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Literal, cast

from costplan.errors import CostplanError

Compression = Literal["", "gzip", "zstd", "utf-16"]
"""UTF-16 with its byte order mark is unpacked like the others: as UTF-8 behind the same stream."""

MAX_EXPANSION = 250
"""Logs shrink 5- to 40-fold; a file that expands more than this after its first 256 MB is taken for a bomb."""
BOMB_FLOOR_BYTES = 256 << 20
_INPUT_BYTES = 1 << 16


def compression_of(magic: bytes) -> Compression:
    """The compression that a file's first four bytes name."""
    if magic[:2] in (b"\xff\xfe", b"\xfe\xff") and magic != b"\xff\xfe\0\0":
        return "utf-16"
    return "gzip" if magic[:2] == b"\x1f\x8b" else "zstd" if magic == b"\x28\xb5\x2f\xfd" else ""


def open_unpacked(file: Path, compression: Compression, shown: str) -> IO[bytes]:
    """The decompressed bytes as a stream; reading raises CostplanError once it expands like a decompression bomb."""
    raw = file.open("rb")
    if not compression:
        return raw
    if compression == "gzip":
        inner: Any = _Gunzip(raw)
    elif compression == "utf-16":
        inner = _Utf16(raw)
    else:
        import zstandard

        inner = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True, closefd=True)
    return cast(IO[bytes], io.BufferedReader(_Guarded(inner, shown, file.stat().st_size)))


def damaged(stream: IO[bytes]) -> bool:
    """Whether a stream ended before its compressed data did."""
    return getattr(getattr(stream, "raw", None), "damaged", False)


class _Guarded(io.RawIOBase):
    """A decompressed stream that counts what it gives out and remembers whether it ended in damage."""

    def __init__(self, inner: Any, shown: str, size: int) -> None:
        self._inner, self._shown, self._out = inner, shown, 0
        self._most = max(BOMB_FLOOR_BYTES, MAX_EXPANSION * size)
        self.damaged = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = b"" if self.damaged else self._inner.read1(len(buffer))
        except Exception:  # EOFError, OSError, zlib.error, ZstdError, isal's own: all mean that the rest is unreadable
            data, self.damaged = b"", True
        buffer[: len(data)] = data
        self._out += len(data)
        if self._out > self._most:
            raise CostplanError(
                f"{self._shown}: expands more than {MAX_EXPANSION}-fold, stopped as a decompression bomb",
                hint="if you trust the file, decompress it yourself and name the result",
            )
        return len(data)

    def close(self) -> None:
        self._inner.close()
        super().close()


class _Gunzip:
    """All members of a gzip file. The library's readers drop what they decompressed before they meet the damage."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw, self._start = raw, _inflater()
        self._member = self._start()
        self._input = b""

    def read1(self, size: int) -> bytes:
        while True:
            packed = self._input or self._raw.read(_INPUT_BYTES)
            if self._member.eof:
                packed = packed.lstrip(b"\0")  # tapes and some writers pad with zeros
                if not packed:
                    return b""
                self._member = self._start()
            elif not packed:
                raise EOFError
            data = self._member.decompress(packed, size)
            self._input = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if data:
                return data

    def close(self) -> None:
        self._raw.close()


def _inflater() -> Callable[[], Any]:
    """Makes decompressors of one gzip member, by isal where it is installed."""
    try:
        from isal import isal_zlib
    except ModuleNotFoundError:
        return lambda: zlib.decompressobj(31)
    return lambda: cast(Any, isal_zlib).decompressobj(31)


class _Utf16:
    """UTF-16 text as UTF-8; half a character at the end, or half of a pair, is U+FFFD."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw, self._decoder, self._left = raw, codecs.getincrementaldecoder("utf-16")("replace"), b""

    def read1(self, size: int) -> bytes:
        while not self._left:
            read = self._raw.read(_INPUT_BYTES)
            self._left = self._decoder.decode(read, final=not read).encode()
            if not read:
                break
        data, self._left = self._left[:size], self._left[size:]
        return data

    def close(self) -> None:
        self._raw.close()
