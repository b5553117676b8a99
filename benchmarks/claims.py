"""The figures of docs/claims.md, each from a function of the product: a scenario's arithmetic, a generated log with its
truth, the memory and the simulation of a serving engine. The prose beside them stands in the page.

    cog -I . -r docs/claims.md        (also: make claims)
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from costplan.analyze import analyze
from costplan.capacity.single import run_simulation
from costplan.errors import CostplanError
from costplan.generate import Outputs, generate
from costplan.profiles.engines import find_engine
from costplan.profiles.gpus import find_gpu
from costplan.profiles.models import find_model
from costplan.results.serving import Simulation
from costplan.scenario import Range, Scenario, find_scenario, read_scenario
from costplan.scenario.arithmetic import BATCH, EXACT, ROUTING, priced, sessions_month
from costplan.scenario.money import rates_of
from costplan.scenario.spec import CallSpec, FlatPrice
from costplan.serving.memory import GIB, memory, weight_bytes
from costplan.serving.precision import find_precision
from costplan.serving.static import slots
from costplan.settings import AnalyzeSettings, SimulateSettings, resolve
from costplan.units import HOURS_PER_MONTH, SECONDS_PER_HOUR, TOKENS_PER_MTOK

Lines = Iterator[str]
DAY = date(2026, 11, 20)
MONTH_DAYS = HOURS_PER_MONTH / 24
LONG = {"input": "1000", "output": "300"}
SHORT = {"input": "500", "output": "250"}
SPREAD = {"input": "lognormal:500,1200", "output": "lognormal:250,700"}


def bullets(name: str) -> str:
    """The figures of a claim as a Markdown list."""
    return "\n".join(f"- {line}" for line in CLAIMS[name]())


@cache
def scenario(name: str) -> Scenario:
    return read_scenario(find_scenario(name))


def month_usd(told: Scenario, levers: tuple[int, ...] = ()) -> float:
    """USD a month of all calls."""
    rates = rates_of(told, DAY)
    return sum(priced(told, rates, call, "value", levers).usd for call in told.calls)


def fixed(number: float) -> Range:
    return Range(number, number, number)


def with_call(told: Scenario, **changes: Any) -> Scenario:
    """The scenario with its first call changed."""
    return replace(told, calls=(replace(told.calls[0], **changes), *told.calls[1:]))


@cache
def simulated(**settings: Any) -> Simulation:
    return run_simulation(SimulateSettings(**settings))


def per_mtok(run: Simulation, gpus: str, end: str = "usd") -> float:
    """USD per million output tokens at the run's throughput, by the hourly price on demand or its `low` or `high`."""
    number, _, name = gpus.partition("x")
    hour = int(number) * getattr(find_gpu(name).on_demand, end)
    return hour / (run.output_tok_s * SECONDS_PER_HOUR) * TOKENS_PER_MTOK


def writing_assistant() -> Lines:
    told = scenario("writing-assistant")
    dear = replace(told, prices={"gpt-4": FlatPrice(input=30, output=60)})
    mini = replace(told, prices={"gpt-4o-mini": FlatPrice(input=0.15, output=0.6)})
    even = with_call(dear, input_tokens=fixed(400), output_tokens=fixed(400))
    flat, split, half, cheap = map(month_usd, (told, dear, even, with_call(mini, model="gpt-4o-mini")))
    assert told.traffic.users is not None
    thousand = flat / MONTH_DAYS / told.traffic.users.value * 1000
    yield f"At one price for all tokens: ${thousand:.2f} per 1,000 users and day, ${flat / 1e6:.2f}M in 730 hours."
    yield (
        f"With answers at twice the price ($30 and $60 per million) and 500 tokens in, 300 out: ${split / 1e6:.2f}M "
        f"({split / flat - 1:+.0%}); with 400 and 400: ${half / 1e6:.2f}M ({half / flat - 1:+.0%})."
    )
    yield f"The same tokens at $0.15 and $0.60 (gpt-4o-mini): ${cheap / 1e6:.3f}M, {1 - cheap / flat:.1%} less."


def needed_routing(
    answered: float, prompt_kept: float, prompt_share: float, price_ratio: float, target: float
) -> float:
    """Share of the calls left that must go to a model at `price_ratio` of the price, for `target` of the cost."""
    left = (1 - answered) * (prompt_share * prompt_kept + 1 - prompt_share)
    return (1 - target / left) / (1 - price_ratio)


