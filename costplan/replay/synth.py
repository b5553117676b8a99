"""Prompts made up from token counts and prefix blocks: the same trace gives the same bytes on every machine.

A token is a 32-bit number, taken modulo the size of a vocabulary. A block that requests share is drawn from its own
number (BLAKE2b), what a request has for itself from the request's number (SHAKE128): equal prefixes stay equal, all
else differs. Python's hash() differs from process to process and is not used. Nothing here knows a server or a clock.
"""

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from costplan.profiles import profile_path
from costplan.replay.traffic import PROMPT_BLOCK
from costplan.serving.workload import Workload

_BYTES = 4
Numbers = NDArray[np.uint32]


def prompt_numbers(workload: Workload, request: int, row: int) -> Numbers:
    """The tokens of one prompt before they are mapped to a vocabulary, exactly as many as the trace says.

    `row` names the request in the log. Shared blocks that reach into the generated tokens are cut at the prompt's end.
    """
    length = int(workload.input_tokens[request])
    start, end = workload.shared_offsets[request : request + 2].tolist()
    shared = b"".join(_block(block) for block in workload.shared_ids[start:end].tolist())[: _BYTES * length]
    own = hashlib.shake_128(b"own" + row.to_bytes(8, "little")).digest(_BYTES * length - len(shared))
    return np.frombuffer(shared + own, dtype="<u4")


def _block(number: int) -> bytes:
    return hashlib.blake2b(b"shared" + number.to_bytes(8, "little"), digest_size=_BYTES * PROMPT_BLOCK).digest()


def common_words() -> list[str]:
    """Short English words that tokenizers hold as one token each, with the blank before them."""
    return profile_path("prompts", "words.txt").read_text("ascii").split()


def single_tokens(words: list[str], tokenize: Callable[[str], list[int]]) -> list[int]:
    """The token of each word that is one token by itself; halves are asked until a count is right."""
    found = tokenize("".join(f" {word}" for word in words))
    if len(found) == len(words):
        return found
    if len(words) == 1:
        return []
    middle = len(words) // 2
    return single_tokens(words[:middle], tokenize) + single_tokens(words[middle:], tokenize)


def as_text(numbers: Numbers, words: list[str]) -> str:
    """Words with a blank before each."""
    return "".join(f" {words[number]}" for number in (numbers % len(words)).tolist())


def as_ids(numbers: Numbers, vocabulary: NDArray[np.int64]) -> list[int]:
    """Token ids."""
    return vocabulary[numbers % len(vocabulary)].tolist()
