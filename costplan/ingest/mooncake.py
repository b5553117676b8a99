"""Mooncake hash traces (ms, prefix blocks); the file states neither unit nor block size, so the row's lengths must."""

from typing import Any

from costplan.ingest.fields import as_int, as_list
from costplan.ingest.loose import offset_us
from costplan.trace import BadRecord, Call, NotACall

NAME = "mooncake"
RULE = "input_length and output_length are whole prompts and whole answers: taken as they are"

# 512 is Mooncake's own; others appear in traces that borrow its columns. Short rows fit several: 512 wins.
_BLOCK_SIZES = (512, 16, 32, 64, 128, 256, 1024)


def matches(record: dict[str, Any]) -> bool:
    """Bailian's rows have hash ids too, but chat ids beside them."""
    return "timestamp" in record and "input_length" in record and "output_length" in record and "chat_id" not in record


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """One call per row; the block size is the one for which len(hash_ids) == ceil(input_length / size)."""
    tokens_in, tokens_out = as_int(record.get("input_length")), as_int(record.get("output_length"))
    offset = offset_us(record.get("timestamp"), 1e3)
    if tokens_in is None or tokens_out is None:
        raise BadRecord("missing_tokens")
    ids = block_ids(record.get("hash_ids"))
    sizes = [as_int(record["block_size"]) or 0] if "block_size" in record else _BLOCK_SIZES
    size = next((s for s in sizes if s > 0 and len(ids) == -(-tokens_in // s)), 0)
    if ids and not size:
        raise BadRecord("hash_ids_do_not_fit_input")
    call = Call(
        time_us=offset,
        time_is_relative=offset is not None,
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        block_ids=ids,
        block_size=size if ids else 0,
    )
    return [call]


def block_ids(value: Any) -> list[int]:
    """Prefix block ids as whole numbers, from a list or its JSON text."""
    ids = [as_int(item) for item in as_list(value)]
    found = [item for item in ids if item is not None]
    if len(found) != len(ids) or (value and not ids and value != "[]"):
        raise BadRecord("bad_hash_ids")
    return found
