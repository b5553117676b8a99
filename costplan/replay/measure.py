"""requests.jsonl -> the figures of a run; it sends nothing and knows no price.

Latencies count from the moment a request was due, those `from_send` from its last byte. TTFT: to the first token. E2E:
to the last one. TPOT: (E2E - TTFT) / (output tokens - 1), by the server's own count. ITL: every gap between two chunks
with text. A latency is of completed requests after the warm-up; rates are of the steady window.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from costplan.results.measurement import RequestRecord, ServerFacts
from costplan.results.serving import KvFacts, RequestCounts, RunFigures, Spread
from costplan.serving.slo import Slo
from costplan.serving.summary import balanced_req_s, inside_limits, spread

RAMP = 0.9
"""The run is steady from when this share of its usual number in flight is reached."""
STEADY_SHARE = 0.1
STEADY_REQUESTS = 20
"""A window shorter than this share of the run, or with fewer completed requests, is none: rates are of all of it."""
BLOCKS = 10
_T_QUANTILE = 2.2621571628  # Student's t, 9 degrees of freedom, 97.5 %
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_QUEUE = "request_queue_time_seconds"
_TIMES = ("due_s", "dispatched_s", "sent_s", "first_token_s", "last_token_s", "done_s")
_COUNTS = ("input_tokens", "cached_tokens", "output_tokens", "asked_input_tokens", "asked_output_tokens")


@dataclass(frozen=True, kw_only=True, eq=False)
class Records:
    """The columns of requests.jsonl, in order of due time; times that did not happen are NaN, counts nobody gave -1."""

    index: Ints
    """Row of the script."""
    times: dict[str, Floats]
    counts: dict[str, Ints]
    completed: Bools
    sent: Bools
    chunks: Ints
    gaps_s: Floats
    gap_request: Ints
    """Place of the request that each gap belongs to."""
    failures: dict[str, int]

    @cached_property
    def ttft_s(self) -> Floats:
        return self.times["first_token_s"] - self.times["due_s"]

    @cached_property
    def e2e_s(self) -> Floats:
        return self.times["last_token_s"] - self.times["due_s"]

    @cached_property
    def tokens_out(self) -> Ints:
        """The server's count; without one, a chunk is a token."""
        return np.where(self.counts["output_tokens"] >= 0, self.counts["output_tokens"], self.chunks)

    @cached_property
    def tpot_s(self) -> Floats:
        gaps = self.tokens_out - 1
        return np.where(gaps > 0, (self.e2e_s - self.ttft_s) / np.maximum(gaps, 1), np.nan)

    def tokens_until(self, moments: Floats) -> tuple[Floats, Floats]:
        """(input, output) tokens done by each moment: prompts at their first token, answers evenly from it to the last.

        Those of failed requests count as far as they came: the server had the work.
        """
        first, last = self.times["first_token_s"], self.times["last_token_s"]
        some = np.isfinite(first)
        first, last, out = first[some], last[some], self.tokens_out[some]
        known = self.counts["input_tokens"][some]
        prompt = np.where(known >= 0, known, np.maximum(self.counts["asked_input_tokens"][some], 0))
        done = np.array([prompt[first <= moment].sum() for moment in moments.tolist()], np.float64)
        parts = ((m - first + 1e-12) / (last - first + 1e-12) for m in moments.tolist())
        return done, np.array([(out * np.clip(part, 0, 1)).sum() for part in parts], np.float64)


class Figures(RunFigures, frozen=True, kw_only=True):
    """What a measured run comes to; the fields of `results.measurement.Measurement` that its requests decide."""

    from_send: dict[str, Spread]
    failures: dict[str, int]
    steady: tuple[float, float] | None
    lengths_exact_share: float | None
    output_exact_share: float | None
    token_chunk_ratio: float | None


