"""`costplan analyze` and `costplan report`: settings, one call, the reports that were asked for."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from costplan.cli.output import check_outputs, console, given, output, progress, say
from costplan.errors import CostplanError, UsageError

_OF_SCENARIOS = ("price_date", "prices", "workers")
Logs = Annotated[list[str], typer.Argument(help="Log files, directories, quoted globs, or - for stdin.", metavar="LOG")]
Format = Annotated[
    str | None,
    typer.Option("--format", help="Read the logs as this dialect (docs/formats.md).", metavar="NAME"),
]
Map = Annotated[
    list[str] | None,
    typer.Option("--map", help="Read a flat table: which COLUMN holds which FIELD; repeat it.", metavar="COLUMN=FIELD"),
]
Head = Annotated[
    str | None,
    typer.Option(help="A first look at about N records (5000, 5k), labelled partial.", metavar="N"),
]
Json = Annotated[str | None, typer.Option("--json", help="Also write plan.json to FILE; - is stdout.", metavar="FILE")]
Markdown = Annotated[
    str | None, typer.Option(help="Also write the long report to FILE as Markdown; - is stdout.", metavar="FILE")
]
Explain = Annotated[
    str | None,
    typer.Option(help="Show what is behind one lever instead: method, evidence, money, risk.", metavar="LEVER"),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show every price and assumption used, and its origin.")]
Strict = Annotated[bool | None, typer.Option("--strict", help="Stop at a bad record or an unpriced call.")]
SampleRate = Annotated[
    float | None, typer.Option(help="Share of requests that was logged; scales spend up.", metavar="SHARE")
]
Prices = Annotated[
    Path | None, typer.Option(help="Your prices: YAML (README: recipes) or a litellm price JSON.", metavar="FILE")
]
Invoice = Annotated[
    Path | None,
    typer.Option(
        help="The bill of the log's time: an amount, lines by model (.csv, .jsonl), a cost report.",
        metavar="FILE",
    ),
]
ScaleToInvoice = Annotated[
    bool | None, typer.Option("--scale-to-invoice", help="Monthly figures times billed over logged, with --invoice.")
]
Ptu = Annotated[
    bool | None, typer.Option("--ptu", help="Size the provisioned units that the contract in --prices offers.")
]
PriceDate = Annotated[
    str | None,
    typer.Option(help="Monthly figures at this day's prices (default: the log's last day).", metavar="YYYY-MM-DD"),
]
AssumeModel = Annotated[
    str | None, typer.Option(help="Price calls for which the log names no model as this one.", metavar="MODEL")
]
MonthRequests = Annotated[
    str | None, typer.Option(help="Requests in a month (5M), instead of projecting the log's span.", metavar="N")
]
RevenuePerUser = Annotated[
    float | None, typer.Option(help="USD a user pays a month: adds the margin per user.", metavar="USD")
]
Ttl = Annotated[str | None, typer.Option(help="Life of a cached answer: 15m, 1h, 7d (default 1h).", metavar="TIME")]
TtlPolicy = Annotated[
    str | None, typer.Option(help="It counts from storing (store) or last use (sliding).", metavar="POLICY")
]
Scope = Annotated[
    str | None, typer.Option(help="Who shares cached answers: global (default) or user.", metavar="SCOPE")
]
Capacity = Annotated[
    str | None, typer.Option(help="Answers the cache holds, least recently used out first.", metavar="N")
]
MaxTemperature = Annotated[
    float | None, typer.Option(help="Hotter requests are not cached (default 1.0).", metavar="T")
]
Batchable = Annotated[
    list[str] | None, typer.Option(help="Tag, feature or environment whose calls can wait a day.", metavar="NAME")
]
DayRate = Annotated[
    float | None, typer.Option(help="USD an engineer's day costs, for paybacks (default 800).", metavar="USD")
]
Semantic = Annotated[
    str | None,
    typer.Option(help="Read the prompts again, for similar ones and for compression (default on).", metavar="on|off"),
]
Quality = Annotated[
    Path | None, typer.Option(help="Scores of models by call site, for routing: .csv or .jsonl.", metavar="FILE")
]
Penalty = Annotated[
    float | None, typer.Option(help="USD a bad answer costs, in the cost of accepted ones (default 0).", metavar="USD")
]
Judging = Annotated[
    float | None, typer.Option(help="USD it costs to judge one answer, likewise (default 0).", metavar="USD")
]
MaxLoss = Annotated[
    float | None, typer.Option(help="Points of quality that routing may lose (default 5).", metavar="POINTS")
]
OutputRatio = Annotated[
    str | None,
    typer.Option(help="Length of its answers over today's (default 0.45:0.78:1.23).", metavar="LOW:MID:HIGH"),
]
Workers = Annotated[
    int | None, typer.Option(help="Processes (default: one per core); they never change a figure.", metavar="N")
]


def analyze(
    context: typer.Context,
    logs: Logs,
    format_: Format = None,
    map_: Map = None,
    head: Head = None,
    strict: Strict = None,
    sample_rate: SampleRate = None,
    prices: Prices = None,
    invoice: Invoice = None,
    scale_to_invoice: ScaleToInvoice = None,
    ptu: Ptu = None,
    price_date: PriceDate = None,
    assume_model: AssumeModel = None,
    month_requests: MonthRequests = None,
    revenue_per_user: RevenuePerUser = None,
    ttl: Ttl = None,
    ttl_policy: TtlPolicy = None,
    scope: Scope = None,
    capacity: Capacity = None,
    max_temperature: MaxTemperature = None,
    batchable: Batchable = None,
    day_rate: DayRate = None,
    semantic: Semantic = None,
    quality: Quality = None,
    max_loss: MaxLoss = None,
    output_ratio: OutputRatio = None,
    penalty: Penalty = None,
    judging: Judging = None,
    json_: Json = None,
    markdown: Markdown = None,
    explain: Explain = None,
    workers: Workers = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Read logs; say what they cost and what each lever would save.

    \b
    costplan analyze logs.jsonl
    costplan analyze "logs/*.jsonl.gz" --json plan.json --markdown report.md
    costplan analyze big.jsonl --head 5000
    costplan analyze my-product.yaml --price-date 2026-11-23
    costplan analyze export.csv --map tok_in=input_tokens --map tok_out=output_tokens
    cat logs.jsonl | costplan analyze - --json - | costplan report -
    """
    check_outputs(json_, markdown)
    _check_lever(explain)
    from costplan.settings import AnalyzeSettings, resolve

    settings, origins = resolve(AnalyzeSettings, given(context))
    plan = _planned(logs, settings, origins, quiet)
    for assumption in plan.assumptions:
        if assumption.note:
            say("warning", assumption.note)
    _show(plan, json_, markdown, verbose, explain)


