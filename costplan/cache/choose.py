"""Which setting to recommend: the largest net saving among those whose wrong hits are bounded; it replays nothing."""

from dataclasses import dataclass
from typing import Any, cast

from costplan.cache.frontier import Tally
from costplan.results.cache import FrontierRow, WrongBasis
from costplan.settings import CacheSettings
from costplan.similarity.decide import Candidate, recommended
from costplan.similarity.guard import DEFAULT_THRESHOLD
from costplan.similarity.labels import Bound
from costplan.units import NANOS_PER_USD, SECONDS_PER_HOUR, format_duration


@dataclass(frozen=True, slots=True)
class Chosen:
    """A setting to recommend, or the one that the user fixed."""

    index: int
    by_user: bool
    reason: str
    potential: int | None
    """An unverified setting that is worth a test."""
    headline: str


def headline_ttl_s(settings: CacheSettings) -> float:
    """The TTL among whose settings one is recommended, and whose hits are labelled: --ttl, else an hour.

    Longer ones hit more, but nothing here says that answers last.
    """
    return settings.ttl or float(SECONDS_PER_HOUR)


def frontier_rows(
    tallies: list[Tally], bounds: list[Bound | None], requests: int, settings: CacheSettings, basis: WrongBasis
) -> list[FrontierRow]:
    """One row per tally; a setting is verified only where all stricter ones of its TTL are."""
    rows: list[FrontierRow] = []
    held = True
    for tally, bound in zip(tallies, bounds, strict=True):
        is_exact = tally.setting.threshold > 1
        bounded = basis == "labels" and bound is not None and bound.upper <= settings.max_wrong
        held = is_exact or (held and bounded)
        semantic = tally.hits[2]
        wrong = None if bound is None else float(bound.value)
        rows.append(FrontierRow(
            threshold=None if is_exact else tally.setting.threshold, ttl_s=tally.setting.ttl_s,
            policy=tally.setting.policy, capacity=tally.setting.capacity, hits=sum(tally.hits),
            exact_hits=tally.hits[0], respelled_hits=tally.hits[1], semantic_hits=semantic, hit_share=tally.share,
            hit_share_unguarded=tally.open_share, hit_token_share=tally.token_share, hit_usd_share=tally.usd_share,
            saved_usd=tally.saved_nanos / NANOS_PER_USD, cost_usd=tally.cost_nanos / NANOS_PER_USD, wrong_share=wrong,
            wrong_low=None if bound is None else float(bound.low),
            wrong_high=None if bound is None else float(bound.high),
            wrong_upper=None if bound is None else float(bound.upper),
            wrong_new_upper=None if bound is None or not bound.labels or bound.low < bound.high else beyond_log(bound),
            wrong_per_1k_requests=None if wrong is None else 1000 * wrong * semantic / requests,
            net_usd=tally.net_usd - settings.penalty * (wrong or 0.0) * semantic, verified=held,
        ))  # fmt: skip
    return rows


def beyond_log(bound: Bound) -> float:
    """One-sided 95 % bound of the share among new pairs, from the labelled ones (Clopper and Pearson 1934).

    Where every pair of a log is labelled nothing in it is left to chance, but other prompts will come.
    """
    from scipy import stats

    wrong = float(bound.value) * bound.labels
    return 1.0 if bound.value >= 1 else float(cast(Any, stats).beta.ppf(0.95, wrong + 1, bound.labels - wrong))


def choose(rows: list[FrontierRow], bounds: list[Bound | None], settings: CacheSettings, basis: WrongBasis) -> Chosen:
    """Among the settings of one TTL."""
    ttl_s = headline_ttl_s(settings)
    mine = [index for index, row in enumerate(rows) if row.ttl_s == ttl_s]
    exact, semantic = mine[0], mine[1:]
    best = None
    if basis == "labels":
        candidates = [_candidate(rows[index], bounds[index]) for index in semantic]
        place = recommended(candidates, settings.max_wrong)
        best = None if place is None else semantic[place]
    if best is not None and rows[best].net_usd <= rows[exact].net_usd:
        best = None
    base = round(DEFAULT_THRESHOLD, 4) if settings.threshold is None else settings.threshold
    potential = next(index for index in semantic if rows[index].threshold == base)
    index, reason = (exact, _why_exact(rows, semantic, basis, settings)) if best is None else (
        best, f"largest net saving within {settings.max_wrong:.1%} wrong hits"
    )  # fmt: skip
    headline = "exact cache only" if rows[index].net_usd > 0 else "no cache"
    if best is not None:
        headline = f"semantic cache at {rows[best].threshold:g}"
    if settings.threshold is not None:
        index, reason = potential, f"your setting: {_verdict(rows[potential], settings)}"
        headline = f"semantic cache at {settings.threshold:g}" if rows[potential].verified else headline
    worth = rows[index].threshold is None and not rows[potential].verified and rows[potential].semantic_hits
    shown = potential if worth else None
    return Chosen(index, settings.threshold is not None, f"{reason}; TTL {format_duration(ttl_s)}", shown, headline)


def _candidate(row: FrontierRow, bound: Bound | None) -> Candidate:
    return Candidate(net_usd=row.net_usd, upper=1.0 if bound is None else bound.upper)


def _verdict(row: FrontierRow, settings: CacheSettings) -> str:
    if row.verified:
        return f"within {settings.max_wrong:.1%} wrong hits"
    if row.wrong_upper is None:
        return "not verified"
    return f"up to {row.wrong_upper:.1%} of its semantic hits may be wrong, over {settings.max_wrong:.1%}"


def _why_exact(rows: list[FrontierRow], semantic: list[int], basis: WrongBasis, settings: CacheSettings) -> str:
    if not any(rows[index].semantic_hits for index in semantic):
        return "no prompt is close enough to an earlier one, beside repeats"
    if basis == "unverified":
        return "nothing says how many semantic hits would be wrong"
    if basis == "agreement":
        return "the log's answers tell how often hits would disagree, but only labels verify a setting"
    if not any(rows[index].verified for index in semantic):
        return f"no semantic setting stays within {settings.max_wrong:.1%} wrong hits at the 95% bound"
    return "semantic hits within the bound save less than they cost"
