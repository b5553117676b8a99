"""What is planted in a log, in dollars: each lever by itself, call by call, from what the generator knows.

Nothing of costplan's levers is used: who repeats whom, what a text is without its padding, how long a prefix is and
which model would have sufficed are known here, not found. Money is whole nano-dollars a call, at one day's prices.
"""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from costplan.generate.calls import Call
from costplan.generate.held import Held, Prefixes
from costplan.scenario.money import PARTS, Rates
from costplan.scenario.spec import Scenario
from costplan.units import NANOS_PER_USD, SECONDS_PER_DAY, SECONDS_PER_HOUR, TOKENS_PER_MTOK

SCHEMA = "costplan/truth/1"
# Amazon ElastiCache Serverless (Redis OSS), us-east-1 list price, checked 2026-11; answers take 4.5 bytes a token
# (English in o200k_base) and a tenth more for keys.
_LOOKUP_USD, _STORE_USD_PER_GB_HOUR, _BYTES_PER_TOKEN = 0.0034e-6, 0.125, 4.5 * 1.1


@dataclass(slots=True)
class Saved:
    """One lever's saving."""

    requests: int = 0
    nanos: int = 0
    by_day: Counter[int] = field(default_factory=Counter[int])
    by_call: Counter[str] = field(default_factory=Counter[str])

    def add(self, call: Call, usd: float, n: int = 1) -> None:
        nanos = round(usd * NANOS_PER_USD)
        self.requests += n
        self.nanos += nanos
        self.by_day[call.time_ms // (1000 * SECONDS_PER_DAY)] += nanos
        self.by_call[call.site.spec.name] += nanos

    def told(self, days: int) -> dict[str, Any]:
        return {
            "requests": self.requests, "usd": self.nanos / NANOS_PER_USD,
            "by_day": [self.by_day[day] / NANOS_PER_USD for day in range(days)],
            "by_call": {name: nanos / NANOS_PER_USD for name, nanos in sorted(self.by_call.items())},
        }  # fmt: skip


class Truth:
    """Adds calls up; `observe` wants them in order of time."""

    def __init__(self, scenario: Scenario, rates: dict[str, Rates]) -> None:
        self._scenario, self._rates = scenario, rates
        self._saved: dict[str, Saved] = {}
        self._kinds: Counter[str] = Counter()
        self._levels: Counter[int] = Counter()
        self._counts: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()
        ttl_ms = 1000 * scenario.log.cache_ttl_s
        self._stores = {name: Held(ttl_ms, refreshed=False) for name in ("exact", "respelled", "semantic")}
        self._provider = {
            model: Prefixes(rate.cache, model) for model, rate in rates.items()
            if rate.cache and rate.cache.mode in ("automatic", "explicit")
        }  # fmt: skip
        self._static = {model: Prefixes(rate.cache, model) for model, rate in rates.items() if rate.cache}
        self._marks: dict[tuple[str, str], Saved] = {}
        """By call and place of the marks: what marked prefixes save."""
        self._routed: dict[str, dict[str, list[int]]] = {}
        """By call, `all` and `easy`: requests, good answers, good answers of the cheaper model."""

        self._asked: dict[int, list[int]] = {}
        """By session, tool and arguments: how often, and nano-dollars of all but the first."""
        self._prompts: dict[tuple[int, str], int] = {}
        self._grown = [0, 0]
        """Steps that send what the step before had sent and more; tokens that they add."""

    def could_read(self, call: Call) -> int:
        """Prompt tokens that the provider could have read by itself: to be asked once, for every call in order."""
        rate = self._rates[call.site.spec.model]
        if rate.cache is None or rate.cache.mode != "automatic" or not call.ok:
            return 0
        return self._provider[rate.model].read(call, call.ends)

    def observe(self, call: Call, could_read: int) -> dict[str, Any]:
        """Add a call; what is known of it, for a line of its own."""
        self._kinds["retry" if call.turn.number != call.number else call.turn.kind] += 1
        self._counts["requests"] += 1
        if not call.ok:
            self._counts["failed"] += 1
            return {"usd": 0.0}
        rate = self._rates[call.site.spec.model]
        usd = rate.usd(call.input_tokens, call.cached_tokens, 0, call.output_tokens)
        self._levels[call.turn.level] += 1
        for name in ("input_tokens", "output_tokens", "cached_tokens"):
            self._tokens[name] += getattr(call, name)
        self._add("baseline", call, usd)
        known: dict[str, Any] = {"usd": usd}
        self._agents(call, usd)
        self._response(call, usd, known)
        self._compression(call, rate, usd, known)
        self._routing(call, usd, known)
        if call.batch and rate.batch is not None:
            batch = rate.batch.usd(call.input_tokens, call.cached_tokens, 0, call.output_tokens)
            self._add("batch", call, usd - batch)
        self._prompt_cache(call, rate, usd, could_read, known)
        return known

    def _add(self, name: str, call: Call, usd: float, n: int = 1) -> None:
        self._saved.setdefault(name, Saved()).add(call, usd, n)

    def _agents(self, call: Call, usd: float) -> None:
        for action in call.answer.get("tool_calls", ()):
            function = action["function"]
            asked = self._asked.setdefault(hash((call.session, function["name"], function["arguments"])), [0, 0])
            asked[1] += round(usd * NANOS_PER_USD) if asked[0] else 0
            asked[0] += 1
        spec = call.site.spec
        if spec.agent or spec.history:
            before = self._prompts.get((call.session, spec.name))
            if before is not None:
                self._grown[0] += 1
                self._grown[1] += call.input_tokens - before
            self._prompts[call.session, spec.name] = call.input_tokens

    def _response(self, call: Call, usd: float, known: dict[str, Any]) -> None:
        """Three caches of the stated life: by the letter, by spelling, by meaning (one that never errs)."""
        spec, turn = call.site.spec, call.turn
        if call.is_step or turn.about_now or spec.temperature > 1:
            return
        context = (call.site.index, call.ends[-2].key)
        keys: dict[str, Hashable] = {
            "exact": turn.text, "respelled": turn.spelling, "semantic": turn.meaning or turn.spelling
        }  # fmt: skip
        store = call.output_tokens * _BYTES_PER_TOKEN * self._scenario.log.cache_ttl_s / SECONDS_PER_HOUR
        store_usd = store * _STORE_USD_PER_GB_HOUR / 1e9
        near, own = ((context, each) for each in (turn.base and turn.base.meaning, turn.meaning))
        reached = [self._stores["semantic"].has(each, call.time_ms) for each in (near, own)]
        if turn.kind == "trap" and reached == [True, False]:
            self._add("trap", call, usd)
        for name, key in keys.items():
            hit = self._stores[name].ask((context, key), call.time_ms)
            self._add(f"response_cache.{name}", call, (usd if hit else -store_usd) - _LOOKUP_USD, int(hit))
            known[f"{name}_hit"] = hit

    def _compression(self, call: Call, rate: Rates, usd: float, known: dict[str, Any]) -> None:
        known["padding_tokens"] = padding = call.input_tokens - call.clean_input_tokens
        cached = 0
        if call.cached_tokens:  # what was read is read still, without its padding
            cached = max((e.clean_tokens for e in call.ends if e.tokens <= call.cached_tokens + 127), default=0)
            cached = cached // 128 * 128 if self._provider[rate.model].long_enough(cached) else 0
        if padding:
            self._add("compression", call, usd - rate.usd(call.clean_input_tokens, cached, 0, call.output_tokens))
            self._tokens["padding_tokens"] += padding

    def _routing(self, call: Call, usd: float, known: dict[str, Any]) -> None:
        cheaper, level = call.site.spec.cheaper, call.turn.level
        known |= {"level": level, "good": call.good}
        if cheaper is None:
            return
        answer = call.output_tokens * cheaper.output_ratio.value
        cheap = self._rates[cheaper.model].usd(call.input_tokens, call.cached_tokens, 0, answer)
        known |= {"cheap_good": call.cheap_good, "cheap_usd": cheap}
        for part in ("all", "easy") if level <= self._scenario.log.easy_level else ("all",):
            self._add(f"routing.{part}", call, usd - cheap)
            sums = self._routed.setdefault(call.site.spec.name, {}).setdefault(part, [0, 0, 0])
            for at, one in enumerate((1, call.good, call.cheap_good)):
                sums[at] += one

    def _prompt_cache(self, call: Call, rate: Rates, usd: float, could_read: int, known: dict[str, Any]) -> None:
        if rate.cache is None:
            return
        known["prefix_tokens"] = call.ends[0].tokens
        if rate.cache.mode == "automatic":
            known["could_read_tokens"] = could_read
            read = max(could_read, call.cached_tokens)
            self._add("prompt_cache.automatic", call, usd - rate.usd(call.input_tokens, read, 0, call.output_tokens))
        if rate.cache.mode != "explicit":
            return
        static, whole = self._static[rate.model], self._provider[rate.model]
        start, end = call.ends[0], call.ends[-1]
        read = static.read(call, (start,))
        write = start.tokens - read if static.long_enough(start.tokens) else 0
        self._mark("static", call, usd - rate.usd(call.input_tokens, read, write, call.output_tokens))
        read = whole.peek(call)
        whole.read(call, tuple(each for each in call.ends[:-1] if each.tokens <= read or each is start) + (end,))
        write = call.input_tokens - read if whole.long_enough(call.input_tokens) else 0
        self._mark("whole", call, usd - rate.usd(call.input_tokens, read, write, call.output_tokens))

    def _mark(self, place: str, call: Call, usd: float) -> None:
        self._marks.setdefault((call.site.spec.name, place), Saved()).add(call, usd)

    def document(self, seed: int, price_date: str) -> dict[str, Any]:
        """The truth file."""
        days, log = self._scenario.log.days, self._scenario.log
        marked = Saved()
        for name in sorted({name for name, _ in self._marks}):  # where to put the marks is one decision per call
            best = max((self._marks[name, place] for place in ("static", "whole")), key=lambda saved: saved.nanos)
            if best.nanos > 0:
                marked.requests += best.requests
                marked.nanos += best.nanos
                marked.by_day.update(best.by_day)
                marked.by_call.update(best.by_call)
        if marked.requests:
            self._saved["prompt_cache.marked"] = marked
        traps, baseline = self._saved.pop("trap", Saved()), self._saved.pop("baseline", Saved())
        levers = {name: saved.told(days) for name, saved in sorted(self._saved.items())}
        return {
            "schema": SCHEMA, "scenario": self._scenario.scenario, "seed": seed, "start": log.start.isoformat(),
            "days": days, "price_date": price_date, "cache_ttl_s": log.cache_ttl_s,
            "prices_usd_per_mtok": {
                model: {part: round(getattr(rate, part) * TOKENS_PER_MTOK, 9) for part in PARTS}
                for model, rate in sorted(self._rates.items())
            },
            "requests": self._counts["requests"], "failed": self._counts["failed"], "tokens": dict(self._tokens),
            "kinds": dict(sorted(self._kinds.items())), "levels": {str(k): n for k, n in sorted(self._levels.items())},
            "baseline": baseline.told(days), "levers": levers,
            "semantic_cache": self._semantic(traps), "agents": self._agent_sums(),
            "routing": {
                name: {
                    part: {"requests": n, "good_share": good / n, "cheap_good_share": cheap / n}
                    for part, (n, good, cheap) in sorted(parts.items())
                }
                for name, parts in sorted(self._routed.items())
            },
        }  # fmt: skip

    def _agent_sums(self) -> dict[str, Any]:
        """Tool calls that were made three times or more in a session, and what conversations grow by."""
        loops = [(n, nanos) for n, nanos in self._asked.values() if n >= 3]
        steps, tokens = self._grown
        return {
            "loops": {
                "groups": len(loops), "repeated_calls": sum(n - 1 for n, _ in loops),
                "usd": sum(nanos for _, nanos in loops) / NANOS_PER_USD,
            },
            "growth": {"steps": steps, "tokens_per_step": tokens / steps if steps else 0.0},
        }  # fmt: skip

    def _semantic(self, traps: Saved) -> dict[str, Any]:
        """What a cache by meaning adds to one by spelling, and how often an imitation would have been served."""
        hits = {name: self._saved.get(f"response_cache.{name}", Saved()).requests for name in self._stores}
        return {
            "right_hits": hits["semantic"] - hits["respelled"],
            "traps_within_reach": traps.requests,
            "traps_usd": traps.nanos / NANOS_PER_USD,
        }
