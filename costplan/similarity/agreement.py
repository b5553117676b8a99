"""Logged answers to both prompts of would-be hits -> the share of hits whose answers disagree; right is not known here.

Two controls lie in the same log: answers to exact duplicates of a prompt (the same question, sampled again), and
answers to prompts that are not served alike (those just below the threshold; random ones are too easy). The likeness r
of the answers of a hit is then a mixture P(r) = w negative(r) + (1 - w) duplicate(r); w is the most likely one on a
histogram of r, its interval a bootstrap by pair. Where the log cannot say, the answer is a Refusal. What biases it:
docs/decisions/014-agreement.md.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from costplan.similarity.embed import Vectors, static_vectors

Floats = NDArray[np.float64]
LEAST_CONTROLS, LEAST_HITS, LEAST_SEPARATION, LEAST_ANSWERED, LEAST_FIT = 100, 50, 0.9, 0.9, 0.01
RESAMPLES, FITS, BINS, HALVINGS = 600, 200, 20, 30
SMOOTHING = 0.001
AGE_PAIRS, AGE_BINS, Z_LEVEL = 50, 8, 1.6448536269514722
_YES_NO = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
_FENCE = re.compile(r"```(\w*)\s*\n(.*?)\n?```", re.DOTALL)
_SQL = re.compile(
    r"(select\b.*\bfrom\b|with\b.*\bselect\b|insert into\b|update\b.*\bset\b|delete from\b|create )", re.I | re.S
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """No estimate, and why."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """Share of hits whose two answers are as unlike as those of the negative control; `low` and `high`: 95 %."""

    value: float
    low: float
    high: float
    separation: float
    """Chance that a duplicate's answers are more alike than a negative's (area under the ROC curve)."""
    fit: float
    """Chance of a histogram at least this far from a mixture of the controls, were it one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeBin:
    """Exact duplicates whose answers were written up to `age_s` apart."""

    age_s: float
    pairs: int
    alike: float
    """Mean likeness."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How long answers stay alike; `ttl_s`: the oldest age up to which no bin agrees less than the youngest."""

    ttl_s: float
    bins: tuple[AgeBin, ...]
    stale: bool
    """Whether an older bin agrees less; if not, the log is too short to say more."""


def likeness(
    first: Sequence[str | None],
    second: Sequence[str | None],
    embed: Callable[[Sequence[str]], Vectors] = static_vectors,
) -> Floats:
    """(k,) likeness of two answers each, at most 1; not a number where one is missing or empty.

    Answers of one form are compared by it: JSON by the share of equal fields, yes or no and bare numbers by equality,
    SQL by equality and other code by the share of equal lines, both after white space is normalised. Two different
    forms are 0. As soon as one side is prose, it is the cosine of their vectors.
    """
    found = np.full(len(first), np.nan)
    prose: list[tuple[int, str, str]] = []
    for row, (a, b) in enumerate(zip(first, second, strict=True)):
        if a is None or b is None or not a.strip() or not b.strip():
            continue
        (form_a, fields_a), (form_b, fields_b) = _form(a.strip()), _form(b.strip())
        if form_a == "prose" or form_b == "prose":
            prose.append((row, a, b))
        else:
            common, union = (fields_a & fields_b).total(), (fields_a | fields_b).total()
            found[row] = 0.0 if form_a != form_b else common / union if union else 1.0
    if prose:
        vectors = embed([text for _, *both in prose for text in both])
        found[[row for row, *_ in prose]] = (vectors[::2] * vectors[1::2]).sum(axis=1)
    return found


