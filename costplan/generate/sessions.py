"""What happens in a session: which calls, what is asked, what comes back, how long it takes; knows no price."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from costplan.generate import language
from costplan.generate.calls import REPEATS, Call, Conversation, Kind, Site, Turn
from costplan.generate.documents import RECORD_TOKENS, SENTENCE_TOKENS, compact, document, pretty, record
from costplan.generate.draws import below, exponential, geometric, lognormal, often, pick, stream, weighted, zipf
from costplan.scenario.spec import LogSpec

_SAME_LUCK = 0.7
"""Chance that both models are judged by the same draw: they mostly fail on the same requests."""
_FAILED_MS, _RETRY_MS = 300, 4_000


@dataclass(slots=True, eq=False)
class Session:
    """A user's visit: an iterator over its calls, each made when its time has come."""

    log: LogSpec
    seed: int
    number: int
    sites: list[Site]
    asked: "list[deque[Turn]]"
    """By site: the last first prompts of sessions, shared by all sessions."""
    rng: Random = field(init=False)
    user: int = field(init=False)

    def __post_init__(self) -> None:
        self.rng = stream(self.seed, "session", self.number)
        self.user = zipf(self.rng, self.log.users, self.log.user_zipf)

    def calls(self, start_ms: int) -> Iterator[tuple[Call, int | None]]:
        """(a call, the time of the next one; None after the last). The number is left to whoever writes it."""
        rng, at = self.rng, start_ms
        plan = [(site, n) for site in self.sites if (n := self._visits(site))]
        for place, (site, visits) in enumerate(plan):
            batch = rng.random() < site.spec.batch_share.value
            talk: Conversation | None = None
            for visit in range(visits):
                first = talk is None or not (site.spec.history or site.spec.agent)
                if first or talk is None:
                    talk, turn = Conversation(site), self._first_turn(site)
                    talk.say({"role": "user", "content": turn.text}, turn.text, turn.tokens, turn.clean_tokens)
                elif site.spec.agent:
                    turn = self._result(talk)
                else:
                    turn = self._next_turn(talk)
                final = visit == visits - 1
                call = self._call(talk, turn, at, batch, acts=site.spec.agent and not final)
                while not call.ok and rng.random() < self.log.retry_share:
                    at += call.latency_ms + exponential(rng, _RETRY_MS)
                    yield call, at
                    call = self._call(talk, turn, at, batch, acts=site.spec.agent and not final)
                over = not call.ok or (final and place == len(plan) - 1)
                at += call.latency_ms + exponential(rng, 1000 * site.spec.think_s)
                yield call, None if over else at
                if over:
                    return
                talk.say(call.answer, _said(call.answer), call.output_tokens, call.output_tokens)

    def _visits(self, site: Site) -> int:
        mean = site.spec.per_session.value
        talks = site.spec.history or site.spec.agent
        return geometric(self.rng, mean) if talks and mean > 1 else often(self.rng, mean)

    def _first_turn(self, site: Site) -> Turn:
        """A prompt that is new, or made from one of the last ones at this site."""
        spec, rng, earlier = site.spec, self.rng, self.asked[site.index]
        shares = [getattr(spec.repeats, kind).value for kind in REPEATS]
        drawn = weighted(rng, shares)
        if drawn < len(REPEATS) and earlier:
            turn = self._repeat(site, pick(rng, earlier), drawn)
        else:
            meaning = language.fresh(rng, 1 + min(weighted(rng, spec.levels), len(spec.levels) - 1))
            turn = self._asked(site, meaning, below(rng, language.wordings(meaning.level)))
            if rng.random() < spec.about_now:
                turn.about_now = True
                now = language.about_now(rng)
                turn.text, turn.clean = f"{turn.text} {now}", f"{turn.clean} {now}"
                turn.spelling = turn.text
                _count(turn, site)
        earlier.append(turn)
        return turn

    def _repeat(self, site: Site, base: Turn, how: int) -> Turn:
        kind, meaning = REPEATS[how], base.meaning
        assert meaning is not None
        if kind == "trap":
            return self._asked(site, language.trap(self.rng, meaning), base.wording, kind, base)
        if kind == "paraphrase":
            other = 1 + below(self.rng, language.wordings(meaning.level) - 1)
            wording = (base.wording + other) % language.wordings(meaning.level)
            return self._asked(site, meaning, wording, kind, base)
        turn = Turn(
            kind=kind, text=base.text, clean=base.clean, spelling=base.spelling, tokens=base.tokens,
            clean_tokens=base.clean_tokens, level=base.level, meaning=meaning, wording=base.wording, of=base.number,
            base=base.text, about_now=base.about_now,
        )  # fmt: skip
        if kind == "respelled":
            question = base.text.rpartition("\n\n")[2]
            other = language.respelled(self.rng, question)
            turn.text, turn.clean = (text.removesuffix(question) + other for text in (base.text, base.clean))
            _count(turn, site)
        return turn

    def _asked(
        self, site: Site, meaning: language.Meaning, wording: int, kind: Kind = "fresh", base: Turn | None = None
    ) -> Turn:
        """A question with the documents of its topic before it."""
        spec, text = site.spec, language.question(meaning, wording)
        own = spec.input_tokens.value - site.start.tokens - site.count(text)
        rng = stream(self.seed, "document", spec.name, meaning.topic)
        about = {name: word for name, word in meaning.slots if name in ("thing2", "kind2", "place")}
        room = lognormal(rng, own, spec.input_cv) if own > SENTENCE_TOKENS else 0
        sent, clean = document(rng, about, room, spec.padding) if room > SENTENCE_TOKENS else ("", "")
        text, clean = (f"{each}\n\n{text}" if each else text for each in (sent, clean))
        turn = Turn(
            kind=kind, text=text, clean=clean, spelling=text, tokens=0, clean_tokens=0, level=meaning.level,
            meaning=meaning, wording=wording, of=base.number if base else None, base=base.text if base else "",
        )  # fmt: skip
        _count(turn, site)
        return turn

    def _next_turn(self, talk: Conversation) -> Turn:
        spec, meaning = talk.site.spec, language.fresh(self.rng, 1)
        question = language.follow_up(self.rng, meaning)
        room = lognormal(self.rng, spec.turn_tokens.value, spec.input_cv) - 2 * SENTENCE_TOKENS
        text, clean = document(self.rng, {}, round(room), spec.padding) if room > 0 else ("", "")
        text, clean = (f"{each}\n\n{question}" if each else question for each in (text, clean))
        turn = Turn(
            kind="follow_up", text=text, clean=clean, spelling=text, tokens=0, clean_tokens=0, level=1, meaning=meaning
        )
        _count(turn, talk.site)
        talk.say({"role": "user", "content": text}, text, turn.tokens, turn.clean_tokens)
        return turn

    def _result(self, talk: Conversation) -> Turn:
        """What the tool returned that the model has just called; the same call gives the same result."""
        site, asked = talk.site, talk.messages[-1]["tool_calls"][0]
        rng = stream(self.seed, "result", asked["function"]["name"], asked["function"]["arguments"])
        rows = round(lognormal(rng, site.spec.turn_tokens.value, site.spec.input_cv) / RECORD_TOKENS)
        records = [record(rng, {}) for _ in range(max(1, rows))]
        clean = compact(records)
        text = pretty(records) if rng.random() < site.spec.padding.json else clean
        turn = Turn(kind="step", text=text, clean=clean, spelling=text, tokens=0, clean_tokens=0, level=1, meaning=None)
        _count(turn, site)
        message = {"role": "tool", "tool_call_id": asked["id"], "content": text}
        talk.say(message, text, turn.tokens, turn.clean_tokens)
        return turn

    def _call(self, talk: Conversation, turn: Turn, at: int, batch: bool, *, acts: bool) -> Call:
        rng, log, spec = self.rng, self.log, talk.site.spec
        failed = rng.random() < log.failure_share
        answer = {} if failed else self._action(talk) if acts else self._answer(talk.site, turn)
        tokens = talk.site.count(_said(answer)) if answer else 0
        ttft = lognormal(rng, log.ttft_ms, 0.5)
        luck, other = rng.random(), rng.random()
        cheap_luck = luck if rng.random() < _SAME_LUCK else other
        cheaper = spec.cheaper.quality if spec.cheaper else ()
        return Call(
            number=-1, time_ms=at, site=talk.site, session=self.number, user=self.user, turn=turn,
            messages=tuple(talk.messages), ends=tuple(talk.ends), answer=answer, output_tokens=tokens,
            status=pick(rng, (429, 500)) if failed else 200,
            latency_ms=_FAILED_MS if failed else ttft + round(tokens * log.ms_per_token), ttft_ms=ttft, batch=batch,
            good=not failed and (not spec.quality or luck < spec.quality[turn.level - 1]),
            cheap_good=not failed and bool(cheaper) and cheap_luck < cheaper[turn.level - 1],
        )  # fmt: skip

    def _answer(self, site: Site, turn: Turn) -> dict[str, Any]:
        """The same question gets the same facts; above temperature 0 in other words."""
        spec, meaning = site.spec, turn.meaning or language.fresh(self.rng, 1)
        rng = stream(self.seed, "answer", spec.name, *meaning.slots)
        n = max(1, round(lognormal(rng, spec.output_tokens.value, spec.output_cv) / SENTENCE_TOKENS))
        start = below(self.rng, n) if spec.temperature else turn.wording
        text = language.answer_to(rng, meaning, n, start)
        return {"role": "assistant", "content": text}

    def _action(self, talk: Conversation) -> dict[str, Any]:
        """A tool call: a new one, or in a loop the one before once more."""
        rng, before = self.rng, talk.messages[-2] if len(talk.messages) > 1 else {}
        called = {"name": "search", "arguments": compact({"query": language.facts(rng, {}, 1)[0]})}
        if talk.site.tools:
            called["name"] = pick(rng, talk.site.tools)["function"]["name"]
        if "tool_calls" in before and rng.random() < talk.site.spec.loops:
            called = before["tool_calls"][0]["function"]
        call_id = f"call_{self.number:x}_{len(talk.messages):x}"
        tool_calls = [{"id": call_id, "type": "function", "function": called}]
        return {"role": "assistant", "content": None, "tool_calls": tool_calls}


def _count(turn: Turn, site: Site) -> None:
    turn.tokens = max(site.count(turn.text), 1)
    turn.clean_tokens = turn.tokens if turn.clean == turn.text else max(site.count(turn.clean), 1)


def _said(message: dict[str, Any]) -> str:
    """All text of a message."""
    return (message.get("content") or "") + (compact(message["tool_calls"]) if "tool_calls" in message else "")
