"""What happens in a session: which calls, what is asked, what comes back, how long it takes; knows no price."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from costplan.generate import language
from costplan.generate.calls import REPEATS, Base, Call, Conversation, Kind, Site, Turn
from costplan.generate.documents import RECORD_TOKENS, SENTENCE_TOKENS, compact, document, pretty, record
from costplan.generate.draws import below, exponential, geometric, lognormal, often, pick, stream, weighted, zipf
from costplan.generate.language import Meaning, Slots
from costplan.scenario.spec import CallSpec, LogSpec

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
                    talk = Conversation(site)
                    turn = talk.ask(self._first_turn(site), role="user")
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
        drawn = weighted(rng, [getattr(spec.repeats, kind).value for kind in REPEATS])
        if drawn < len(REPEATS) and earlier:
            turn = self._repeat(pick(rng, earlier), REPEATS[drawn])
        else:
            meaning = language.fresh(rng, 1 + min(weighted(rng, spec.levels), len(spec.levels) - 1))
            now = language.about_now(rng) if rng.random() < spec.about_now else ""
            turn = self._asked(site, meaning, below(rng, language.wordings(meaning.level)), now=now)
        earlier.append(turn)
        return turn

    def _repeat(self, before: Turn, kind: Kind) -> Turn:
        site, meaning, rng = before.site, before.meaning, self.rng
        assert meaning is not None
        base = Base(before.number, before.text, meaning)
        if kind == "trap":
            return self._asked(site, language.trap(rng, meaning), before.wording, kind, base)
        if kind == "paraphrase":
            ways = language.wordings(meaning.level)
            return self._asked(site, meaning, (before.wording + 1 + below(rng, ways - 1)) % ways, kind, base)
        text, clean = before.text, before.clean
        if kind == "respelled":
            question = text.rpartition("\n\n")[2]
            other = language.respelled(rng, question)
            text, clean = (each.removesuffix(question) + other for each in (text, clean))
        return Turn(
            site=site, kind=kind, text=text, clean=clean, spelling=before.spelling, meaning=meaning,
            wording=before.wording, base=base, about_now=before.about_now,
        )  # fmt: skip

    def _asked(
        self, site: Site, meaning: Meaning, wording: int, kind: Kind = "fresh", base: Base | None = None, now: str = ""
    ) -> Turn:
        """A question with the documents of its topic before it."""
        spec, question = site.spec, " ".join(filter(None, (language.question(meaning, wording), now)))
        rng = stream(self.seed, "document", spec.name, meaning.topic)
        about = {name: word for name, word in meaning.slots if name in ("thing2", "kind2", "place")}
        own = spec.input_tokens.value - site.start.tokens - site.count(question)
        text, clean = _with_document(rng, about, own, spec, question)
        return Turn(
            site=site, kind=kind, text=text, clean=clean, meaning=meaning, wording=wording, base=base,
            about_now=bool(now),
        )  # fmt: skip

    def _next_turn(self, talk: Conversation) -> Turn:
        site, meaning = talk.site, language.fresh(self.rng, 1)
        own = site.spec.turn_tokens.value - 1.5 * SENTENCE_TOKENS
        text, clean = _with_document(self.rng, {}, own, site.spec, language.follow_up(self.rng, meaning))
        return talk.ask(Turn(site=site, kind="follow_up", text=text, clean=clean, meaning=meaning), role="user")

    def _result(self, talk: Conversation) -> Turn:
        """What the tool returned that the model has just called; the same call gives the same result."""
        spec, asked = talk.site.spec, talk.messages[-1]["tool_calls"][0]
        rng = stream(self.seed, "result", asked["function"]["name"], asked["function"]["arguments"])
        rows = round(lognormal(rng, spec.turn_tokens.value, spec.input_cv) / RECORD_TOKENS)
        records = [record(rng, {}) for _ in range(max(1, rows))]
        clean = compact(records)
        text = pretty(records) if rng.random() < spec.padding.json else clean
        turn = Turn(site=talk.site, kind="step", text=text, clean=clean)
        return talk.ask(turn, role="tool", tool_call_id=asked["id"])

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
            time_ms=at, session=self.number, user=self.user, turn=turn, messages=tuple(talk.messages),
            ends=tuple(talk.ends), answer=answer, output_tokens=tokens, batch=batch, ttft_ms=ttft,
            status=pick(rng, (429, 500)) if failed else 200,
            latency_ms=_FAILED_MS if failed else ttft + round(tokens * log.ms_per_token),
            good=not failed and (not spec.quality or luck < spec.quality[turn.level - 1]),
            cheap_good=not failed and bool(cheaper) and cheap_luck < cheaper[turn.level - 1],
        )  # fmt: skip

    def _answer(self, site: Site, turn: Turn) -> dict[str, Any]:
        """The same question gets the same facts; above temperature 0 in other words."""
        spec, meaning = site.spec, turn.meaning or language.fresh(self.rng, 1)
        rng = stream(self.seed, "answer", spec.name, *meaning.slots)
        n = max(1, round(lognormal(rng, spec.output_tokens.value, spec.output_cv) / SENTENCE_TOKENS))
        wording = self.rng if spec.temperature else stream(self.seed, "wording", turn.wording, *meaning.slots)
        return {"role": "assistant", "content": language.answer_to(rng, meaning, n, wording)}

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


def _with_document(rng: Random, about: Slots, tokens: float, spec: CallSpec, question: str) -> tuple[str, str]:
    """(question with a document before it, the same without padding); without one where there is no room."""
    room = lognormal(rng, tokens, spec.input_cv) if tokens > SENTENCE_TOKENS else 0
    if room <= SENTENCE_TOKENS:
        return question, question
    sent, clean = document(rng, about, room, spec.padding)
    return f"{sent}\n\n{question}", f"{clean}\n\n{question}"


def _said(message: dict[str, Any]) -> str:
    """All text of a message."""
    return (message.get("content") or "") + (compact(message["tool_calls"]) if "tool_calls" in message else "")
