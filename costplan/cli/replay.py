"""`costplan replay`: settings, one call, one report, an exit code."""

from typing import Annotated, Any

import typer

from costplan.cli.output import check_outputs, console, output, progress
from costplan.cli.serving import SLO_HELP, Json, Markdown, Quiet, Verbose
from costplan.errors import CostplanError, GateFailed

MOST_FAILED = 0.05
"""More failed requests than this share, and the command says so by its exit code."""
Traces = Annotated[
    list[str] | None, typer.Argument(help="Logs or traces, or - for stdin.", metavar="TRACE", show_default=False)
]
KnownAs = Annotated[
    str | None, typer.Option("--as", help="The known model that NAME is: an id or config.json.", metavar="MODEL")
]
Serve = Annotated[str | None, typer.Option(help="Start vLLM with this model for the time of the run.", metavar="MODEL")]
ServeArgs = Annotated[str | None, typer.Option(help='More for vLLM: "--max-model-len 8192".', metavar="TEXT")]
Rate = Annotated[
    str | None, typer.Option(help="Poisson arrivals, so many a second, not the trace's times.", metavar="R")
]
Sweep = Annotated[bool | None, typer.Option("--sweep", help="Rising rates (or --concurrency): knee and best goodput.")]
Sessions = Annotated[
    bool | None,
    typer.Option("--sessions/--no-sessions", help="A session's next turn waits for its answer (default)."),
]
WarmUp = Annotated[str | None, typer.Option(help="Leave out the first N requests, or the first 30s.", metavar="N|TIME")]
Prompts = Annotated[str | None, typer.Option(help="log (its own text), synthetic, or auto (default).", metavar="KIND")]
Salt = Annotated[
    str | None, typer.Option(help="Keeps caches of other runs out (default: a fresh one).", metavar="TEXT")
]
Tasks = Annotated[str | None, typer.Option(help="Ask the tasks of costplan gate: builtin or a file.", metavar="NAME")]
Gpus = Annotated[
    str | None, typer.Option(help="What the server runs on, for cost and prediction: 1xA100.", metavar="N")
]
Earlier = Annotated[list[str] | None, typer.Option("--with", help="Fit it to this earlier run as well.", metavar="DIR")]
ApiKeyEnv = Annotated[
    str | None, typer.Option(help="Variable that holds the key (default OPENAI_API_KEY).", metavar="NAME")
]