def report(
    plan: Annotated[str, typer.Argument(help="A plan.json written by analyze --json; - is stdin.", metavar="PLAN")],
    markdown: Markdown = None,
    explain: Explain = None,
    verbose: Verbose = False,
) -> None:
    """Show a saved plan again; nothing is recomputed.

    \b
    costplan report plan.json
    costplan report plan.json --markdown report.md
    costplan report plan.json --explain prompt-cache
    """
    check_outputs(None, markdown)
    _check_lever(explain)
    import msgspec

    from costplan.results import plan_from_json

    hint = "write a plan with: costplan analyze LOG --json plan.json"
    try:
        document = plan_from_json(sys.stdin.buffer.read() if plan == "-" else Path(plan).read_bytes())
    except OSError as error:
        raise CostplanError(f"{plan}: {error.strerror}", hint=hint) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CostplanError(f"{'stdin' if plan == '-' else plan}: not a plan: {error}", hint=hint) from None
    _show(document, None, markdown, verbose, explain)


def _planned(logs: list[str], settings: Any, origins: dict[str, str], quiet: bool) -> Any:
    """The plan of logs, or of the one scenario that stands in for them."""
    from costplan.analyze import analyze as run
    from costplan.scenario import is_scenario

    if len(logs) == 1 and is_scenario(logs[0]):
        from costplan.scenario.estimate import estimate

        idle = [name for name, origin in origins.items() if origin == "flag" and name not in _OF_SCENARIOS]
        if idle:
            flag = f"--{idle[0].replace('_', '-')}"
            hint = "of a scenario there are --price-date, --prices, --json and --markdown"
            raise UsageError(f"{flag}: {logs[0]} is a scenario, there is no log to read", hint=hint)
        return estimate(logs[0], settings.price_date, settings.prices)
    with progress(quiet) as bar:
        return run(logs, settings, origins, bar)


def _check_lever(name: str | None) -> None:
    if name is None:
        return
    from difflib import get_close_matches

    from costplan.report import METHODS

    known = [lever.replace("_", "-") for lever in METHODS]
    if name.replace("_", "-") not in known:
        near = get_close_matches(name, known, 1, 0.4) or known
        raise UsageError(f"--explain {name}: no such lever", hint=f"--explain {' or '.join(near)}")


def _show(plan: Any, json_: str | None, markdown: str | None, verbose: bool, explain: str | None) -> None:
    """JSON and Markdown where asked for; the terminal report, or a lever's, unless one of them took stdout."""
    from costplan.report import render_explain, render_markdown, render_terminal
    from costplan.results import to_json

    if json_:
        output(json_, to_json(plan))
    if markdown:
        output(markdown, render_markdown(plan).encode())
    if "-" in (json_, markdown):
        return
    if explain:
        render_explain(plan, explain.replace("-", "_"), console())
    else:
        render_terminal(plan, console(), verbose=verbose)
