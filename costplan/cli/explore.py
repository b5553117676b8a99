"""`costplan explore`: settings, one call, one table."""

from pathlib import Path
from typing import Annotated

import typer

from costplan.cli.output import check_outputs, console, given, output, progress

_COLUMNS = (
    "model, asked_model, provider, tier, operation, status, stream, call_site, tag, user, session, month, day, "
    "weekday, hour"
)


def explore(
    context: typer.Context,
    logs: Annotated[list[str], typer.Argument(help="Log files, directories or globs.", metavar="LOG")],
    by: Annotated[str | None, typer.Option(help=f"One column or two: {_COLUMNS}.", metavar="COLUMN")] = None,
    where: Annotated[
        str | None,
        typer.Option(
            help="Only requests that hold it; also by cost, input, output, cache_read, cache_write, reasoning, "
            "latency, ttft (USD, tokens, seconds).",
            metavar="EXPRESSION",
        ),
    ] = None,
    top: Annotated[str | None, typer.Option(help="Groups to show (default 20).", metavar="N")] = None,
    sort: Annotated[
        str | None, typer.Option(help="cost (default), requests, input, output, failed or name.", metavar="NAME")
    ] = None,
    csv: Annotated[str | None, typer.Option(help="Write the shown groups as CSV; - is stdout.", metavar="FILE")] = None,
    prices: Annotated[Path | None, typer.Option(help="Your prices, as for analyze.", metavar="FILE")] = None,
    assume_model: Annotated[
        str | None, typer.Option(help="Price calls without a model as this one.", metavar="MODEL")
    ] = None,
    sample_rate: Annotated[
        float | None, typer.Option(help="Share of requests that was logged; scales spend up.", metavar="SHARE")
    ] = None,
    format_: Annotated[str | None, typer.Option("--format", help="Read as this dialect.", metavar="NAME")] = None,
    map_: Annotated[
        list[str] | None, typer.Option("--map", help="Which COLUMN holds which FIELD.", metavar="COLUMN=FIELD")
    ] = None,
    json_: Annotated[
        str | None, typer.Option("--json", help="Also write explore.json to FILE; - is stdout.", metavar="FILE")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes (default: one per core).", metavar="N")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Group what a log cost by any column, or any two.

    \b
    costplan explore logs.jsonl --by call_site
    costplan explore logs.jsonl --by user,model --top 50 --csv users.csv
    costplan explore logs.jsonl --by day --where 'model~gpt-4 and tag=search and cost>0.01'
    """
    check_outputs(json_, csv)
    from costplan.explore import run_explore
    from costplan.report.explore import explore_csv, render_explore
    from costplan.results.explore import explore_json
    from costplan.settings import ExploreSettings, resolve

    settings, _ = resolve(ExploreSettings, given(context))
    with progress(quiet) as bar:
        document = run_explore(logs, settings, bar)
    if json_:
        output(json_, explore_json(document))
    if csv:
        output(csv, explore_csv(document))
    if "-" not in (json_, csv):
        render_explore(document, console())
