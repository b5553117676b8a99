"""Sessions in, lines out: calls of all sessions in order of time, each written as it is made; knows no text."""

import gzip
import heapq
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from costplan.errors import CostplanError
from costplan.generate.arrivals import starts_ms
from costplan.generate.calls import Call, Turn
from costplan.generate.draws import stream
from costplan.generate.records import moment, record, request_id
from costplan.generate.sessions import Session
from costplan.generate.sites import site_of
from costplan.generate.truth import Truth
from costplan.scenario.money import rates_of
from costplan.scenario.spec import Scenario
from costplan.units import SECONDS_PER_DAY

_PAIRED = ("respelled", "paraphrase", "trap")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Files to write; they appear when they are whole."""

    log: Path
    truth: Path | None = None
    truth_rows: Path | None = None
    cache_pairs: Path | None = None
    route_pairs: Path | None = None


def generate(
    scenario: Scenario, outputs: Outputs, *, seed: int = 0, report: Callable[[str, int, int], None] | None = None
) -> dict[str, Any]:
    """Writes the log and what else was asked for; returns the truth.

    Raises CostplanError where a model has no price or the scenario makes no call.
    """
    day = scenario.price_date or scenario.log.start + timedelta(days=scenario.log.days - 1)
    truth = Truth(scenario, rates_of(scenario, day))
    paths = (outputs.log, outputs.truth_rows, outputs.cache_pairs, outputs.route_pairs)
    with ExitStack() as stack:
        log, rows, pairs, routes = (None if path is None else stack.enter_context(_whole(path)) for path in paths)
        done = 0
        for done, (call, known) in enumerate(_observed(scenario, truth, seed), 1):
            _line(log, record(call, scenario.log, seed))
            _line(rows, _row(call, known, scenario, seed))
            base = call.turn.base
            if base is not None and call.turn.kind in _PAIRED and call.turn.number == call.number:
                _line(pairs, {"a": base.text, "b": call.turn.text, "same_answer": call.turn.kind != "trap",
                              "category": call.turn.kind})  # fmt: skip
            if "cheap_usd" in known and not call.is_step:
                _line(routes, _route(call, known, seed))
            if report is not None and done % 1000 == 0:
                report("generate", done, max(done, scenario.log.requests))
        if not done:
            raise CostplanError("the scenario makes no call", hint="raise log.requests or per_session")
        document = truth.document(seed, day.isoformat())
        if outputs.truth is not None:
            stack.enter_context(_whole(outputs.truth)).write(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
    return document


def _observed(scenario: Scenario, truth: Truth, seed: int) -> Iterator[tuple[Call, dict[str, Any]]]:
    luck = stream(seed, "provider cache")
    for number, call in enumerate(_calls(scenario, seed)):
        call.number = number
        if call.turn.number < 0:
            call.turn.number = number
        could_read = truth.could_read(call)
        if could_read and luck.random() < scenario.log.cached_share:
            call.cached_tokens = could_read
        yield call, truth.observe(call, could_read)


def _calls(scenario: Scenario, seed: int) -> Iterator[Call]:
    """All calls within the log's days, in order of time."""
    log = scenario.log
    sites = [site_of(spec, index, seed) for index, spec in enumerate(scenario.calls)]
    asked = [deque[Turn](maxlen=spec.repeats.window) for spec in scenario.calls]
    per_session = sum(spec.per_session.value for spec in scenario.calls) * (1 + log.failure_share * log.retry_share)
    sessions = max(1, round(log.requests / per_session)) if per_session else 0
    end_ms = 1000 * SECONDS_PER_DAY * log.days
    waiting: list[tuple[int, int, Iterator[tuple[Call, int | None]]]] = []
    starts = enumerate(starts_ms(log, sessions, seed))
    following = next(starts, None)
    while following is not None or waiting:
        if following is not None and (not waiting or following[1] <= waiting[0][0]):
            number, start = following
            calls = Session(log, seed, number, sites, asked).calls(start)
            following = next(starts, None)
            due = start
        else:
            due, number, calls = heapq.heappop(waiting)
        if due >= end_ms:
            continue
        made = next(calls, None)
        if made is not None:
            yield made[0]
            if made[1] is not None:
                heapq.heappush(waiting, (made[1], number, calls))


def _row(call: Call, known: dict[str, Any], scenario: Scenario, seed: int) -> dict[str, Any]:
    turn = call.turn
    return {
        "request_id": request_id(seed, call.number), "time": moment(scenario.log.start, call.time_ms),
        "call": call.site.spec.name, "user": call.user, "session": call.session,
        "kind": turn.kind, "retry": turn.number != call.number, "ok": call.ok,
        "of": None if turn.base is None else request_id(seed, turn.base.number),
        "meaning": None if turn.meaning is None else [turn.meaning.level, *(word for _, word in turn.meaning.slots)],
        "about_now": turn.about_now, "batch": call.batch, "input_tokens": call.input_tokens,
        "output_tokens": call.output_tokens, "cached_tokens": call.cached_tokens, **known,
    }  # fmt: skip


def _route(call: Call, known: dict[str, Any], seed: int) -> dict[str, Any]:
    return {
        "request_id": request_id(seed, call.number), "prompt": call.turn.text, "group": call.site.spec.name,
        "cheap_score": float(call.cheap_good), "strong_score": float(call.good), "cheap_usd": known["cheap_usd"],
        "strong_usd": known["usd"],
    }  # fmt: skip


@contextmanager
def _whole(path: Path) -> Generator[IO[bytes]]:
    """A file that appears when it is whole; compressed where its name ends in .gz."""
    unfinished = path.with_name(path.name + ".part")
    try:
        with unfinished.open("wb") as raw:
            if path.suffix == ".gz":
                with gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0, compresslevel=6) as packed:
                    yield cast(IO[bytes], packed)
            else:
                yield raw
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _line(file: IO[bytes] | None, value: dict[str, Any]) -> None:
    if file is not None:
        file.write(msgspec.json.encode(value) + b"\n")
