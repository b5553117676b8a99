"""The commands `gpus` and `models`: what the profiles hold, with source and date; plain tables, no arithmetic."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, cast

import typer

from costplan.cli.output import check_outputs, console, output

Json = Annotated[str | None, typer.Option("--json", help="Also write the facts to FILE; - is stdout.", metavar="FILE")]


def gpus(
    name: Annotated[str | None, typer.Argument(help="One GPU in full: A100, or a YAML file.", metavar="GPU")] = None,
    json_: Json = None,
) -> None:
    """List GPUs: memory, speed, power and prices per hour, with source and date.

    \b
    costplan gpus
    costplan gpus A100
    costplan gpus --json gpus.json
    """
    from costplan.profiles.facts import gpu_facts
    from costplan.profiles.gpus import all_gpus, find_gpu

    found = [gpu_facts(gpu) for gpu in ([find_gpu(name)] if name else all_gpus())]
    _show("gpus", found, _gpu_row, in_full=bool(name), json_=json_)


def models(
    name: Annotated[
        str | None, typer.Argument(help="One model in full: short name, Hugging Face id, config.json.", metavar="MODEL")
    ] = None,
    json_: Json = None,
) -> None:
    """List open models: parameters, KV cache and weights, with source and date.

    \b
    costplan models
    costplan models llama-3.1-8b
    costplan models my-model/config.json --json -
    """
    from costplan.profiles.facts import model_facts
    from costplan.profiles.models import all_models, find_model

    found = [model_facts(model) for model in ([find_model(name)] if name else all_models())]
    _show("models", found, _model_row, in_full=bool(name), json_=json_)


def _gpu_row(gpu: Mapping[str, Any]) -> dict[str, str]:
    from costplan.report.numbers import money

    flops, price, spot = gpu["tflops"], gpu["on_demand_usd_per_hour"], gpu["spot_usd_per_hour"]
    return {
        "GPU": gpu["name"],
        ">GiB": f"{gpu['memory_gib']:.1f}",
        ">GB/s": f"{gpu['bandwidth_gb_s']:,.0f}",
        ">TFLOP/s bf16": f"{flops['bf16']:,.0f}",
        ">fp8": f"{flops['fp8']:,.0f}" if "fp8" in flops else "-",
        ">W": f"{gpu['power_w']:.0f}",
        ">$/h": money(price["usd"], 2),
        "range": f"{money(price['low'], 2)} to {money(price['high'], 2)}",
        ">spot": money(spot["usd"], 2) if spot else "-",
        "as of": price["checked"],
        "source": gpu["source"],
    }


def _model_row(model: Mapping[str, Any]) -> dict[str, str]:
    from costplan.report.numbers import compact

    return {
        "model": model["name"] or model["id"],
        ">parameters": compact(model["parameters"]),
        ">active": compact(model["active_parameters"]) if model["moe"] else "-",
        ">context": compact(model["max_context"]),
        ">KV bytes/token": f"{model['kv_bytes_per_token']['bf16']:,.0f}",
        ">GiB bf16": f"{model['weights_gib']['bf16']:,.1f}",
        ">awq": f"{model['weights_gib']['awq']:,.1f}",
        "native": model["native_precision"],
        "as of": model["checked"],
        "source": model["source"],
    }


def _show(kind: str, found: list[dict[str, Any]], row: Any, *, in_full: bool, json_: str | None) -> None:
    """JSON where asked for; a table of all, or every fact of the one that was named."""
    check_outputs(json_)
    if json_:
        document = {"schema": f"costplan/{kind}/1", kind: found}
        output(json_, (json.dumps(document, indent=2) + "\n").encode())
    if json_ == "-":
        return
    if in_full:
        _facts(found[0])
    else:
        _table([row(each) for each in found])


def _table(rows: list[dict[str, str]]) -> None:
    """Columns whose title starts with > are set right; the last one, the source, gets what width is left."""
    from rich.table import Table
    from rich.text import Text

    from costplan.report.numbers import plain

    screen = console()
    titles = [title for title in rows[0] if title != "source"]
    taken = sum(max(len(title.lstrip(">")), *(len(each[title]) for each in rows)) + 2 for title in titles)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in rows[0]:
        table.add_column(title.lstrip(">"), justify="right" if title.startswith(">") else "left", no_wrap=True)
    for each in rows:
        source = plain(each["source"], max(12, screen.width - taken))
        table.add_row(*(Text(each[title]) for title in titles), Text(source))
    screen.print(table)


def _facts(facts: Mapping[str, Any]) -> None:
    """One line for each fact that is there; a price with its range, day and source."""
    from costplan.report.numbers import plain

    lines = [
        (f"{key} {inner}" if _is_price(deeper) else key, shown)
        for key, value in facts.items()
        for inner, deeper, shown in _parts(value)
    ]
    width = max(len(key) for key, _ in lines) + 2
    for key, shown in lines:
        typer.echo(f"{key:<{width}}{plain(shown, 500)}")


def _parts(value: Any) -> list[tuple[str, Any, str]]:
    """(inner key, inner value, text) of a fact; prices by cloud are one part each, everything else is one part."""
    if value in (None, "", [], {}):
        return []
    if isinstance(value, Mapping):
        inside = cast(Mapping[str, Any], value)
        if _is_price(inside):
            return [("", inside, _text(inside))]
        if any(_is_price(each) for each in inside.values()):
            return [(key, each, _text(each)) for key, each in inside.items()]
    return [("", value, _text(value))]


def _is_price(value: Any) -> bool:
    return isinstance(value, Mapping) and "usd" in value


def _text(value: Any) -> str:
    if _is_price(value):
        return (
            f"{value['usd']:,.2f} ({value['low']:,.2f} to {value['high']:,.2f}), {value['checked']}: {value['source']}"
        )
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(each)}" for key, each in cast(Mapping[str, Any], value).items())
    if isinstance(value, list):
        return ", ".join(map(str, cast(list[object], value)))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return (
        f"{value:,}"
        if isinstance(value, int)
        else f"{value:,g}"
        if isinstance(value, float) and value < 1e6
        else f"{value}"
    )