def disagreeing(
    hits: Floats, weight: Floats, duplicates: Floats, negatives: Floats, seed: int
) -> Disagreement | Refusal:
    """Likeness of the answers of hits (m,) with their `weight` (how often each is served, or dollars), and of controls.

    Rows that are not a number count as missing answers.
    """
    answered = np.isfinite(hits) & (weight > 0)
    total = float(weight.sum())
    duplicates, negatives = (each[np.isfinite(each)] for each in (duplicates, negatives))
    for name, count, least in (
        ("hits", int(answered.sum()), LEAST_HITS), ("exact duplicates", len(duplicates), LEAST_CONTROLS),
        ("pairs that are no hits", len(negatives), LEAST_CONTROLS),
    ):  # fmt: skip
        if count < least:
            return Refusal(reason=f"the log has both answers of {count} {name}, {least} are needed")
    if weight[answered].sum() < LEAST_ANSWERED * total:
        return Refusal(reason=f"both answers are logged for only {weight[answered].sum() / total:.0%} of the hits")
    separation = _separation(duplicates, negatives)
    if separation < LEAST_SEPARATION:
        return Refusal(
            reason=f"answers to exact duplicates are hardly more alike than others (separation {separation:.2f}, "
            f"{LEAST_SEPARATION} is needed)"
        )
    rng = np.random.default_rng(seed)
    edges = np.unique(np.quantile(np.concatenate([duplicates, negatives]), np.linspace(0, 1, BINS + 1)[1:-1]))
    bins = tuple(np.searchsorted(edges, each, side="right") for each in (hits[answered], duplicates, negatives))
    hit, positive, negative = bins
    served, size = weight[answered] / weight[answered].mean(), len(edges) + 1
    mixture = [_histogram(each, size) for each in (positive, negative)]
    observed = _histogram(hit, size, served)
    value = float(_share(observed, *mixture))
    fit = _fit(observed, value, (served, positive, negative), size, rng)
    if fit < LEAST_FIT:
        return Refusal(reason="the answers of hits are alike in a way that no mixture of the two controls is")
    shares = _resampled((hit, positive, negative), served, size, rng)
    low, high = np.quantile(shares[0], 0.025), np.quantile(shares[1], 0.975)
    return Disagreement(
        value=value, low=min(float(low), value), high=max(float(high), value), separation=separation, fit=fit,
    )  # fmt: skip


