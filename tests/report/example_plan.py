"""A hand-built plan with numbers that fit together, and the hard cases derived from it."""

import msgspec
from costplan.results import (
    After,
    AfterTotal,
    Assumption,
    Baseline,
    Basis,
    Books,
    CostParts,
    Estimate,
    GroupRow,
    Input,
    Opportunity,
    Plan,
    PriceUsed,
    Rate,
    Reconcile,
    ReconcileModel,
    Rung,
    Sessions,
    Skipped,
    SkippedBooks,
    Span,
    UnitEconomics,
    UnpricedBooks,
    UnpricedModel,
    exact,
    unknown,
)
from costplan.results.latency import Latencies, Latency, Percentiles

REQUESTS = 3_853_000
MONTH = 730 / 720
"""Of a 30-day log."""
COST_MONTH = 18_420.0
COST = COST_MONTH / MONTH
HOSTILE = "[bold red]x[/] \x1b[31mred\x1b[0m a|b `c` <script>alert(1)</script>\n# h\u202e [l](http://evil) " + "w" * 900

with_ = msgspec.structs.replace


def usd(value: float, low: float, high: float, basis: str = "simulated", level: float | None = 0.95) -> Estimate:
    return msgspec.convert(
        {"value": value, "low": low, "high": high, "level": level, "unit": "USD/month", "basis": basis}, Estimate
    )


def rung(lever: str, label: str, saved: Estimate, share: float | None, summary: str, **more: object) -> Rung:
    values = {"headline": True, "risk": "none", "evidence": {}, "order_range": None, **more}
    money = ("standalone_usd_month", "marginal_usd_month", "shapley_usd_month", "usage_usd_month", "cash_usd_month")
    values |= {"lever": lever, "label": label, "saving_share": share, "summary": summary, **dict.fromkeys(money, saved)}
    return Rung(**values)  # type: ignore[arg-type]


def _ladder() -> list[Rung]:
    test = {"headline": False, "risk": "needs-test"}
    rest = (COST_MONTH, 17_480.0, 17_070.0, 14_050.0, 12_880.0)
    return [
        rung(
            "response_cache",
            "exact cache",
            usd(940, 880, 1_010),
            940 / rest[0],
            "hit 6.2%, TTL 1 h",
            order_range=[900.0, 940.0],
        ),
        rung(
            "compression",
            "compression (lossless)",
            usd(410, 400, 420, "measured"),
            410 / rest[1],
            "JSON tool results at site 'extract'",
        ),
        rung(
            "prompt_cache",
            "prompt cache",
            usd(3_020, 2_900, 3_150),
            3_020 / rest[2],
            "reorder the date out of the prefix of 'rag-answer'",
        ),
        rung(
            "response_cache",
            "semantic cache",
            usd(1_170, 700, 1_600),
            1_170 / rest[3],
            "hit 8.1% at 0.90, wrong hits unverified: label 600",
            **test,
        ),
        rung(
            "routing",
            "routing",
            usd(4_100, 2_600, 5_200, "estimated", None),
            4_100 / rest[4],
            "break-even quality gap 3.1 points: gate 600 pairs of 'faq'",
            **test,
        ),
        rung(
            "batch", "batch", unknown("USD/month", "needs to know which calls can wait: --batch SITE"), None, "", **test
        ),
    ]


def _opportunity(site: str, lever: str, saved: Estimate, days: float, next_: str, risk: str = "none") -> Opportunity:
    return Opportunity(
        call_site=site,
        lever=lever,
        usd_month=saved,
        evidence=f"{site} has what {lever} needs",
        risk=risk,  # type: ignore[arg-type]
        effort_days=days,
        payback_days=days * 4,
        next_experiment=next_,
    )


def group(key: str, share: float, requests: int) -> GroupRow:
    return GroupRow(
        key=key,
        requests=requests,
        cost_usd=COST * share,
        share=share,
        input_tokens=requests * 900,
        output_tokens=requests * 210,
    )


