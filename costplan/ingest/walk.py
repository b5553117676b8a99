"""Flat chat pairs found in a block of raw bytes: one compiled pass that makes no object per line; judges no values.

A line whose every key and type is in SCHEMA gives a row of slots (one per field: its kind, the span of its value, its
number) and one entry per message. Any other line is declined and says nothing but where it lies.
"""

from typing import Any

import numpy as np

from costplan.ingest.hashing import U64, first_byte, jit, load64

ABSENT, NULL, FALSE, TRUE, INTEGER, DECIMAL, LONG, TEXT, ESCAPED = range(9)
"""Kinds of a value. LONG: a number that has more digits than are read exactly here. ESCAPED: a text with escapes."""
_TEXT, _NULL, _BOOL, _INT = 1 << TEXT | 1 << ESCAPED, 1 << NULL, 1 << FALSE | 1 << TRUE, 1 << INTEGER
_EXACT = _INT | 1 << DECIMAL
_NUMBER = _EXACT | 1 << LONG

SCHEMA: dict[str, dict[str, int | str]] = {
    "": {
        "id": _TEXT | _NULL, "timestamp": _NUMBER | _TEXT, "model": _TEXT | _NULL, "user": _TEXT | _NULL,
        "session": _TEXT | _NULL, "feature": _TEXT | _NULL, "request": "request", "response": "response",
        "latency_ms": _NUMBER | _NULL, "status_code": _INT,
    },
    "request": {
        "messages": "messages", "model": _TEXT | _NULL, "temperature": _EXACT | _NULL, "max_tokens": _INT | _NULL,
        "top_p": _NUMBER | _NULL, "seed": _INT | 1 << LONG | _NULL, "n": _INT | _NULL, "stream": _BOOL | _NULL,
    },
    "response": {
        "id": _TEXT, "object": _TEXT, "created": _INT | _NULL, "model": _TEXT, "choices": "choices", "usage": "usage",
        "system_fingerprint": _TEXT | _NULL,
    },
    "usage": {
        "prompt_tokens": _INT, "completion_tokens": _INT, "total_tokens": _INT,
        "prompt_tokens_details": "cached", "completion_tokens_details": "spent",
    },
    "cached": {"cached_tokens": _INT, "audio_tokens": _INT},
    "spent": {
        "reasoning_tokens": _INT, "audio_tokens": _INT, "accepted_prediction_tokens": _INT,
        "rejected_prediction_tokens": _INT,
    },
    "answer": {"role": _TEXT, "content": _TEXT},
    "choices": {"message": "answer", "finish_reason": _TEXT, "index": _INT, "logprobs": _NULL},
    "messages": {"role": _TEXT, "content": _TEXT},
}  # fmt: skip
"""By object: what each key may hold, kinds as bits or the name of an object; the last two objects stand in lists."""
ROLES = ("system", "user", "assistant", "tool", "developer")

