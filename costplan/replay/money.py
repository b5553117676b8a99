"""Tokens a second at a price per hour -> dollars per million tokens; it looks up one price and measures nothing."""

from costplan.profiles.gpus import parse_gpus
from costplan.replay.measure import Figures, Records, batch_means, block_rates
from costplan.results import Estimate
from costplan.results.measurement import ServerFacts
from costplan.units import SECONDS_PER_HOUR, TOKENS_PER_MTOK, plural

PREFILL, DECODE = "request_prefill_time_seconds_sum", "request_decode_time_seconds_sum"


def hourly_usd(gpus: str | None, gpu_price: float | None) -> tuple[float, str] | None:
    """(USD an hour for all GPUs, where it is from); None where nothing is known."""
    if gpus is None:
        return None if gpu_price is None else (gpu_price, f"{gpu_price:g} USD an hour")
    count, gpu = parse_gpus(gpus)
    if gpu_price is not None:
        return count * gpu_price, f"{plural(count, 'GPU')} at {gpu_price:g} USD an hour"
    usd = gpu.on_demand.usd
    return count * usd, f"{count} x {gpu.name} at {usd:g} USD an hour ({gpu.on_demand.checked})"


def per_mtok(
    records: Records, found: Figures, server: ServerFacts, price: tuple[float, str] | None
) -> dict[str, Estimate | None]:
    """The figures of cost and energy of a measurement, by name; None where something is missing.

    A rented GPU costs the same whatever it does, so what a token costs is the price over the rate. Input and output
    share it as the server's own time in prefill and in decoding does.
    """
    names = ("usd_per_mtok", "usd_per_mtok_input", "usd_per_mtok_output", "joule_per_mtok")
    costs: dict[str, Estimate | None] = dict.fromkeys(names)
    tokens_s = found.input_tok_s + found.output_tok_s
    if price is not None and tokens_s > 0:
        _, slow, fast = batch_means(block_rates(records, found.steady))
        rates = (tokens_s, fast, slow if slow > 0 else None)
        note = f"{price[1]}; interval by batch means of ten blocks of the {'steady window' if found.steady else 'run'}"
        costs["usd_per_mtok"] = _estimate(price[0], rates, 1.0, note)
        share = _prefill_share(server)
        if share is not None and found.input_tok_s > 0 and found.output_tok_s > 0:
            note = f"{price[1]}; {share:.0%} of the server's time was prefill"
            parts = {"input": share * tokens_s / found.input_tok_s}
            parts["output"] = (1 - share) * tokens_s / found.output_tok_s
            for name, factor in parts.items():
                costs[f"usd_per_mtok_{name}"] = _estimate(price[0], rates, factor, note)
    tokens = float(records.counts["input_tokens"].clip(0).sum() + records.tokens_out.sum())
    if server.energy_j is not None and tokens:
        joule = server.energy_j / tokens * TOKENS_PER_MTOK
        costs["joule_per_mtok"] = Estimate(
            value=joule, low=joule, high=joule, unit="J/Mtok", basis="measured", note="GPUs only, over the whole run"
        )
    return costs


def _estimate(usd_hour: float, rates: tuple[float, float, float | None], factor: float, note: str) -> Estimate:
    value, low, high = (
        None if rate is None else factor * usd_hour * TOKENS_PER_MTOK / (rate * SECONDS_PER_HOUR) for rate in rates
    )
    return Estimate(value=value, low=low, high=high, level=0.95, unit="USD/Mtok", basis="measured", note=note)


def _prefill_share(server: ServerFacts) -> float | None:
    prefill, decode = server.counters.get(PREFILL), server.counters.get(DECODE)
    return None if prefill is None or decode is None or prefill + decode <= 0 else prefill / (prefill + decode)
