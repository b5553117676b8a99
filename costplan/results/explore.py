"""explore.json: what some of a log's requests cost, grouped."""

from typing import Any, Literal

import msgspec

from costplan.results import Input

EXPLORE_SCHEMA = "costplan/explore/1"


class ExploreRow(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens and dollars are those of the requests with a price."""

    key: list[str]
    """A value for each column of `by`; users and sessions by rank of spend, never by name."""
    requests: int
    cost_usd: float | None
    """None where no request has a price."""
    share: float | None
    """Of the cost of all requests that are shown."""
    usd_per_request: float | None
    """Per request with a price."""
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    failed: int
    unpriced: int


class Explore(msgspec.Struct, frozen=True, kw_only=True):
    schema: Literal["costplan/explore/1"] = EXPLORE_SCHEMA
    inputs: list[Input]
    by: list[str]
    where: str
    sort: str
    requests: int
    """That are shown."""
    requests_log: int
    cost_usd: float | None
    """Of the requests that are shown, at the calls' dates."""
    cost_usd_log: float | None
    groups: int
    rows: list[ExploreRow]
    rest: ExploreRow | None
    """What is below the top, in one row."""
    total: ExploreRow
    warnings: list[str] = []


def explore_json(document: Explore) -> bytes:
    """Indented UTF-8 JSON, keys in declaration order, the same bytes for the same document."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def explore_schema() -> dict[str, Any]:
    """JSON Schema (2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Explore)}
