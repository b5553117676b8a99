"""What exports of gateways share: bodies beside columns, free properties, error names; knows no gateway's columns."""

from typing import Any

from costplan.ingest import pairs
from costplan.ingest.fields import as_int, as_text
from costplan.ingest.request import soft_float
from costplan.ingest.response import set_usage
from costplan.ingest.usage import usage_of
from costplan.trace import Call, NotACall

_LONGEST_LABEL = 60


def calls_of(pair: dict[str, Any], tokens: tuple[Any, Any], columns: dict[str, Any]) -> list[Call | NotACall]:
    """The calls of a request beside a response, in the names that `pairs` reads, whatever of both was logged.

    `tokens` is (input, output) as the export's own columns count them, inclusive: a response body with usage counts
    instead, since its rule is known. `columns` is a usage object's remaining fields (total, details of both counts).
    """
    tokens_in, tokens_out = map(count_of, tokens)
    if not tokens_in and not tokens_out:
        tokens_in = tokens_out = None  # what gateways write where they saw no usage: unknown, not free
    model = as_text(pair.get("model")) or ("unknown" if tokens_in is not None else "")
    rows = pairs.calls({**pair, "model": model, "method": "POST"})
    call = rows[0]
    if isinstance(call, Call) and call.input_tokens is None and tokens_in is not None:
        counted = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out or 0}
        set_usage(call, usage_of({"usage": counted | columns}))
        call.possibly_billed = call.possibly_billed or (not call.ok and bool(tokens_out))
    return rows


def count_of(value: Any) -> int | None:
    """A token count; gateways write -1 for unknown. Raises BadRecord on what is no number."""
    count = as_int(value)
    return None if count is not None and count < 0 else count


def status_of(status: Any, *, ok: bool = True) -> dict[str, Any]:
    """What `pairs` reads an outcome from: the HTTP status where there is one, else whether the export says failed."""
    number = int(soft_float(status) or 0)
    return {"status_code": number} if 100 <= number < 600 else {} if ok else {"status": "failed"}


def labels_of(properties: dict[str, Any]) -> list[str]:
    """Free properties as tags `key=value`, sorted; no ids (one tag a call helps nobody) and no long values."""
    found = {key: text for key, value in properties.items() if (text := as_text(value)) is not None}
    return sorted(
        f"{key}={text}"
        for key, text in found.items()
        if len(key) + len(text) < _LONGEST_LABEL and not key.lower().endswith(("id", "key", "token"))
    )