def optimised() -> Lines:
    told = scenario("writing-assistant-optimised")
    call, target = told.calls[0], 110 / 800
    whole = priced(told, rates_of(told, DAY), call, "value")
    share = whole.input_usd / whole.usd
    hits = with_call(told, repeats=replace(call.repeats, exact=fixed(0.34)))
    exact, both = (month_usd(each, (EXACT,)) / 1e3 for each in (hits, with_call(hits, input_tokens=fixed(520))))
    yield f"{1 - target:.0%} less is outside the 60-85 % that the claim of four techniques gives."
    yield (
        f"34 % answered from a cache: ${whole.usd / 1e3:.0f}k -> ${exact:.0f}k; prompts of 520 instead of 800 tokens "
        f"as well: ${both:.0f}k, since {1 - share:.0%} of the cost are answers, which no shorter prompt shortens."
    )
    needs = [
        f"at {ratio:.0%} of the price {needed_routing(0.34, 0.65, share, ratio, target):.0%} of the calls left "
        f"({needed_routing(0.34, 0.65, 1.0, ratio, target):.0%} if all tokens were prompts)"
        for ratio in (0.01, 0.1, 0.2)
    ]
    yield f"To reach $110k a cheaper model must take: {'; '.join(needs)}."


def hits_and_latency() -> Lines:
    """A generated log with 34 % exact repeats, analyzed."""
    told = scenario("writing-assistant-optimised")
    none = fixed(0)
    repeats = replace(
        told.calls[0].repeats, exact=fixed(0.34), respelled=none, paraphrase=none, trap=none, window=20
    )  # fmt: skip
    told = replace(with_call(told, repeats=repeats), log=replace(told.log, requests=3000))
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.jsonl"
        truth = generate(told, Outputs(log=log), seed=1)
        settings, origins = resolve(AnalyzeSettings, {"ttl": "1d", "price_date": truth["price_date"], "workers": 1})
        latency = analyze([str(log)], settings, origins).after.latency
    assert latency is not None
    before, after = latency.before.e2e_s, latency.after.e2e_s
    hits = truth["levers"]["response_cache.exact"]["requests"] / truth["requests"]
    yield (
        f"A generated log of {truth['requests']:,} calls with {hits:.0%} hits: e2e p50 {before.p50.value:.2f} s -> "
        f"{after.p50.value:.2f} s, p95 {before.p95.value:.2f} s -> {after.p95.value:.2f} s, a hit answering in "
        f"{1000 * (latency.lookup_s.value or 0):.0f} ms."
    )
    yield (
        f"By arithmetic: with a share h of hits the new p95 is what was percentile 100 - 5 / (1 - h); h = 34 % gives "
        f"p{100 - 5 / (1 - 0.34):.1f}."
    )


def four_techniques() -> Lines:
    told = with_call(scenario("writing-assistant-optimised"), model="gpt-4.1")
    call = told.calls[0]
    assert call.cheaper is not None
    cheaper = replace(call.cheaper, model="gpt-4.1-mini")
    told = with_call(replace(told, prices={}), cheaper=cheaper)
    base = month_usd(told)
    for name, hits, shorter, routed, batch in (
        ("cautious", 0.1, 0.05, 0.2, 0.0), ("middling", 0.2, 0.2, 0.5, 0.1), ("all of it", 0.4, 0.35, 0.8, 0.2),
    ):  # fmt: skip
        mixed = with_call(
            told, input_tokens=fixed(call.input_tokens.value * (1 - shorter)), batch_share=fixed(batch),
            repeats=replace(call.repeats, exact=fixed(hits)), cheaper=replace(cheaper, share=fixed(routed)),
        )  # fmt: skip
        yield (
            f"{name}: {hits:.0%} hits, prompts {shorter:.0%} shorter, {routed:.0%} to a model at a fifth of the price, "
            f"{batch:.0%} in batches: {1 - month_usd(mixed, (EXACT, ROUTING, BATCH)) / base:.0%} less"
        )


