"""gate.json: a verdict per stratum of tasks with the evidence, and every pair of scores; knows no way to a number."""

from typing import Any, Literal

import msgspec

from costplan.results import Assumption, Estimate, Skipped

GATE_SCHEMA = "costplan/gate/1"
GateVerdict = Literal["pass", "fail", "undecided", "uninformative"]


class GateItem(msgspec.Struct, frozen=True, kw_only=True):
    """One task answered by both; also a row of labelled pairs: strong is the base, cheap the candidate."""

    id: str
    stratum: str
    level: int
    call_site: str | None
    group: str
    """The call site, else the stratum."""
    strong_score: float
    cheap_score: float
    strong_usd: float | None
    cheap_usd: float | None
    prompt: str | None = None
    """The last message of the user; this and the answers only with --show-text."""
    expected: list[str] = []
    strong_answer: str | None = None
    cheap_answer: str | None = None


class LevelScores(msgspec.Struct, frozen=True, kw_only=True):
    level: int
    items: int
    base_score: float
    candidate_score: float


class StratumResult(msgspec.Struct, frozen=True, kw_only=True):
    """Shares from 0 to 1; the loss in points, base minus candidate, positive is worse."""

    stratum: str
    verdict: GateVerdict
    reason: str
    items: int
    left_out: int
    base_score: float | None
    candidate_score: float | None
    chance: float | None
    """Score of guessing."""
    loss: Estimate | None
    """`low` and `high` are one-sided 95 % bounds, together a two-sided interval of 90 %."""
    method: str
    wins: int
    """Items on which the candidate scores higher."""
    losses: int
    ties: int
    further_samples: int | None
    """Of an undecided stratum; None: no number of samples helps, or over a million."""
    levels: list[LevelScores]


class GateSide(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two runs."""

    path: str
    model: str | None
    answers: int
    cut_short: int
    """Answers that ended at their token limit; they are graded as they are."""
    tokens_per_task: tuple[float, float] | None
    """Input and output, the mean of those that report them."""
    usd_per_1k_tasks: Estimate
    usd_per_1k_right: Estimate
    """Per 1,000 points of score: what a right answer costs, wrong ones included."""
    prices: str
    """USD per million input and output tokens, and where they come from."""


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """`costplan gate --json`."""

    schema: Literal["costplan/gate/1"] = GATE_SCHEMA
    verdict: GateVerdict
    """The worst of the strata: fail, undecided, uninformative, pass."""
    reason: str
    margin: float
    """Points, or percent of the base's score."""
    relative: bool
    tasks: str
    base: GateSide
    candidate: GateSide
    strata: list[StratumResult]
    left_out: dict[str, Skipped]
    """Items without a pair of scores, by reason and place."""
    items: list[GateItem]
    assumptions: list[Assumption] = []
    warnings: list[str] = []


def gate_json(document: Gate) -> bytes:
    """Indented UTF-8 JSON, keys in declaration order, the same bytes for the same document."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def gate_schema() -> dict[str, Any]:
    """JSON Schema (2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Gate)}
