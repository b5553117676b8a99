"""`costplan simulate` and `costplan capacity`: settings, one call, one report, an exit code."""

from typing import Annotated, Any

import typer

from costplan.cli.output import check_outputs, console, output, progress
from costplan.errors import GateFailed, UsageError

Json = Annotated[
    str | None, typer.Option("--json", help="Also write the document to FILE; - is stdout.", metavar="FILE")
]
Markdown = Annotated[str | None, typer.Option(help="Also write the report as Markdown; - is stdout.", metavar="FILE")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show every assumption and its origin.")]
Model = Annotated[
    str | None, typer.Option(help="Hugging Face id, short name, or a config.json or its folder.", metavar="MODEL")
]
KvDtype = Annotated[str | None, typer.Option(help="KV cache: auto (16 bits) or fp8.", metavar="TYPE")]
Engine = Annotated[str | None, typer.Option(help="Engine and version (default vllm, newest).", metavar="NAME@VERSION")]
Routing = Annotated[
    str | None,
    typer.Option(help="round-robin, least-loaded, prefix-affinity or shared-queue.", metavar="POLICY"),
]
ColdStart = Annotated[str | None, typer.Option(help="Until a new replica takes requests (default 2m).", metavar="TIME")]
Profile = Annotated[str | None, typer.Option(help="Step times and limits measured by a replay.", metavar="FILE")]
SLO_HELP = 'Limits such as "ttft.p95<1s,tpot.p95<50ms,e2e.p99<10s,goodput>0.99"'


def simulate(
    context: typer.Context,
    model: Model = None,
    gpus: Annotated[str | None, typer.Option(help="All GPUs of the fleet: 1xA100-80GB, 4xH100.", metavar="N")] = None,
    tp: Annotated[int | None, typer.Option(help="GPUs per replica (default: all, over the replicas).")] = None,
    replicas: Annotated[int | None, typer.Option(help="Replicas (default: GPUs / tp).", metavar="N")] = None,
    precision: Annotated[
        str | None, typer.Option(help="bf16, fp8, int8, awq (default: the checkpoint's own).", metavar="NAME")
    ] = None,
    kv_dtype: KvDtype = None,
    engine: Engine = None,
    max_num_seqs: Annotated[int | None, typer.Option(help="Requests in a step.", metavar="N")] = None,
    max_num_batched_tokens: Annotated[int | None, typer.Option(help="Tokens in a step.", metavar="N")] = None,
    prefix_hit: Annotated[
        float | None, typer.Option(help="Share of each prompt that all prompts have in common.", metavar="SHARE")
    ] = None,
    input_: Annotated[
        str | None, typer.Option("--input", help="Prompt tokens: 547, lognormal:mean,p95 or a file.", metavar="LENGTH")
    ] = None,
    output_: Annotated[
        str | None, typer.Option("--output", help="Answer tokens, spelled the same way.", metavar="LENGTH")
    ] = None,
    trace: Annotated[str | None, typer.Option(help="Send the requests of this log or trace.", metavar="FILE")] = None,
    rate: Annotated[
        str | None, typer.Option(help="Requests a second: 5, stages 8:600s,20:600s, or inf.", metavar="RATE")
    ] = None,
    concurrency: Annotated[int | None, typer.Option(help="Closed loop: so many in flight.", metavar="N")] = None,
    requests: Annotated[int | None, typer.Option(help="Send so many requests.", metavar="N")] = None,
    cv: Annotated[
        float | None, typer.Option(help="Spread of the gaps: 1 Poisson (default), 0 even, 2 bursts.", metavar="CV")
    ] = None,
    routing: Routing = None,
    autoscale_range: Annotated[
        str | None, typer.Option("--autoscale", help="Replicas follow the load, from MIN to MAX.", metavar="MIN:MAX")
    ] = None,
    cold_start: ColdStart = None,
    speculative: Annotated[
        str | None, typer.Option(help="Speculative decoding: K drafted, ALPHA accepted.", metavar="K,ALPHA")
    ] = None,
    slo: Annotated[str | None, typer.Option(help=SLO_HELP + "; missed: exit code 3.", metavar="LIMITS")] = None,
    profile: Profile = None,
    seed: Annotated[int | None, typer.Option(help="Of arrivals and lengths (default 0).", metavar="N")] = None,
    json_: Json = None,
    markdown: Markdown = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Simulate one serving configuration under one workload: latency, throughput, memory.

    \b
    costplan simulate --model meta-llama/Llama-3.1-8B-Instruct --gpus 1xA100-80GB --rate 5 --input 547 --output 248
    costplan simulate --model llama-3.3-70b --gpus 4xA100 --tp 2 --precision awq --trace log.jsonl
    costplan simulate --model llama-3.1-8b --gpus 1xH100 --rate inf --requests 1000 --input 1000 --output 1000
    costplan simulate --model llama-3.1-8b --gpus 1xL4 --concurrency 25 --requests 500 --input 547 --output 248
    costplan simulate --profile measured.yaml --concurrency 8 --requests 200 --input 547 --output 248
    """
    check_outputs(json_, markdown)
    from costplan.capacity.single import run_simulation
    from costplan.report.serving import render_simulation, simulation_markdown
    from costplan.results.serving import serving_json
    from costplan.settings import SimulateSettings, resolve

    given = _given(context)
    _check_idle(given)
    settings, _ = resolve(SimulateSettings, given)
    with progress(quiet) as bar:
        run = run_simulation(settings, bar)
    if json_:
        output(json_, serving_json(run))
    if markdown:
        output(markdown, simulation_markdown(run).encode())
    if "-" not in (json_, markdown):
        render_simulation(run, console(), verbose=verbose)
    missed = [verdict.target for verdict in run.slo if not verdict.met]
    if missed:
        raise GateFailed(f"the SLO is not met: {', '.join(missed)}", hint="costplan capacity finds what would hold it")


def capacity(
    context: typer.Context,
    traces: Annotated[list[str], typer.Argument(help="Logs or traces, or - for stdin.", metavar="TRACE")],
    slo: Annotated[str | None, typer.Option(help=SLO_HELP + ".", metavar="LIMITS")] = None,
    model: Model = None,
    gpus: Annotated[
        str | None, typer.Option(help="Only these types: A100,H100 (default: 9 of data centres).", metavar="NAMES")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="Only these (default: the checkpoint's own, fp8 and awq).", metavar="NAMES")
    ] = None,
    kv_dtype: KvDtype = None,
    engine: Engine = None,
    max_gpus: Annotated[
        int | None, typer.Option(help="No fleet of more GPUs, spares included (default 64).", metavar="N")
    ] = None,
    price: Annotated[str | None, typer.Option(help="on-demand (default), reserved or spot.", metavar="TERM")] = None,
    spare: Annotated[int | None, typer.Option(help="Replicas beyond the need (default 1: N+1).", metavar="N")] = None,
    routing: Routing = None,
    autoscale: Annotated[
        bool | None, typer.Option("--autoscale", help="Rank by the cost of replicas that follow the hours.")
    ] = None,
    cold_start: ColdStart = None,
    profile: Profile = None,
    workers: Annotated[int | None, typer.Option(help="Processes (default: one per core).", metavar="N")] = None,
    json_: Json = None,
    markdown: Markdown = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Find the cheapest fleet that holds an SLO in every hour of a trace.

    \b
    costplan capacity traces/azure_conv_excerpt.csv --slo "ttft.p95<1s,tpot.p95<50ms"
    costplan capacity log.jsonl --model llama-3.3-70b --gpus A100,H100 --price reserved --json capacity.json
    """
    check_outputs(json_, markdown)
    from costplan.capacity.search import plan_capacity, way_out
    from costplan.report.serving import capacity_markdown, render_capacity
    from costplan.results.serving import serving_json
    from costplan.settings import CapacitySettings, resolve

    settings, origins = resolve(CapacitySettings, _given(context))
    with progress(quiet) as bar:
        plan = plan_capacity(traces, settings, origins, bar)
    if json_:
        output(json_, serving_json(plan))
    if markdown:
        output(markdown, capacity_markdown(plan).encode())
    if "-" not in (json_, markdown):
        render_capacity(plan, console(), verbose=verbose)
    if plan.best is None:
        raise GateFailed("no configuration tried holds the SLO", hint=way_out(plan))


def _check_idle(given: dict[str, Any]) -> None:
    """Options on the command line that would change nothing there; in a settings file they may wait for their use."""
    if given["cold_start"] is not None and given["autoscale_range"] is None:
        raise UsageError("--cold-start changes nothing: no replica starts later", hint="add --autoscale 1:4")
    if given["seed"] is not None and given["trace"] is not None:
        raise UsageError("--seed changes nothing: a trace has its own times and lengths", hint="leave out --seed")


def _given(context: typer.Context) -> dict[str, Any]:
    """What the command line gave, under the names of the settings."""
    return {name.rstrip("_"): value for name, value in context.params.items()}