def customer_service() -> Lines:
    told = scenario("customer-service")
    asked = sessions_month(told, "value") / MONTH_DAYS
    with tempfile.TemporaryDirectory() as folder:
        truth = generate(told, Outputs(log=Path(folder) / "log.jsonl"), seed=1)
    kinds, n = truth["kinds"], truth["requests"]
    alike = sum(kinds[kind] for kind in ("exact", "respelled", "paraphrase")) / n
    yield f"{asked:,.0f} queries less 38 % are {asked * 0.62:,.0f}: the count holds."
    yield f"Of a generated log of {n:,} calls {alike:.0%} repeat an earlier one, {kinds['trap'] / n:.1%} only look so."
    ways = (("exact", "word for word"), ("respelled", "by spelling"), ("semantic", "by meaning and never wrongly"))
    for name, how in ways:
        saved = truth["levers"][f"response_cache.{name}"]
        less = saved["usd"] / truth["baseline"]["usd"]
        yield f"A cache of a day that answers {how}: {saved['requests'] / n:.1%} hits, {less:.1%} less cost."
    traps = truth["semantic_cache"]["traps_within_reach"] / n
    yield f"{traps:.1%} of the calls look like a stored one and need another answer: they may be served wrongly."


def copilot() -> Lines:
    lengths = {"input": "lognormal:2000,5000", "output": "lognormal:250,600", "rate": "4", "requests": 1500}
    large = simulated(model="llama-3.3-70b", gpus="4xH100", **lengths)
    drafted = simulated(model="llama-3.3-70b", gpus="4xH100", speculative="3,0.7", **lengths)
    small = simulated(model="llama-3.1-8b", gpus="4xH100", tp=1, **lengths)
    tpot = [1000 * (run.tpot_s.mean or 0) for run in (large, drafted)]
    yield (
        "Llama-3.3-70B on 4xH100 at 4 requests a second (2,000 tokens in, 250 out): TTFT p95 "
        f"{large.ttft_s.p95:.2f} s, whole answer p95 {large.e2e_s.p95:.1f} s. Without streaming the first word comes "
        "with the last."
    )
    yield (
        f"Speculative decoding (3 drafts, 70 % accepted): TTFT p95 {drafted.ttft_s.p95:.2f} s, TPOT {tpot[0]:.0f} -> "
        f"{tpot[1]:.0f} ms, whole answer p95 {drafted.e2e_s.p95:.1f} s."
    )
    yield (
        f"An 8B model on the same GPUs: TTFT p95 {small.ttft_s.p95:.2f} s. With half of the calls routed to it, the "
        f"p95 of all calls is the p90 of those that stay: {large.ttft_s.p90:.2f} s before their load falls."
    )


def onprem() -> Lines:
    model, gpu, engine = find_model("llama-3-70b"), find_gpu("A100"), find_engine("vllm")
    fp16, one, four = (
        memory(model, gpu, engine, tp=tp, precision=name) for tp, name in ((4, "bf16"), (1, "awq"), (4, "awq"))
    )
    whole = weight_bytes(model, 1, find_precision("bf16", gpu)) / 1e9
    fit = fp16.requests(1300)
    yield (
        f"16 bits: {whole:.0f} GB of weights, {fp16.weights_bytes / GIB:.1f} GiB on each of four GPUs, which leaves "
        f"{fp16.kv_bytes / GIB:.1f} GiB of KV cache on each: {fp16.tokens():,} tokens, {fit} requests of 1,300."
    )
    yield (
        f"AWQ on one GPU: {one.weights_bytes / GIB:.1f} GiB of weights ({one.weights_bytes / 1e9:.0f} GB), "
        f"{one.kv_bytes / GIB:.1f} GiB of KV: {one.tokens():,} tokens, {one.requests(1300)} such requests, "
        f"{one.requests(1300) / fit:.2f}x."
    )
    yield f"AWQ on all four: {four.requests(1300)} requests, {four.requests(1300) / fit:.1f}x."