def _books() -> Books:
    return Books(
        records=3_853_297,
        requests=REQUESTS,
        not_a_call=40,
        not_a_call_reasons={"count_tokens": 40},
        skipped=SkippedBooks(
            total=31,
            reasons={
                "bad_json": Skipped(count=28, first_lines=["logs.jsonl:418", "logs.jsonl:977"]),
                "cache_exceeds_input": Skipped(count=3, first_lines=["logs.jsonl:88213"]),
            },
        ),
        duplicates=200,
        repeated_ids=0,
        merged=26,
        priced=3_848_786,
        unpriced=UnpricedBooks(
            requests=214,
            tokens=237_540,
            token_share=0.0000555,
            models=[
                UnpricedModel(
                    model="foo-1",
                    provider="",
                    operation="chat",
                    reason="no price known",
                    requests=214,
                    tokens=237_540,
                    nearest=["foo-1-mini"],
                )
            ],
        ),
        failed=3_900,
        failed_by={"429": 3_100, "500": 800},
        gateway_hits=100,
        possibly_billed=12,
        retries=2_950,
        usage_source={"reported": 3_812_000, "tokenizer": 37_100, "missing": 3_900},
        text_state={"full": REQUESTS - 61_000, "truncated": 61_000},
        cache_reported_share=0.98,
        span=Span(start="2026-10-21T00:00:03Z", end="2026-11-19T23:59:58Z", days=30.0, full_days=28),
    )