def read_records(path: Path) -> Records:
    """A last line that a killed run left unfinished is passed over."""
    decoder = msgspec.json.Decoder(RequestRecord)
    columns: dict[str, list[Any]] = {name: [] for name in (*_TIMES, *_COUNTS)}
    states: list[str] = []
    index: list[int] = []
    gaps: list[Floats] = []
    failures: Counter[str] = Counter()
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            record = decoder.decode(line)
            for name in _TIMES:
                columns[name].append(np.nan if (value := getattr(record, name)) is None else value)
            for name in _COUNTS:
                columns[name].append(-1 if (value := getattr(record, name)) is None else value)
            states.append(record.state)
            index.append(record.index)
            gaps.append(np.array(record.gaps_s, np.float64))
            if record.state != "completed":
                failures[record.reason or record.state] += 1
    order = np.lexsort((np.array(index, np.int64), np.array(columns["due_s"], np.float64)))
    state = np.array(states, "U9")[order]
    gaps = [gaps[place] for place in order.tolist()]
    times = {name: np.array(columns[name], np.float64)[order] for name in _TIMES}
    lengths = np.array([len(each) for each in gaps], np.int64)
    return Records(
        index=np.array(index, np.int64)[order], times=times,
        counts={name: np.array(columns[name], np.int64)[order] for name in _COUNTS},
        completed=state == "completed", sent=state != "unsent",
        chunks=np.where(np.isfinite(times["first_token_s"]), lengths + 1, 0),
        gaps_s=np.concatenate(gaps) if gaps else np.zeros(0), gap_request=np.repeat(np.arange(len(gaps)), lengths),
        failures=dict(sorted(failures.items(), key=lambda item: (-item[1], item[0]))),
    )  # fmt: skip


def figures(
    records: Records, slo: Slo, server: ServerFacts, *, warm_up: Bools | None = None, open_loop: bool = True
) -> Figures:
    """`warm_up`: requests that count for nothing but the books."""
    counted = np.ones(len(records.sent), np.bool_) if warm_up is None else ~warm_up
    ok = records.completed & counted
    window = steady_window(records, counted)
    whole = _whole(records)
    start, end = window or whole
    span = max(end - start, 1e-9)
    tokens_in, tokens_out = (np.diff(each).item() for each in records.tokens_until(np.array([start, end])))
    done = records.times["done_s"]
    inside = ok & (done >= start) & (done <= end)
    kept = ok & inside_limits(slo, records.ttft_s, records.tpot_s, records.e2e_s) if slo.limits_s() else None
    asked = records.sent & counted
    sent = records.times["sent_s"]
    sustainable = _sustainable(records) if open_loop else None
    return Figures(
        requests=RequestCounts(
            sent=int(records.sent.sum()), completed=int(records.completed.sum()),
            failed=int((records.sent & ~records.completed).sum()), unsent=int((~records.sent).sum()),
        ),
        duration_s=whole[1] - whole[0], req_s=float(inside.sum()) / span, input_tok_s=tokens_in / span,
        output_tok_s=tokens_out / span, ttft_s=spread(records.ttft_s[ok]), tpot_s=spread(records.tpot_s[ok]),
        itl_s=spread(records.gaps_s[ok[records.gap_request]]), e2e_s=spread(records.e2e_s[ok]),
        queue_s=Spread(mean=_ratio(server.counters, f"{_QUEUE}_sum", f"{_QUEUE}_count")),
        from_send={
            "ttft_s": spread((records.times["first_token_s"] - sent)[ok]),
            "e2e_s": spread((records.times["last_token_s"] - sent)[ok]),
        },
        goodput_share=None if kept is None else float(kept.sum()) / max(int(asked.sum()), 1),
        goodput_req_s=None if kept is None else float((kept & inside).sum()) / span,
        kv=KvFacts(peak_share=server.peaks.get("kv_cache_usage"), preemptions=_count(server, "num_preemptions")),
        prefix_hit_share=_prefix_hits(records, server), failures=records.failures, steady=window,
        lengths_exact_share=_exact(records, "input_tokens"), output_exact_share=_exact(records, "output_tokens"),
        token_chunk_ratio=_tokens_per_chunk(records), saturated=sustainable is not None, sustainable_req_s=sustainable,
    )  # fmt: skip


