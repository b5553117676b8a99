"""The part of plan.json on latency: today and after the ladder, and what streaming would do."""

import msgspec

from costplan.results.estimate import Estimate


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    p50: Estimate
    p95: Estimate


class Latencies(msgspec.Struct, frozen=True, kw_only=True):
    ttft_s: Percentiles
    e2e_s: Percentiles


class Streaming(msgspec.Struct, frozen=True, kw_only=True):
    """When users see the first token."""

    unstreamed_share: float
    """Of the calls with a known latency: those that are not streamed."""
    before: Percentiles
    after: Percentiles
    """Where every call streams."""


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    before: Latencies
    """As logged, of the successful calls."""
    after: Latencies
    """Of the same calls, where the exact cache answers the literal repeats and verified routes take other models."""
    lookup_s: Estimate
    """What an answer from the cache takes."""
    streaming: Streaming | None = None
    """None where every call streams, or no latency is known."""