FIELDS = tuple((place, key) for place, keys in SCHEMA.items() for key in keys)
SLOT = {f"{place}.{key}".lstrip("."): number for number, (place, key) in enumerate(FIELDS)}
_PLACES = list(SCHEMA)
_CHOICES, _MESSAGES, _ROLES = _PLACES.index("choices"), _PLACES.index("messages"), len(_PLACES)
_ROLE, _CONTENT = SLOT["messages.role"], SLOT["messages.content"]
_MESSAGE = U64(1 << _ROLE | 1 << _CONTENT)
_KEYS = [*((_PLACES.index(place), key) for place, key in FIELDS), *((_ROLES, role) for role in ROLES)]
_N_KEYS = len(_KEYS)
_ALLOWED = np.array(
    [k if isinstance(k, int) else _NULL * (k in ("cached", "spent")) for keys in SCHEMA.values() for k in keys.values()]
)
_CHILD = np.array([_PLACES.index(k) if isinstance(k, str) else -1 for keys in SCHEMA.values() for k in keys.values()])
_OWNER = np.array([np.flatnonzero(place == _CHILD)[0] if place else 0 for place in range(_ROLES)])
_FIRST = np.array([[place for place, _ in _KEYS].index(place) for place in range(_ROLES + 1)] + [_N_KEYS])
KEY_BYTES = 32
"""A key is compared in words of 8 bytes: so many bytes of any kind must stand behind the last line."""
_KEY_WORDS, _KEY_MASKS = (
    np.frombuffer(b"".join(text.ljust(KEY_BYTES, b"\0") for text in texts), U64).reshape(-1, KEY_BYTES // 8)
    for texts in ([b'%b"' % key.encode() for _, key in _KEYS], [b"\xff" * (len(key) + 1) for _, key in _KEYS])
)
_PLACE = np.array([place for place, _ in _KEYS])
_KEY_SIZES = np.array([len(key) for _, key in _KEYS])
_ONES, _HIGH, _QUOTES = U64(0x0101010101010101), U64(0x8080808080808080), U64(0x2222222222222222)
_SLASHES, _BLANKS, _NEWLINES = U64(0x5C5C5C5C5C5C5C5C), U64(0x2020202020202020), U64(0x0A0A0A0A0A0A0A0A)
_POWERS = np.array([10.0**power for power in range(23)])
_EXACT_BELOW = 1 << 53


@jit
def _is_key(data: Any, i: int, number: int) -> bool:
    """Whether the key or role with that number stands at data[i], closed by a quote."""
    for word in range(KEY_BYTES // 8):
        if (load64(data, i + 8 * word) ^ _KEY_WORDS[number, word]) & _KEY_MASKS[number, word]:
            return False
        if _KEY_SIZES[number] < 8 * word + 8:
            break
    return True


@jit
def _find(data: Any, i: int, place: int, guess: int) -> int:
    """Number of the key (or role) at data[i], tried first with a guess; -1 if the place knows none of that name."""
    if guess >= 0 and _is_key(data, i, guess):
        return guess
    for number in range(_FIRST[place], _FIRST[place + 1]):
        if _is_key(data, i, number):
            return number
    return -1


@jit
def _skip(data: Any, i: int) -> int:
    """Past blanks; a line end is none, it stops every loop here."""
    while data[i] == 32 or data[i] == 9 or data[i] == 13:
        i += 1
    return i


@jit
def _hex(data: Any, i: int) -> Any:
    """The number of four hexadecimal digits, or -1."""
    value = 0
    for k in range(i, i + 4):
        c = np.int64(data[k])
        if 48 <= c <= 57:
            value = value * 16 + c - 48
        elif 97 <= (c | 32) <= 102:
            value = value * 16 + (c | 32) - 87
        else:
            return -1
    return value


@jit
def _past_escape(data: Any, i: int) -> int:
    """Past an escape, or -1; a surrogate must be one half of a pair."""
    c = data[i + 1]
    if c == 34 or c == 92 or c == 47 or c == 98 or c == 102 or c == 110 or c == 114 or c == 116:
        return i + 2
    if c != 117:
        return -1
    value = _hex(data, i + 2)
    if value < 0 or 0xDC00 <= value < 0xE000:
        return -1
    if value < 0xD800 or value >= 0xE000:
        return i + 6
    if data[i + 6] != 92 or data[i + 7] != 117:
        return -1
    return i + 12 if 0xDC00 <= _hex(data, i + 8) < 0xE000 else -1


@jit
def _past_wide(data: Any, i: int) -> int:
    """Past a character of several bytes, or -1 where they are no UTF-8."""
    c, low, high = data[i], 0x80, 0xBF
    if 0xC2 <= c <= 0xDF:
        more = 1
    elif 0xE0 <= c <= 0xEF:
        more = 2
        low, high = (0xA0 if c == 0xE0 else 0x80), (0x9F if c == 0xED else 0xBF)
    elif 0xF0 <= c <= 0xF4:
        more = 3
        low, high = (0x90 if c == 0xF0 else 0x80), (0x8F if c == 0xF4 else 0xBF)
    else:
        return -1
    for k in range(i + 1, i + 1 + more):
        if not low <= data[k] <= high:
            return -1
        low, high = 0x80, 0xBF
    return i + 1 + more


@jit
def _text(data: Any, i: int) -> tuple[int, int]:
    """(closing quote or -1, kind) of the text whose first byte is data[i]."""
    kind = TEXT
    while True:
        w = load64(data, i)
        quote, slash = w ^ _QUOTES, w ^ _SLASHES
        odd = (((quote - _ONES) & ~quote) | ((slash - _ONES) & ~slash) | ((w - _BLANKS) & ~w) | w) & _HIGH
        if not odd:
            i += 8
            continue
        i += first_byte(odd)
        c = data[i]
        if c == 34:
            return i, kind
        if c == 92:
            kind = ESCAPED
            i = _past_escape(data, i)
        elif c >= 128:
            i = _past_wide(data, i)
        else:
            return -1, kind
        if i < 0:
            return -1, kind


@jit
def _number(data: Any, i: int) -> tuple[int, int, float]:
    """(end or -1, kind, value) of a number as JSON writes it; the value of a LONG one is not exact."""
    negative = data[i] == 45
    i += negative
    if not 48 <= data[i] <= 57:
        return -1, 0, 0.0
    whole, digits, places, exponent, kind = np.int64(0), 0, 0, 0, INTEGER
    leading_zero, start = data[i] == 48, i
    while 48 <= data[i] <= 57:
        if digits < 18:
            whole = whole * 10 + data[i] - 48
        digits += whole > 0
        i += 1
    if leading_zero and i > start + 1:
        return -1, 0, 0.0
    if data[i] == 46:
        kind, i = DECIMAL, i + 1
        start = i
        while 48 <= data[i] <= 57:
            if digits < 18:
                whole = whole * 10 + data[i] - 48
            digits += whole > 0
            i += 1
        places = i - start
        if not places:
            return -1, 0, 0.0
    if data[i] | 32 == 101:
        kind, i = DECIMAL, i + 1
        minus = data[i] == 45
        i += minus or data[i] == 43
        start = i
        while 48 <= data[i] <= 57 and i < start + 4:
            exponent = exponent * 10 + data[i] - 48
            i += 1
        if i == start:
            return -1, 0, 0.0
        exponent = -exponent if minus else exponent
    exponent -= places
    if exponent < -22 or exponent > 22 or digits > 40:
        return -1, 0, 0.0
    value = float(whole)
    value = value * _POWERS[exponent] if exponent >= 0 else value / _POWERS[-exponent]
    return i, LONG if digits > 18 or whole > _EXACT_BELOW else kind, -value if negative else value


@jit
def _word(data: Any, i: int) -> tuple[int, int]:
    """(end or -1, kind) of null, true or false."""
    if data[i] == 110 and data[i + 1] == 117 and data[i + 2] == 108 and data[i + 3] == 108:
        return i + 4, NULL
    if data[i] == 116 and data[i + 1] == 114 and data[i + 2] == 117 and data[i + 3] == 101:
        return i + 4, TRUE
    if data[i] == 102 and data[i + 1] == 97 and data[i + 2] == 108 and data[i + 3] == 115 and data[i + 4] == 101:
        return i + 5, FALSE
    return -1, 0


@jit
def _scalar(data: Any, i: int) -> tuple[int, int, int, int, float]:
    """(start, end or -1, what comes behind, kind, number) of a text, a number or a word; quotes are left out."""
    c = data[i]
    if c == 34:
        end, kind = _text(data, i + 1)
        return i + 1, end, end + 1, kind, 0.0
    if c == 45 or 48 <= c <= 57:
        end, kind, number = _number(data, i)
        return i, end, end, kind, number
    end, kind = _word(data, i)
    return i, end, end, kind, 0.0


@jit
def _line(
    data: Any, i: int, kinds: Any, spans: Any, numbers: Any, messages: Any, m: int, next_key: Any
) -> tuple[int, int]:
    """(end of the line or -1, messages so far): fills the row's slots and appends its messages.

    `next_key` remembers which key came behind which, and first in its object: the next line's will be the same.
    """
    kinds[:] = ABSENT
    place, seen, fresh, before = 0, U64(0), True, _N_KEYS
    if data[i] != 123:
        return -1, m
    i += 1
    while True:
        i = _skip(data, i)
        closed = fresh and data[i] == 125
        if closed:
            i += 1
        else:
            if data[i] != 34:
                return -1, m
            field = _find(data, i + 1, place, next_key[before])
            if field < 0 or seen & (U64(1) << U64(field)):
                return -1, m
            next_key[before], before = field, field
            seen |= U64(1) << U64(field)
            i = _skip(data, i + _KEY_SIZES[field] + 2)
            if data[i] != 58:
                return -1, m
            i = _skip(data, i + 1)
            c = data[i]
            if c == 123 or c == 91:
                child = _CHILD[field]
                if child < 0 or (c == 91) != (child >= _CHOICES):
                    return -1, m
                if c == 91:
                    i = _skip(data, i + 1)
                    if data[i] != 123:
                        return -1, m
                place, before, fresh, i = child, _N_KEYS + child, True, i + 1
                continue
            start, end, i, kind, number = _scalar(data, i)
            if end < 0 or not (_ALLOWED[field] >> kind) & 1:
                return -1, m
            kinds[field], numbers[field] = kind, number
            spans[field, 0], spans[field, 1] = start, end
        while True:  # behind a value
            i = _skip(data, i)
            if not closed:
                if data[i] == 44:
                    fresh, i = False, i + 1
                    break
                if data[i] != 125:
                    return -1, m
                closed, i = True, i + 1
                continue
            if place == _MESSAGES:
                role = _find(data, spans[_ROLE, 0], _ROLES, -1) if seen & _MESSAGE == _MESSAGE else -1
                if role < 0:
                    return -1, m
                messages[m, 0], messages[m, 1] = spans[_CONTENT, 0], spans[_CONTENT, 1]
                messages[m, 2], messages[m, 3] = role - len(FIELDS), kinds[_CONTENT] == ESCAPED
                seen, m = seen & ~_MESSAGE, m + 1
                if data[i] == 44:
                    i = _skip(data, i + 1)
                    if data[i] != 123:
                        return -1, m
                    before, fresh, i = _N_KEYS + place, True, i + 1
                    break
            if place == 0:
                return i if data[i] == 10 else -1, m
            if place >= _CHOICES:
                if data[i] != 93:
                    return -1, m
                i += 1
            before, closed = _OWNER[place], False
            place = _PLACE[before]


@jit
def _line_end(data: Any, i: int) -> int:
    while True:
        w = load64(data, i) ^ _NEWLINES
        odd = (w - _ONES) & ~w & _HIGH
        if odd:
            return i + first_byte(odd)
        i += 8


@jit
def walk(data: Any, at: int, kinds: Any, spans: Any, numbers: Any, lines: Any, messages: Any) -> tuple[int, int]:
    """(lines read, where the next one begins): reads whole lines of `data`, as many as the tables have rows.

    `lines` gets begin, end, whether the line is plain, and how many messages there are up to here; a message is
    (begin, end, role, whether it holds escapes). The last KEY_BYTES bytes of `data` are no lines.
    """
    row, m, next_key = 0, 0, np.full(_N_KEYS + _ROLES, -1)
    while at < len(data) - KEY_BYTES and row < len(lines):
        end, after = _line(data, at, kinds[row], spans[row], numbers[row], messages, m, next_key)
        lines[row, 0], lines[row, 2] = at, end >= 0
        if end < 0:
            kinds[row, :] = ABSENT
            end = _line_end(data, at)
        else:
            m = after
        lines[row, 1], lines[row, 3] = end, m
        row, at = row + 1, end + 1
    return row, at
