"""Small logs made in the test, and what the analysis thinks while it works on them."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import costplan.analyze
import numpy as np
import pytest
from costplan.levers.rungs import Evidence, Ladder, Told
from costplan.results import Plan
from costplan.settings import AnalyzeSettings

START = datetime(2026, 10, 20, tzinfo=UTC)
FILLER = "The library opens at nine and closes at six, and nobody may bring an umbrella into the reading room. "


def call(
    at_s: float | None,
    question: str = "Where do I return a book?",
    *,
    model: str = "gpt-4o-mini",
    system: str = "You answer questions of visitors of a public library.",
    tokens: tuple[int, int] = (29, 8),
    cached: int | None = None,
    status: int = 200,
    start: datetime = START,
    **fields: Any,
) -> dict[str, Any]:
    """One request and its answer in OpenAI's shape; `fields` stand beside them (user, session, feature, tags)."""
    request = {"model": model, "temperature": 0.0, "messages": [_message("system", system), _message("user", question)]}
    request |= fields.pop("request", {})
    usage: dict[str, Any] = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
    if cached is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": cached}
    answer = {"index": 0, "message": _message("assistant", "In the box."), "finish_reason": "stop"}
    response = {"object": "chat.completion", "model": model, "choices": [answer], "usage": usage}
    if status != 200:
        response = {"error": {"message": "slow down", "type": "requests"}}
    time = {} if at_s is None else {"timestamp": (start + timedelta(seconds=at_s)).isoformat().replace("+00:00", "Z")}
    return time | fields | {"request": request, "response": response, "status_code": status}


def claude(
    at_s: float, messages: Sequence[str], *, system: str, tokens: tuple[int, int], **fields: Any
) -> dict[str, Any]:
    """A conversation in Anthropic's shape; `messages` alternate between user and assistant."""
    turns = [_message("assistant" if index % 2 else "user", text) for index, text in enumerate(messages)]
    request = {"model": "claude-sonnet-4-5", "max_tokens": 100, "system": system, "messages": turns}
    usage = {
        "input_tokens": tokens[0], "output_tokens": tokens[1], "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0,
    }  # fmt: skip
    response = {
        "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "In the box."}], "usage": usage,
    }  # fmt: skip
    at = (START + timedelta(seconds=at_s)).isoformat().replace("+00:00", "Z")
    return {"timestamp": at, "request": request, "response": response, "status_code": 200} | fields


def _message(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def random_log(seed: int, rows: int = 60, **fixed: Any) -> list[dict[str, Any]]:
    """Traffic with repeats, shared long prompts, cached tokens, failures and calls that can wait."""
    draw = random.Random(seed)
    handbook = FILLER * 60
    log: list[dict[str, Any]] = []
    at = 0.0
    for number in range(rows):
        at += draw.expovariate(1 / draw.choice([5, 100, 4000]))
        fields: dict[str, Any] = {
            "id": f"r{number}", "feature": draw.choice(["faq", "rag", "tagging", "night"]),
            "user": f"u{draw.randrange(6)}", "session": f"s{draw.randrange(12)}",
        }  # fmt: skip
        if draw.random() < 0.3:
            fields["tags"] = [draw.choice(["batchable", "slow"])]
        question = f"Question {draw.randrange(8)}" + draw.choice(["", "?", "  "])
        system = draw.choice(["Be short.", handbook, handbook + "Answer in French."])
        prompt = len(system) // 4 + 20
        if draw.random() < 0.4:
            made = claude(
                at, [question], system=system, tokens=(prompt + draw.randrange(9), draw.randrange(200)), **fields
            )
        else:
            cached = draw.choice([None, 0, prompt // 128 * 128 // 2])
            made = call(
                at, question, system=system, cached=cached, tokens=(prompt + draw.randrange(9), draw.randrange(200)),
                model=draw.choice(["gpt-4o-mini", "gpt-4o", "gpt-4.1", "acme-internal-7b"]),
                status=draw.choice([200] * 9 + [429]), **fields,
            )  # fmt: skip
        log.append(made | fixed)
    return log


@dataclass(slots=True)
class Seen:
    """A plan and what it was made of."""

    plan: Plan
    ladder: Ladder
    evidence: Evidence
    told: Told
    sums: dict[str, Any] = field(default_factory=dict)

    def named(self, label: str) -> int:
        """Index of a call site in the sums by site."""
        keys = [key for key, name in self.sums["labels"].items() if name == label]
        return int(np.flatnonzero(self.ladder.by_site.keys == np.uint64(keys[0]))[0])


def analyzed(folder: Path, log: Sequence[dict[str, Any]] | Path, **settings: Any) -> Seen:
    """Analyze a log in this process and keep what passes between its steps."""
    path = folder / "log.jsonl"
    if isinstance(log, Path):
        path = log
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in log), encoding="utf-8")
    kept: dict[str, Any] = {}
    rungs_of, unit_economics_of = costplan.analyze.rungs_of, costplan.analyze.unit_economics_of
    with pytest.MonkeyPatch.context() as patch:

        def told_of(ladder: Ladder, evidence: Evidence) -> Told:
            kept.update(ladder=ladder, evidence=evidence, told=rungs_of(ladder, evidence))
            return kept["told"]

        def economics(summary: Any, tables: Any, *rest: Any) -> Any:
            kept["sums"] = {"summary": summary, "labels": tables.site_label}
            return unit_economics_of(summary, tables, *rest)

        patch.setattr(costplan.analyze, "rungs_of", told_of)
        patch.setattr(costplan.analyze, "unit_economics_of", economics)
        chosen = AnalyzeSettings(**{"workers": 1, **settings})
        origins = dict.fromkeys(AnalyzeSettings.__dataclass_fields__, "default")
        plan = costplan.analyze.analyze([str(path)], chosen, origins)
    return Seen(plan=plan, **kept)