def replay(
    context: typer.Context,
    traces: Traces = None,
    url: Annotated[str | None, typer.Option(help="A server that is up: http://host:port/v1.", metavar="URL")] = None,
    model: Annotated[str | None, typer.Option(help="What that server calls the model.", metavar="NAME")] = None,
    known_as: KnownAs = None,
    serve: Serve = None,
    quantization: Annotated[str | None, typer.Option(help="Of the vLLM that is started.", metavar="NAME")] = None,
    tp: Annotated[int | None, typer.Option(help="GPUs that hold one copy of the model.", metavar="N")] = None,
    serve_args: ServeArgs = None,
    speed: Annotated[float | None, typer.Option(help="So many times as fast as recorded.", metavar="X")] = None,
    window: Annotated[str | None, typer.Option(help="Only this part of the trace: 0:600s.", metavar="FROM:TO")] = None,
    max_gap: Annotated[str | None, typer.Option(help="Cut longer pauses to this: 5s.", metavar="TIME")] = None,
    requests: Annotated[int | None, typer.Option(help="Only the first N.", metavar="N")] = None,
    rate: Rate = None,
    concurrency: Annotated[int | None, typer.Option(help="Closed loop: so many in flight.", metavar="N")] = None,
    sweep: Sweep = None,
    sessions: Sessions = None,
    warm_up: WarmUp = None,
    prompts: Prompts = None,
    endpoint: Annotated[str | None, typer.Option(help="chat, completions or auto (default).", metavar="KIND")] = None,
    salt: Salt = None,
    collect: Annotated[bool | None, typer.Option("--collect", help="Keep the answers, at their own length.")] = None,
    tasks: Tasks = None,
    samples: Annotated[int | None, typer.Option(help="Of each stratum of the tasks.", metavar="N")] = None,
    max_failures: Annotated[int | None, typer.Option(help="Stop after so many.", metavar="N")] = None,
    timeout: Annotated[str | None, typer.Option(help="Of one request (default 1h).", metavar="TIME")] = None,
    processes: Annotated[int | None, typer.Option(help="Of the client (default: as needed).", metavar="N")] = None,
    seed: Annotated[int | None, typer.Option(help="Of made-up arrivals (default 0).", metavar="N")] = None,
    slo: Annotated[str | None, typer.Option(help=SLO_HELP + "; missed: exit code 3.", metavar="LIMITS")] = None,
    gpus: Gpus = None,
    gpu_price: Annotated[float | None, typer.Option(help="USD per GPU-hour.", metavar="USD")] = None,
    precision: Annotated[
        str | None, typer.Option(help="bf16, fp8, int8, awq, for the prediction.", metavar="NAME")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="Predict with this measured profile.", metavar="FILE")] = None,
    save_profile: Annotated[str | None, typer.Option(help="Fit a profile to this run.", metavar="FILE")] = None,
    earlier: Earlier = None,
    api_key_env: ApiKeyEnv = None,
    out: Annotated[str | None, typer.Option(help="Folder for it all (default replay-TRACE).", metavar="DIR")] = None,
    json_: Json = None,
    markdown: Markdown = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Play a trace against a live server and measure it.

    \b
    costplan replay traces/azure_conv_excerpt.csv --url http://127.0.0.1:8000/v1 --model NAME --window 0:600s
    costplan replay log.jsonl --serve meta-llama/Llama-3.1-8B-Instruct --gpus 1xA100 --slo "ttft.p95<1s"
    costplan replay log.jsonl --url http://127.0.0.1:8000/v1 --model NAME --sweep --slo "ttft.p95<1s,tpot.p95<50ms"
    costplan replay log.jsonl --url http://127.0.0.1:8000/v1 --model NAME --concurrency 16 --requests 200
    costplan replay --tasks builtin --collect --url http://127.0.0.1:8000/v1 --model NAME --out base

    The API key comes from the environment. It writes measurement.json, requests.jsonl and metrics.jsonl.
    """
    check_outputs(json_, markdown, save_profile)
    from costplan.replay.run import folder_of, run_replay
    from costplan.replay.run import save_profile as fit
    from costplan.report.replay import measurement_markdown, render_measurement
    from costplan.results.measurement import measurement_json
    from costplan.settings import ReplaySettings, resolve

    settings, origins = resolve(ReplaySettings, _given(context))
    try:
        with progress(quiet) as bar:
            run, folder = run_replay(traces or [], settings, origins, bar)
    except KeyboardInterrupt:
        place = "points/*/requests.jsonl" if settings.sweep else "requests.jsonl"
        typer.echo(f"interrupted: what came before is in {folder_of(settings, traces or [])}/{place}", err=True)
        raise typer.Exit(130) from None
    if json_:
        output(json_, measurement_json(run))
    if markdown:
        output(markdown, measurement_markdown(run).encode())
    if "-" not in (json_, markdown):
        render_measurement(run, console(), verbose=verbose)
    if settings.save_profile is not None:
        typer.echo(fit(settings, folder), err=True)
    _judge(run, str(folder), partial=settings.requests is not None or settings.window is not None)


def _judge(run: Any, folder: str, *, partial: bool) -> None:
    """The exit code: 1 where requests are missing, 3 where the SLO is not shown to hold."""
    from costplan.capacity.trace import NO_REQUEST

    counts = run.requests
    if counts.unsent or counts.failed > MOST_FAILED * counts.sent or not counts.completed:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in run.failures.items())
        total = counts.sent + counts.unsent
        raise CostplanError(
            f"{counts.completed:,} of {total:,} requests were completed ({reasons})",
            hint="export OPENAI_API_KEY=..., or --api-key-env with the variable that holds the key"
            if {"http_401", "http_403"} & run.failures.keys()
            else f"what became of each is in {folder}/requests.jsonl; --collect keeps what the server said, too",
        )
    missing = {reason: count for reason, count in run.left_out.items() if reason not in NO_REQUEST}
    if missing and not partial:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in missing.items())
        raise CostplanError(
            f"{sum(missing.values()):,} rows of the trace were not sent ({reasons})",
            hint="--concurrency 8 or --rate 5 sends rows without a time"
            if "without a time" in missing
            else f"the rest is measured in {folder}; --requests {counts.sent} asks for no more than can be sent",
        )
    missed = [verdict.target for verdict in run.slo if not verdict.met]
    if missed:
        raise GateFailed(f"the SLO is not met: {', '.join(missed)}", hint="costplan replay --sweep finds what holds it")
    if run.slo and not run.client.valid:
        raise GateFailed(
            "the client was the limit: this run does not show that the SLO holds",
            hint="run the client on another machine than the server, or with --processes",
        )


def _given(context: typer.Context) -> dict[str, Any]:
    """What the command line gave, under the names of the settings."""
    return {name.rstrip("_"): value for name, value in context.params.items()}