def _unit_economics() -> UnitEconomics:
    sites = ("rag-answer", "extract", "faq", "code-review", "classify", "site-06", "title")
    shares = (0.462, 0.218, 0.151, 0.094, 0.045, 0.021, 0.009)
    counts = (812_000, 640_000, 1_390_000, 96_000, 700_000, 120_000, 95_000)
    return UnitEconomics(
        per_request=exact(COST / REQUESTS, "USD/request", "priced"),
        per_1k_requests=exact(1000 * COST / REQUESTS, "USD/1k requests", "priced"),
        per_session=unknown("USD/session", "the log carries no session id"),
        per_user_day=exact(COST / 30 / 8_400, "USD/user/day", "priced"),
        per_mtok_blended=exact(COST / (REQUESTS * 1110 / 1e6), "USD/Mtok", "priced"),
        by_model=[group("gpt-4o", 0.704, 1_610_000), group("claude-sonnet-4-5", 0.262, 402_000)]
        + [
            group("gpt-4o-mini", 0.034, 1_840_786),
            GroupRow(
                key="foo-1", requests=214, cost_usd=None, share=None, unpriced=214, input_tokens=0, output_tokens=0
            ),
        ],
        by_call_site=[group(*row) for row in zip(sites, shares, counts, strict=True)],
        by_user=[group("user-001", 0.031, 91_000), group("user-002", 0.012, 40_500)],
        by_tag=[],
        by_hour=[group(f"{hour:02}", 1 / 24, REQUESTS // 24) for hour in range(24)],
        by_operation=[group("chat", 1.0, REQUESTS)],
        by_day=[],
        sessions=Sessions(
            sessions=400_000,
            steps={"p50": 3, "p95": 14, "p99": 40, "max": 212},
            cost_usd={"p50": 0.02, "p95": 0.19, "p99": 0.7, "max": 9.1},
            history_share=0.41,
            tools_share=0.08,
            tool_results_share=0.17,
            system_share=0.22,
        ),
        rates=[
            Rate(
                model="gpt-4o",
                requests_min_peak=210,
                requests_min_p99=160.0,
                tokens_min_peak=233_000,
                tokens_min_p99=170_000,
            )
        ],
    )


def _total(value: float, low: float, high: float, levers: list[str]) -> AfterTotal:
    per = value / (REQUESTS * MONTH / 1000)
    return AfterTotal(
        cost_usd_month=usd(value, low, high),
        per_1k_requests=Estimate(value=per, low=per, high=per, unit="USD/1k requests", basis="simulated"),
        saving_share=1 - value / COST_MONTH,
        levers=levers,
    )


def _latency() -> Latency:
    def told(p50: float, p95: float, basis: Basis) -> Percentiles:
        return Percentiles(p50=exact(p50, "s", basis), p95=exact(p95, "s", basis))

    no_ttft = unknown("s", "the log carries no time to first token")
    neither = Percentiles(p50=no_ttft, p95=no_ttft)
    return Latency(
        before=Latencies(ttft_s=neither, e2e_s=told(4.2, 12.0, "reported")),
        after=Latencies(ttft_s=neither, e2e_s=told(3.1, 11.8, "simulated")),
        lookup_s=exact(0.015, "s", "assumed"),
    )


def example_plan() -> Plan:
    """Thirty days, three priced models, three rungs that count, three that need something."""
    return Plan(
        inputs=[Input(path="logs.jsonl", format="openai", lines=3_853_301, bytes=5_812_000_331, sha256="9f" * 32)],
        ingest=_books(),
        reconcile=Reconcile(
            invoice_usd=18_730.0,
            log_usd=COST,
            coverage_share=COST / 18_730.0,
            by_model=[ReconcileModel(model="gpt-4o", invoice_usd=13_180.0, log_usd=COST * 0.704)],
            note="",
        ),
        baseline=Baseline(
            cost_usd=exact(COST, "USD", "priced"),
            cost_usd_price_date=exact(COST, "USD", "priced"),
            cost_usd_month=usd(COST_MONTH, 17_960, 18_880, "priced"),
            cost_usd_reported=None,
            price_date="2026-11-19",
            requests=REQUESTS,
            requests_month=REQUESTS * MONTH,
            input_tokens=REQUESTS * 900,
            cache_read_tokens=REQUESTS * 240,
            cache_write_tokens=0,
            output_tokens=REQUESTS * 210,
            reasoning_tokens=0,
            cost_by=CostParts(input=COST * 0.52, cache_read=COST * 0.06, cache_write=0, output=COST * 0.42, other=0),
        ),
        unit_economics=_unit_economics(),
        ladder=_ladder(),
        opportunities=[
            _opportunity(
                "rag-answer", "prompt_cache", usd(2_400, 2_310, 2_500), 1, "move the date below the documents"
            ),
            _opportunity("faq", "response_cache", usd(700, 650, 760), 2, "put an exact cache with TTL 1 h before it"),
            _opportunity("faq", "routing", usd(2_050, 600, 3_100), 3, "gate gpt-4o-mini on 600 pairs", "needs-test"),
            _opportunity("extract", "compression", usd(410, 400, 420), 0.5, "minify JSON tool results"),
        ],
        after=After(
            defensible=_total(14_050, 13_620, 14_480, ["response_cache", "compression", "prompt_cache"]),
            potential=_total(8_780, 7_100, 10_900, ["response_cache", "compression", "prompt_cache", "routing"]),
            latency=_latency(),
        ),
        assumptions=[
            Assumption(name="contract", value="none", origin="default"),
            Assumption(name="cache.ttl_s", value="3600", origin="default"),
        ],
        prices=[
            PriceUsed(
                model="gpt-4o",
                provider="openai",
                tier="standard",
                requests=1_610_000,
                rates={"input": 2.5, "cache_read": 1.25, "output": 10.0},
                effective="2024-10-01",
                source="genai-prices 0.2.3",
                notes=[],
            )
        ],
    )


def _without_money(plan: Plan, note: str, *, shares: bool) -> Plan:
    """No monthly figure anywhere; the rungs keep their shares or say what they need."""
    none = unknown("USD/month", note)
    ladder = [
        with_(r, **dict.fromkeys([f for f in r.__struct_fields__ if f.endswith("usd_month")], none))
        for r in plan.ladder
    ]
    ladder = ladder if shares else [with_(r, saving_share=None, summary="", headline=False) for r in ladder]
    totals = [with_(t, cost_usd_month=none) for t in (plan.after.defensible, plan.after.potential)]
    totals = totals if shares else [with_(t, per_1k_requests=none, saving_share=None) for t in totals]
    return with_(
        plan,
        ladder=ladder,
        after=After(defensible=totals[0], potential=totals[1]),
        opportunities=[with_(o, usd_month=none) for o in plan.opportunities] if shares else [],
        baseline=with_(plan.baseline, cost_usd_month=none),
        reconcile=None,
    )


def no_month() -> Plan:
    plan = _without_money(example_plan(), "the log spans 6.2 h", shares=True)
    books = with_(plan.ingest, span=with_(plan.ingest.span, start="2026-11-19T17:47:58Z", days=6.2 / 24, full_days=0))
    return with_(plan, ingest=books)


def first_look() -> Plan:
    plan = _without_money(example_plan(), "--head", shares=True)
    return with_(plan, ingest=with_(plan.ingest, partial=True))


def token_only() -> Plan:
    """Monthly spend is known, but there is no text for any rung to work on."""
    plan = example_plan()
    bare = _without_money(plan, "needs the prompt text: the log holds token counts only", shares=False)
    books = with_(plan.ingest, text_state={"absent": REQUESTS})
    return with_(bare, baseline=plan.baseline, ingest=books)


def _flat(plan: Plan) -> Plan:
    """The same plan with nothing spent."""
    zero, unit = exact(0.0, "USD", "priced"), plan.unit_economics
    names = [n for n in unit.__struct_fields__ if n.startswith("by_")]
    groups = {n: [with_(r, cost_usd=0.0, share=0.0) for r in getattr(unit, n)] for n in names}
    per = {n: zero for n in unit.__struct_fields__ if n.startswith("per_")}
    base = with_(
        plan.baseline,
        cost_usd=zero,
        cost_usd_price_date=zero,
        cost_usd_month=zero,
        cost_by=CostParts(input=0, cache_read=0, cache_write=0, output=0, other=0),
    )
    total = AfterTotal(cost_usd_month=zero, per_1k_requests=zero, saving_share=None, levers=[])
    nothing = [rung("response_cache", "exact cache", zero, None, "no repeated request")]
    return with_(
        plan,
        baseline=base,
        unit_economics=with_(unit, **groups, **per),
        ladder=nothing,
        opportunities=[],
        after=After(defensible=total, potential=total),
        reconcile=None,
    )


def zero_spend() -> Plan:
    """Every call was answered by the gateway's own cache."""
    plan = _flat(example_plan())
    unpriced = UnpricedBooks(requests=0, tokens=0, token_share=0.0, models=[])
    return with_(plan, ingest=with_(plan.ingest, priced=0, failed=0, gateway_hits=REQUESTS, unpriced=unpriced))


def all_unpriced() -> Plan:
    plan = _flat(example_plan())
    models = [with_(plan.ingest.unpriced.models[0], requests=REQUESTS, tokens=REQUESTS * 1110)]
    unpriced = UnpricedBooks(requests=REQUESTS, tokens=REQUESTS * 1110, token_share=1.0, models=models)
    books = with_(plan.ingest, priced=0, failed=0, gateway_hits=0, unpriced=unpriced)
    ladder = [with_(r, marginal_usd_month=unknown("USD/month", "needs a price for model 'foo-1'")) for r in plan.ladder]
    unit, none = plan.unit_economics, unknown("USD", "no request has a price")
    sites = [with_(row, cost_usd=None, share=None, unpriced=row.requests) for row in unit.by_call_site]
    models = [with_(unit.by_model[-1], cost_usd=None, share=None)]
    unit = with_(unit, by_model=models, by_call_site=sites, by_user=[], by_hour=[], sessions=None)
    unit = with_(unit, **{name: none for name in unit.__struct_fields__ if name.startswith("per_")})
    base = with_(plan.baseline, cost_usd=none, cost_usd_price_date=none, cost_usd_month=none)
    return with_(plan, ingest=books, ladder=ladder, unit_economics=unit, baseline=base)


def one_line() -> Plan:
    plan = no_month()
    books = with_(
        plan.ingest,
        records=1,
        requests=1,
        not_a_call=0,
        duplicates=0,
        merged=0,
        priced=1,
        failed=0,
        gateway_hits=0,
        skipped=SkippedBooks(total=0, reasons={}),
        unpriced=UnpricedBooks(requests=0, tokens=0, token_share=0.0, models=[]),
        usage_source={"reported": 1},
        text_state={"full": 1},
        span=Span(start=None, end=None, days=None),
    )
    cost = exact(0.000478, "USD", "priced")
    row = GroupRow(key="gpt-4o-mini", requests=1, cost_usd=0.000478, share=1.0, input_tokens=800, output_tokens=100)
    unit = with_(
        plan.unit_economics,
        by_model=[row],
        by_call_site=[with_(row, key="site-01")],
        by_hour=[],
        by_user=[],
        per_request=cost,
        per_1k_requests=exact(0.478, "USD/1k requests", "priced"),
    )
    total = AfterTotal(
        cost_usd_month=unknown("USD/month", ""), per_1k_requests=unknown("USD", ""), saving_share=None, levers=[]
    )
    return with_(
        plan,
        ingest=books,
        baseline=with_(plan.baseline, cost_usd=cost, cost_usd_price_date=cost),
        unit_economics=unit,
        ladder=[],
        opportunities=[],
        after=After(defensible=total, potential=total),
    )


def _scaled(estimate: Estimate, by: float) -> Estimate:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return estimate
    return with_(estimate, value=estimate.value * by, low=estimate.low * by, high=estimate.high * by)


def huge() -> Plan:
    plan, by = example_plan(), 1e8
    month, now = (_scaled(e, by) for e in (plan.baseline.cost_usd_month, plan.baseline.cost_usd))
    totals = [
        with_(t, cost_usd_month=_scaled(t.cost_usd_month, by)) for t in (plan.after.defensible, plan.after.potential)
    ]
    ladder = [with_(r, marginal_usd_month=_scaled(r.marginal_usd_month, by)) for r in plan.ladder]
    sites = [
        with_(r, cost_usd=(r.cost_usd or 0) * by, requests=r.requests * 10**9) for r in plan.unit_economics.by_call_site
    ]
    base = with_(plan.baseline, cost_usd_month=month, cost_usd=now, cost_usd_price_date=now)
    return with_(
        plan,
        baseline=base,
        ladder=ladder,
        after=After(defensible=totals[0], potential=totals[1]),
        unit_economics=with_(plan.unit_economics, by_call_site=sites),
    )


def negative_rung() -> Plan:
    plan = example_plan()
    cost = rung(
        "prompt_cache",
        "prompt cache",
        usd(-120, -300, -40),
        -120 / 17_070,
        "write premium exceeds the reads",
        risk="none",
    )
    defensible = _total(17_070, 16_600, 17_540, ["response_cache", "compression"])
    ladder = [*plan.ladder[:2], cost, *plan.ladder[3:]]
    potential = _total(11_800, 10_100, 13_900, ["response_cache", "compression", "routing"])
    return with_(plan, ladder=ladder, after=After(defensible=defensible, potential=potential))


def with_invoice_gap() -> Plan:
    plan = example_plan()
    bill = Reconcile(invoice_usd=24_000.0, log_usd=COST, coverage_share=COST / 24_000.0, by_model=[], note="")
    return with_(plan, reconcile=bill)


def hostile() -> Plan:
    """Every string that can come from a log is an attack."""
    plan, unit = example_plan(), example_plan().unit_economics
    spent = {
        n: [with_(r, key=HOSTILE) for r in getattr(unit, n)] for n in ("by_model", "by_call_site", "by_user", "by_hour")
    }
    model = with_(plan.ingest.unpriced.models[0], model=HOSTILE, nearest=[HOSTILE], reason=HOSTILE)
    books = with_(plan.ingest, unpriced=with_(plan.ingest.unpriced, models=[model]), failed_by={HOSTILE: 3_900})
    return with_(
        plan,
        inputs=[with_(plan.inputs[0], path=HOSTILE, format=HOSTILE)],
        ingest=books,
        unit_economics=with_(unit, **spent),
        ladder=[with_(r, label=HOSTILE, summary=HOSTILE) for r in plan.ladder],
        opportunities=[
            with_(o, call_site=HOSTILE, evidence=HOSTILE, next_experiment=HOSTILE) for o in plan.opportunities
        ],
        assumptions=[Assumption(name="contract", value=HOSTILE, origin=HOSTILE)],
        prices=[with_(p, model=HOSTILE, source=HOSTILE, rates={HOSTILE: 1.0}) for p in plan.prices],
        warnings=[HOSTILE] * 6,
    )