def one_a100() -> Lines:
    model, gpu, engine = find_model("llama-3-70b"), find_gpu("A100"), find_engine("vllm")
    try:
        memory(model, gpu, engine, tp=1, precision="bf16")
    except CostplanError as error:
        yield f"In 16 bits it does not fit: {error.message}."
    held = memory(model, gpu, engine, tp=1, precision="awq")
    rooms = ", ".join(f"{held.requests(size)} requests of {size:,} tokens" for size in (2048, 8192, 10_000))
    yield f"AWQ: room for {rooms}."
    common = {"model": "llama-3-70b", "gpus": "1xA100", "precision": "awq"}
    naive = simulated(**common, engine="naive", rate="1", requests=200, **SPREAD).sustainable_req_s
    ways = [(f"{n} at a time", simulated(**common, concurrency=n, requests=5 * n, **SPREAD).req_s) for n in (10, 64)]
    for how, req_s in [*ways, ("in fixed batches", naive or 0.0)]:
        gpus = -(-10_000 / 60 // req_s)
        prices = (gpu.on_demand.usd, gpu.on_demand.low, gpu.on_demand.high)
        usd, low, high = (gpus * HOURS_PER_MONTH * each / 1e3 for each in prices)
        yield (
            f"10,000 requests a minute of 500 + 250 tokens on average, {how}: {req_s:.2f} req/s a GPU, {gpus:,.0f} "
            f"GPUs, ${usd:,.0f}k a month (${low:,.0f}k to ${high:,.0f}k by the hourly price)"
        )


def vllm_8b() -> Lines:
    two, one = {"model": "llama-3-8b", "gpus": "2xA100", "tp": 1}, {"model": "llama-3-8b", "gpus": "1xA100"}
    rows = {
        n: simulated(**two, concurrency=n, requests=max(200, 4 * n), **SHORT) for n in (4, 8, 16, 24, 32, 64, 256)
    }  # fmt: skip
    naive = simulated(**one, engine="naive", rate="20", requests=1000, **SPREAD)
    best = simulated(**one, rate="inf", requests=1000, **SPREAD)
    pair = simulated(**one, concurrency=2, requests=100, **SHORT)
    tpot = [1000 * (rows[n].tpot_s.mean or 0) for n in (16, 256)]
    yield (
        "Output tokens a second of both GPUs, 500 + 250 tokens, by requests in flight: "
        + ", ".join(f"{n}: {run.output_tok_s:,.0f}" for n, run in rows.items())
        + f"; TPOT at 16 {tpot[0]:.0f} ms, at 256 {tpot[1]:.0f} ms."
    )
    yield (
        f"Saturated, lengths spread, on one GPU: {best.output_tok_s:,.0f} tok/s against {naive.output_tok_s:,.0f} in "
        f"batches of at most {naive.config.max_num_seqs} that wait for their longest answer, "
        f"{best.output_tok_s / naive.output_tok_s:.1f}x."
    )
    yield f"Two at a time keep a GPU busy {pair.busy_share:.0%} of the time, at {pair.output_tok_s:,.0f} tok/s."


def fragmentation() -> Lines:
    mean, limit, gpu, engine = 750, 2048, find_gpu("A100"), find_engine("vllm")
    wasted = 1 - mean / limit
    for name, tp, precision in (("llama-3-8b", 1, "bf16"), ("llama-3-70b", 4, "bf16"), ("llama-3-70b", 1, "awq")):
        held = memory(find_model(name), gpu, engine, tp=tp, precision=precision)
        share, room = held.kv_bytes / gpu.memory_bytes, held.tokens()
        reserved = slots(room, limit, 10**6)
        yield (
            f"{name} {precision} TP{tp}: {share:.0%} of the memory is KV; reserving {limit:,} tokens for {mean} wastes "
            f"{wasted:.0%} of it, {wasted * share:.0%} of the GPU; {reserved} requests fit, in pages {room // mean}, "
            f"{room / mean / reserved:.1f}x"
        )
    few, many = (
        simulated(
            model="llama-3-70b", gpus="1xA100", precision="awq", concurrency=n, requests=4 * n, **SHORT
        ).output_tok_s
        for n in (55, 150)
    )
    yield f"llama-3-70b awq, one A100: 55 at a time {few:,.0f} tok/s, 150 at a time {many:,.0f}, {many / few:.2f}x"


def awq() -> Lines:
    model, gpu = find_model("llama-3-70b"), find_gpu("A100")
    wide, small = (weight_bytes(model, 1, find_precision(name, gpu)) for name in ("bf16", "awq"))
    yield f"Weights of Llama-3-70B: {wide / GIB:.1f} -> {small / GIB:.1f} GiB, {1 - small / wide:.0%} less."

    def tok_s(gpus: str, precision: str, n: int) -> float:
        requests = max(40, 3 * n)
        return simulated(
            model="llama-3-70b", gpus=gpus, precision=precision, concurrency=n, requests=requests, **LONG
        ).output_tok_s  # fmt: skip

    for n in (1, 8, 64, 256):
        full, four = tok_s("4xA100", "bf16", n), tok_s("4xA100", "awq", n)
        yield f"4xA100, {n} at a time: {full:,.0f} -> {four:,.0f} tok/s ({four / full - 1:+.0%})"
    one, four = tok_s("1xA100", "awq", 64), tok_s("4xA100", "bf16", 256)
    yield f"One A100 with AWQ, 64 at a time: {one:,.0f} tok/s, {one / four:.0%} of four with 16 bits and 256 at a time"


def productivity() -> Lines:
    for name, prices in (("productivity-app", "$5 for all tokens"), ("productivity-app-split", "$5 and $15")):
        told = scenario(name)
        rates = rates_of(told, DAY)
        costs = sorted(((priced(told, rates, call, "value").usd, call.name) for call in told.calls), reverse=True)
        total = sum(usd for usd, _ in costs)
        yield f"{prices}: ${total / 1e3:,.0f}k a month; " + ", ".join(
            f"{call} {usd / total:.0%}" for usd, call in costs
        )
    told = scenario("productivity-app-split")
    _, draft, summarise = told.calls
    plain, kept, dear = (1000 * call_usd(told, *each) for each in ((summarise, 0), (summarise, 600), (draft, 0)))
    yield (
        f"If 600 of the 800 tokens of `summarise` come back with every returning user and are read at a tenth of the "
        f"price, it falls from ${plain:.2f} to ${kept:.2f} per 1,000 calls, against ${dear:.2f} of `draft`."
    )


def call_usd(told: Scenario, call: CallSpec, cached: float) -> float:
    """One call of which so many prompt tokens cost a tenth."""
    rate = rates_of(told, DAY)[call.model]
    rate = replace(rate, cache_read=0.1 * rate.input)
    return rate.usd(call.input_tokens.value, cached, 0.0, call.output_tokens.value)


def attention_share(model_name: str, tokens: int) -> float:
    """Share of a prefill's floating-point operations that is attention over the context (causal: half the square).

    Matrix products: 2 operations for each active parameter and token. Attention: QK' and its product with V, 2 x 2 x
    tokens / 2 operations for each element of the query heads and token.
    """
    model = find_model(model_name)
    attention = 2.0 * tokens * model.heads * model.head_dim * model.layers
    return attention / (attention + 2.0 * model.active_parameters)


def hardware() -> Lines:
    for gpus in ("4xH100", "4xH200", "4xB200"):
        run, cached = (
            simulated(
                model="llama-3.3-70b", gpus=gpus, precision="fp8", rate="inf", requests=1500, prefix_hit=hit, **LONG
            )
            for hit in (None, 0.5)
        )  # fmt: skip
        yield (
            f"Llama-3.3-70B in fp8 on {gpus}, 1,000 + 300 tokens, saturated: {run.output_tok_s:,.0f} tok/s, "
            f"${per_mtok(run, gpus):.2f} per 1M output tokens (${per_mtok(run, gpus, 'low'):.2f} to "
            f"${per_mtok(run, gpus, 'high'):.2f} by the hourly price); with half of each prompt in the prefix cache "
            f"{cached.output_tok_s / run.output_tok_s - 1:+.0%}, ${per_mtok(cached, gpus):.2f}"
        )
    for tokens in (1_000, 8_000, 32_000):
        share = attention_share("llama-3.3-70b", tokens)
        low, high = (1 / (1 - share * (1 - 1 / faster)) for faster in (1.5, 2.0))
        yield (
            f"Attention is {share:.0%} of a prefill of {tokens:,} tokens: made 1.5 to 2 times as fast, the prefill is "
            f"{low:.2f} to {high:.2f} times as fast"
        )
    for name in ("mixtral-8x7b", "qwen3-235b-a22b", "deepseek-v3"):
        model = find_model(name)
        assert model.moe is not None
        n, active = model.moe.experts, model.moe.per_token
        read = ", ".join(f"{n * (1 - (1 - active / n) ** batch):.0f}" for batch in (1, 8, 64))
        yield (
            f"{name}: {model.active_parameters / 1e9:.0f} of {model.parameters / 1e9:.0f} billion parameters active "
            f"({model.active_parameters / model.parameters:.0%}); experts read at batch 1, 8, 64: {read} of {n}"
        )


ARITHMETIC = ("writing_assistant", "optimised", "four_techniques", "onprem", "productivity")
"""What needs neither a log nor a simulation."""
CLAIMS: dict[str, Callable[[], Lines]] = {
    each.__name__: each
    for each in (
        writing_assistant, optimised, hits_and_latency, four_techniques, customer_service, copilot, onprem, one_a100,
        vllm_8b, fragmentation, awq, productivity, hardware,
    )
}  # fmt: skip