def steady_window(records: Records, counted: Bools) -> tuple[float, float] | None:
    """From when the usual number of requests is in flight, after the warm-up, to the last dispatch; None if too short.

    Ramp and drain would lower the rates: at the start and at the end fewer requests share the server.
    """
    begun, done = records.times["dispatched_s"], records.times["done_s"]
    use = np.isfinite(begun) & np.isfinite(done)
    if not (use & counted).any():
        return None
    begun, done, first = begun[use], done[use], float(begun[use & counted].min())
    last = float(begun.max())
    moments = np.sort(begun[(begun >= first) & (begun <= last)])
    in_flight = np.searchsorted(np.sort(begun), moments, "right") - np.searchsorted(np.sort(done), moments, "right")
    start = float(moments[np.argmax(in_flight >= RAMP * np.median(in_flight))])
    completed = int((records.completed & (records.times["done_s"] >= start) & (records.times["done_s"] <= last)).sum())
    whole = _whole(records)
    if last - start < STEADY_SHARE * (whole[1] - whole[0]) or completed < STEADY_REQUESTS:
        return None
    return start, last


def block_rates(records: Records, window: tuple[float, float] | None) -> Floats:
    """Tokens a second (input and output) of ten equal blocks of the steady window, or of the whole run."""
    start, end = window or _whole(records)
    edges = np.linspace(start, end, BLOCKS + 1)
    tokens_in, tokens_out = records.tokens_until(edges)
    return np.diff(tokens_in + tokens_out) / max((end - start) / BLOCKS, 1e-9)


def batch_means(blocks: Floats) -> tuple[float, float, float]:
    """(mean, low, high): the 95 % interval of a mean by batch means (Law, Simulation Modeling and Analysis, 9.5.3)."""
    mean = float(blocks.mean())
    half = _T_QUANTILE * float(blocks.std(ddof=1)) / len(blocks) ** 0.5
    return mean, mean - half, mean + half


def _whole(records: Records) -> tuple[float, float]:
    """First due to last answer."""
    done = records.times["done_s"][records.sent]
    due = records.times["due_s"][records.sent]
    return (float(due.min()), float(np.nanmax(done))) if len(due) and np.isfinite(done).any() else (0.0, 0.0)


def _sustainable(records: Records) -> float | None:
    ok = records.completed & np.isfinite(records.times["first_token_s"])
    if not ok.any():
        return None
    return balanced_req_s(*(records.times[name][ok] for name in ("due_s", "first_token_s", "done_s")))


def _prefix_hits(records: Records, server: ServerFacts) -> float | None:
    """The server's counters, in tokens; else what it said of each request."""
    share = _ratio(server.counters, "prefix_cache_hits", "prefix_cache_queries")
    if share is not None:
        return share
    cached, prompt = records.counts["cached_tokens"], records.counts["input_tokens"]
    known = (cached >= 0) & (prompt > 0)
    return float(cached[known].sum()) / float(prompt[known].sum()) if known.any() else None


def _exact(records: Records, name: str) -> float | None:
    found, asked = records.counts[name], records.counts[f"asked_{name}"]
    known = records.completed & (found >= 0) & (asked >= 0)
    return float((found == asked)[known].mean()) if known.any() else None


def _tokens_per_chunk(records: Records) -> float | None:
    known = records.completed & (records.counts["output_tokens"] > 0) & (records.chunks > 0)
    return float(records.counts["output_tokens"][known].sum() / records.chunks[known].sum()) if known.any() else None


def _ratio(counters: dict[str, float], part: str, whole: str) -> float | None:
    return counters[part] / counters[whole] if part in counters and counters.get(whole) else None


def _count(server: ServerFacts, name: str) -> int | None:
    return round(server.counters[name]) if name in server.counters else None
