"""Rung 1, lossless: JSON without blanks between its tokens, lines without blanks at their ends, no block twice.

JSON is minified token by token, so numbers, escapes, double keys and order stay as they are spelled; a document that
does not come back equal is left alone. A block that the same request holds already is replaced by a pointer to it.
"""

from collections.abc import Collection

import msgspec

from costplan.compression.documents import DECODER, Document, Spans, code_spans, documents

MIN_BLOCK_CHARS = 200
"""Shorter paragraphs are not worth a pointer."""
_POINTER, _POINTER_END, _POINTER_CHARS = "[same as above: ", "…]", 40


def exact(text: str) -> str:
    """The text with minified JSON and without trailing blanks; code in fences stays as it is."""
    return without_trailing_blanks(
        replaced(text, [(each, new) for each in documents(text) if (new := minified(text, each))])
    )


def minified(text: str, document: Document) -> str | None:
    """The document without blanks; None where it is no strict JSON or would not come back equal."""
    before = text[document.start : document.end]
    try:
        after = msgspec.json.format(before.encode("utf-8"), indent=-1).decode("utf-8")
        return after if len(after) == len(before) or DECODER.decode(after) == document.tree else None
    except (ValueError, RecursionError):
        return None


def replaced(text: str, documents: list[tuple[Document, str]]) -> str:
    """The text with new spellings of its documents."""
    pieces: list[str] = []
    at = 0
    for document, spelling in documents:
        pieces += (text[at : document.start], spelling)
        at = document.end
    return "".join([*pieces, text[at:]]) if pieces else text


def without_trailing_blanks(text: str) -> str:
    """No blanks before a line's end, except in fenced code; those at the text's end are a token at most, and stay."""
    if " \n" not in text and "\t\n" not in text:
        return text
    pieces: list[str] = []
    at = 0
    for start, end in code_spans(text):
        pieces += (_stripped_lines(text[at:start]), text[start:end])
        at = end
    pieces.append(_stripped_lines(text[at:]))
    return "".join(pieces)


def _stripped_lines(text: str) -> str:
    *lines, last = text.split("\n")
    return "\n".join([*(line.rstrip(" \t") for line in lines), last])


def long_blocks(text: str) -> tuple[int, ...]:
    """Hashes (of this process) of the paragraphs that are long enough to point at."""
    if len(text) < MIN_BLOCK_CHARS:
        return ()
    return tuple(hash(block) for block in text.split("\n\n") if len(block) >= MIN_BLOCK_CHARS)


def without_repeats(texts: list[str], editable: list[bool], gone: Collection[int] = ()) -> list[str]:
    """The texts of one request, each long paragraph only once; later ones give way to a pointer to the first.

    A pointer names how the paragraph begins, and is only set where no other paragraph before it begins like that, so
    that the texts can be restored. Code in fences stays as it is, and nothing points at the texts `gone`.
    """
    if any(_POINTER in text for text in texts):
        return texts
    firsts: dict[str, str] = {}
    found: list[str] = []
    for number, (text, may_change) in enumerate(zip(texts, editable, strict=True)):
        code = Spans(code_spans(text))
        at, blocks = 0, list[str]()
        for block in text.split("\n\n"):
            place, at = at, at + len(block) + 2
            shown = block[:_POINTER_CHARS]
            again = firsts.get(shown) == block and len(block) >= MIN_BLOCK_CHARS and not code.meet(place, at)
            if number not in gone:
                firsts.setdefault(shown, block)
            blocks.append(f"{_POINTER}{shown}{_POINTER_END}" if again and may_change else block)
        found.append("\n\n".join(blocks))
    return found
