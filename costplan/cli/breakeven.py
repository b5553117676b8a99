"""`costplan breakeven`: settings, one call, one report."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from costplan.cli.output import check_outputs, console, output, progress
from costplan.errors import CostplanError, UsageError

_PLAN_HINT = "write a plan with: costplan analyze LOG --json plan.json"


_Logs = Annotated[
    list[str] | None, typer.Argument(help="Logs or traces whose traffic would move (or --plan).", metavar="LOG")
]
_Gpus = Annotated[str | None, typer.Option(help="The GPUs at hand: 4xA100, 8xH100.", metavar="GPUS")]
_Plan = Annotated[
    str | None, typer.Option(help="Traffic of a plan.json, after its levers; - is stdin.", metavar="PLAN")
]
_RequestsPerDay = Annotated[str | None, typer.Option(help="Volume (200k) that a model would answer.", metavar="N")]
_Input = Annotated[
    str | None, typer.Option("--input", help="Prompt tokens: 547, lognormal:mean,p95 or a file.", metavar="LENGTH")
]
_Output = Annotated[str | None, typer.Option("--output", help="Answer tokens, spelled the same way.", metavar="LENGTH")]
_Model = Annotated[
    str | None, typer.Option(help="Open model to host (default: one of the API model's class).", metavar="MODEL")
]
_ApiModel = Annotated[
    str | None, typer.Option(help="API model of today (default: the log's dearest, else gpt-4o).", metavar="MODEL")
]
_Slo = Annotated[str | None, typer.Option(help='Limits that hold: "ttft.p95<1s,tpot.p95<50ms".', metavar="LIMITS")]
_Precision = Annotated[
    str | None, typer.Option(help="bf16, fp8, int8, awq (default: the checkpoint's own).", metavar="NAME")
]
_Tp = Annotated[int | None, typer.Option(help="Only layouts with so many GPUs per replica.", metavar="N")]
_Engine = Annotated[str | None, typer.Option(help="Engine and version (default vllm, newest).", metavar="NAME@VERSION")]
_PrefixHit = Annotated[
    float | None, typer.Option(help="Share of each prompt that all prompts have in common.", metavar="SHARE")
]
_Growth = Annotated[str | None, typer.Option(help="Growth of the traffic: 15%/month, 80%/year.", metavar="RATE")]
_GpuPrice = Annotated[float | None, typer.Option(help="USD per GPU-hour.", metavar="USD")]
_Cloud = Annotated[
    str | None, typer.Option(help="aws, azure, gcp, specialised or owned: prices, instance sizes.", metavar="NAME")
]
_Term = Annotated[str | None, typer.Option(help="on-demand (default), reserved, spot or owned.", metavar="TERM")]
_Spare = Annotated[int | None, typer.Option(help="Replicas beyond the need (default 1: N+1).", metavar="N")]
_Autoscale = Annotated[
    bool | None, typer.Option("--autoscale", help="The fleet follows the hours; else it stands day and night.")
]
_OpenPrice = Annotated[
    str | None, typer.Option(help="Price of the open model: USD per million in/out.", metavar="IN/OUT")
]
_Seller = Annotated[
    str | None, typer.Option(help="Who sells the open model (default: the median of all).", metavar="NAME")
]
_Fte = Annotated[float | None, typer.Option(help="Engineers it takes (default 0.5).", metavar="N")]
_Salary = Annotated[float | None, typer.Option(help="USD an engineer costs a year, all told.", metavar="USD")]
_Profile = Annotated[str | None, typer.Option(help="Step times measured by a replay.", metavar="FILE")]
_Seed = Annotated[int, typer.Option(help="Of the draws.", metavar="N", min=0)]
_Json = Annotated[
    str | None, typer.Option("--json", help="Also write breakeven.json to FILE; - is stdout.", metavar="FILE")
]
_Markdown = Annotated[
    str | None, typer.Option(help="Also write the long report to FILE as Markdown; - is stdout.", metavar="FILE")
]
_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]
_Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show every assumption and its origin.")]


def breakeven(
    context: typer.Context,
    logs: _Logs = None,
    gpus: _Gpus = None,
    plan: _Plan = None,
    requests_per_day: _RequestsPerDay = None,
    input_: _Input = None,
    output_: _Output = None,
    model: _Model = None,
    api_model: _ApiModel = None,
    slo: _Slo = None,
    precision: _Precision = None,
    tp: _Tp = None,
    engine: _Engine = None,
    prefix_hit: _PrefixHit = None,
    growth: _Growth = None,
    gpu_price: _GpuPrice = None,
    cloud: _Cloud = None,
    term: _Term = None,
    spare: _Spare = None,
    autoscale: _Autoscale = None,
    open_price: _OpenPrice = None,
    seller: _Seller = None,
    fte: _Fte = None,
    salary: _Salary = None,
    profile: _Profile = None,
    seed: _Seed = 0,
    json_: _Json = None,
    markdown: _Markdown = None,
    quiet: _Quiet = False,
    verbose: _Verbose = False,
) -> None:
    """Compare an API's bill with hosting an open model yourself: cost, break-even, what it hangs on.

    \b
    costplan breakeven --gpus 4xA100
    costplan breakeven --gpus 4xA100 --plan plan.json --growth 15%/month
    costplan breakeven logs.jsonl --gpus 8xH100 --precision fp8 --slo "ttft.p95<1s,tpot.p95<50ms"
    costplan breakeven --profile measured.yaml --requests-per-day 20k
    costplan breakeven --gpus 1xL40S --model llama-3.1-8b --api-model gpt-4o-mini --requests-per-day 500k
    """
    check_outputs(json_, markdown)
    if not (gpus or profile):
        raise UsageError("--gpus is missing: which GPUs are compared with the API?", hint="--gpus 4xA100")
    if logs and plan:
        raise UsageError("a log and --plan contradict each other", hint="give one of them")
    import numpy as np

    from costplan.breakeven import breakeven as run
    from costplan.report.breakeven import breakeven_markdown, render_breakeven
    from costplan.results.breakeven import breakeven_to_json
    from costplan.settings import BreakevenSettings, resolve

    given = {name.rstrip("_"): value for name, value in context.params.items()}
    settings, origins = resolve(BreakevenSettings, given)
    with progress(quiet) as bar:
        found, name, workload = None, plan or "", None
        if plan:
            found = _of_plan(plan)
        elif logs:
            found, workload = _of_logs(logs, settings.engine, settings.profile, bar)
            name = Path(logs[0]).name
        rng = np.random.default_rng(seed)
        document = run(settings, origins, rng, plan=found, plan_name=name, workload=workload)
    if json_:
        output(json_, breakeven_to_json(document))
    if markdown:
        output(markdown, breakeven_markdown(document).encode())
    if "-" not in (json_, markdown):
        render_breakeven(document, console(), verbose=verbose)


def _of_logs(logs: list[str], engine: str, profile: Path | None, bar: Any) -> tuple[Any, Any]:
    """The plan of the logs, and the requests behind it."""
    from costplan.analyze import analyze
    from costplan.capacity.trace import read_trace
    from costplan.profiles.engines import find_engine
    from costplan.profiles.measured import load_profile
    from costplan.settings import AnalyzeSettings, resolve

    settings, origins = resolve(AnalyzeSettings, {})
    plan = analyze(logs, settings, origins, bar)
    if plan.ingest.span.days is None:
        return plan, None
    block_size = (load_profile(profile) if profile else find_engine(engine)).block_size
    return plan, read_trace(logs, settings, block_size, bar).workload


def _of_plan(name: str) -> Any:
    import msgspec

    from costplan.results import plan_from_json

    try:
        return plan_from_json(sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes())
    except OSError as error:
        raise CostplanError(f"{name}: {error.strerror}", hint=_PLAN_HINT) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CostplanError(f"{'stdin' if name == '-' else name}: not a plan: {error}", hint=_PLAN_HINT) from None