def half_life(age_s: Floats, alike: Floats) -> Freshness | Refusal:
    """How long answers to exact duplicates stay alike: the likeness (k,) of pairs against the time between them.

    Up to 8 age bins of equal size, none below 50 pairs. Each is compared with the youngest, from young to old, and
    the first whose mean is lower (one-sided 5 %, Welch, Biometrika 34, 1947) ends the TTL at the bin before. Not
    significant is not equal: few pairs give a long TTL. The tests are not corrected for their number, which errs
    towards a short TTL. Pairs are taken as independent: give one pair per repeat of a prompt, not all combinations.
    """
    some = np.isfinite(alike) & np.isfinite(age_s)
    order = np.argsort(age_s[some], kind="stable")
    ages, alike = age_s[some][order], alike[some][order]
    if len(ages) < 2 * AGE_PAIRS:
        return Refusal(reason=f"the log has both answers of {len(ages)} exact duplicates, {2 * AGE_PAIRS} are needed")
    parts = np.array_split(alike, min(AGE_BINS, len(ages) // AGE_PAIRS))
    last = np.cumsum([len(part) for part in parts]) - 1
    bins = tuple(
        AgeBin(age_s=float(ages[end]), pairs=len(part), alike=float(part.mean()))
        for part, end in zip(parts, last, strict=True)
    )
    fresh = next((number for number, part in enumerate(parts) if _lower(part, parts[0])), len(parts))
    return Freshness(ttl_s=bins[fresh - 1].age_s, bins=bins, stale=fresh < len(parts))


def _form(text: str) -> tuple[str, Counter[str]]:
    """(form, its fields) of an answer."""
    fenced = _FENCE.fullmatch(text)
    body = fenced.group(2).strip() if fenced else text
    word = body.strip(" .!\n").casefold()
    if word in _YES_NO:
        return "yes or no", Counter([str(_YES_NO[word])])
    try:
        return "number", Counter([str(float(word.replace(",", "")))])
    except ValueError:
        pass
    if body[:1] in ("{", "["):
        try:
            return "json", _fields(json.loads(body, parse_int=float, parse_constant=str))
        except (ValueError, RecursionError):
            pass
    if _SQL.match(body) and (fenced or body.endswith(";")):
        return "sql", Counter([" ".join(body.rstrip("; \n").split())])
    if fenced:
        return "code", Counter(line for line in (" ".join(each.split()) for each in body.splitlines()) if line)
    return "prose", Counter()


def _fields(value: object) -> Counter[str]:
    """The leaves of a JSON value with their paths; empty objects and lists are leaves."""
    found: Counter[str] = Counter()
    left: list[tuple[str, object]] = [("", value)]
    while left:
        path, value = left.pop()
        inner: list[tuple[str, object]] = []
        if isinstance(value, dict):
            inner = [(f"{path}/{key!r}", each) for key, each in cast(dict[str, object], value).items()]
        elif isinstance(value, list):
            inner = [(f"{path}/{number}", each) for number, each in enumerate(cast(list[object], value))]
        if not inner:
            found[f"{path}={value!r}"] += 1
        left += inner
    return found


def _separation(higher: Floats, lower: Floats) -> float:
    lower = np.sort(lower)
    below = np.searchsorted(lower, higher, side="left") + np.searchsorted(lower, higher, side="right")
    return float(below.mean() / 2 / len(lower))


def _histogram(bins: NDArray[np.int64], size: int, weight: Floats | None = None) -> Floats:
    return np.bincount(bins, weight, minlength=size) / (len(bins) if weight is None else weight.sum())


def _share(observed: Floats, positive: Floats, negative: Floats) -> Floats:
    """Most likely w per row (..., bins): the score of the concave likelihood falls with w, so halving finds its zero.

    Either control gets SMOOTHING of the other: a bin that a short control happens to leave empty is not impossible.
    """
    positive, negative = positive + SMOOTHING * negative + 1e-12, negative + SMOOTHING * positive + 1e-12
    low, high = np.zeros(observed.shape[:-1]), np.ones(observed.shape[:-1])
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        mixed = middle[..., None] * negative + (1 - middle[..., None]) * positive
        rises = (observed * (negative - positive) / mixed).sum(axis=-1) > 0
        low, high = np.where(rises, middle, low), np.where(rises, high, middle)
    return np.round((low + high) / 2, 6)


def _resampled(
    bins: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]], weight: Floats, size: int,
    rng: np.random.Generator,
) -> Floats:  # fmt: skip
    """(2, RESAMPLES) shares of resampled pairs, for the lower and the upper bound.

    For the upper one a hit is added that disagrees, for the lower one that agrees: without them a sample that has none
    of one sort would have no spread (the idea of Agresti and Min, Statistics in Medicine 24, 2005, 729-740).
    """
    hit, positive, negative = bins
    heavy = float(weight @ weight / weight.sum())
    hits, controls = np.empty((2, RESAMPLES, size)), np.empty((2, RESAMPLES, size))
    for number in range(RESAMPLES):
        rows = rng.integers(0, len(hit) + 1, len(hit) + 1)
        for place, each in enumerate((positive, negative)):
            added = np.append(hit, rng.choice(each))
            hits[place, number] = _histogram(added[rows], size, np.append(weight, heavy)[rows])
            controls[place, number] = _histogram(each[rng.integers(0, len(each), len(each))], size)
    return _share(hits, controls[0], controls[1])


def _fit(
    observed: Floats, share: float, samples: tuple[Floats, NDArray[np.int64], NDArray[np.int64]], size: int,
    rng: np.random.Generator,
) -> float:  # fmt: skip
    """Chance that the hits' histogram lies this far from a mixture (largest distance of the cumulated ones), by drawing
    hits from the fitted mixture and both controls anew."""
    weight, positive, negative = samples
    tables = np.empty((3, FITS, size))
    for number in range(FITS):
        wrong = rng.random(len(weight)) < share
        drawn = np.where(wrong, rng.choice(negative, len(weight)), rng.choice(positive, len(weight)))
        tables[0, number] = _histogram(drawn, size, weight)
        for place, each in ((1, positive), (2, negative)):
            tables[place, number] = _histogram(each[rng.integers(0, len(each), len(each))], size)

    def distance(hits: Floats, right: Floats, wrong: Floats, w: Floats) -> Floats:
        return np.abs(np.cumsum(hits - w[..., None] * wrong - (1 - w[..., None]) * right, axis=-1)).max(axis=-1)

    seen = distance(observed, _histogram(positive, size), _histogram(negative, size), np.asarray(share))
    chance = distance(tables[0], tables[1], tables[2], _share(*tables))
    return float((1 + (chance >= seen).sum()) / (1 + FITS))


def _lower(part: Floats, young: Floats) -> bool:
    error = np.sqrt(part.var(ddof=1) / len(part) + young.var(ddof=1) / len(young))
    return bool(young.mean() - part.mean() > Z_LEVEL * error + 1e-9)
