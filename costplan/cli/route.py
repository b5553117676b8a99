"""`costplan route`: settings, one call, one report, the files that were asked for."""

from pathlib import Path
from typing import Annotated, Any

import typer

from costplan.cli.output import check_outputs, console, output, progress
from costplan.errors import UsageError

_Cheap = Annotated[
    list[str] | None, typer.Option(help="Try this model instead of proposed ones; repeat it.", metavar="MODEL")
]
_Quality = Annotated[
    Path | None, typer.Option(help="Scores by call site and model (JSONL, CSV), or a gate.json.", metavar="FILE")
]
_Labels = Annotated[
    Path | None, typer.Option(help="Scores of single requests: request_id, cheap_score, strong_score.", metavar="FILE")
]
_Policy = Annotated[str | None, typer.Option(help="site, complexity, request or cascade.", metavar="POLICY")]
_MaxLoss = Annotated[
    float | None, typer.Option(help="Points of quality that may be lost (default 5).", metavar="POINTS")
]
_Ratio = Annotated[
    str | None, typer.Option(help="Output tokens for one of today's (default 0.45:0.78:1.23).", metavar="LOW:MID:HIGH")
]
_Slices = Annotated[
    str | None, typer.Option(help="What groups labels: site (default), model, level, tag.", metavar="NAMES")
]
_Export = Annotated[
    tuple[str, Path] | None,
    typer.Option(help="Write the policy: litellm, semantic-router or yaml.", metavar="FORMAT FILE"),
]
_Pairs = Annotated[
    Path | None, typer.Option(help="Judge labelled pairs: {prompt, cheap_score, strong_score}.", metavar="FILE")
]
_MonthRequests = Annotated[
    str | None, typer.Option(help="Requests in a month (5M), instead of projecting the log.", metavar="N")
]
_Map = Annotated[
    list[str] | None, typer.Option("--map", help="Which COLUMN holds which FIELD.", metavar="COLUMN=FIELD")
]
_Json = Annotated[
    str | None, typer.Option("--json", help="Also write route.json to FILE; - is stdout.", metavar="FILE")
]
_Markdown = Annotated[
    str | None, typer.Option("--md", "--markdown", help="Also write one page as Markdown.", metavar="FILE")
]


def route(
    context: typer.Context,
    logs: Annotated[list[str] | None, typer.Argument(help="Log files, directories or globs.", metavar="LOG")] = None,
    cheap: _Cheap = None,
    quality: _Quality = None,
    labels: _Labels = None,
    policy: _Policy = None,
    max_loss: _MaxLoss = None,
    penalty: Annotated[float | None, typer.Option(help="USD a bad answer costs (default 0).", metavar="USD")] = None,
    output_ratio: _Ratio = None,
    slice_by: _Slices = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say which complexity rules fire, by call site.")] = False,
    export: _Export = None,
    pairs: _Pairs = None,
    prices: Annotated[Path | None, typer.Option(help="Your prices, as for analyze.", metavar="FILE")] = None,
    assume_model: Annotated[
        str | None, typer.Option(help="Price calls without a model as this one.", metavar="MODEL")
    ] = None,
    month_requests: _MonthRequests = None,
    format_: Annotated[str | None, typer.Option("--format", help="Read as this dialect.", metavar="NAME")] = None,
    map_: _Map = None,
    show_text: Annotated[bool | None, typer.Option("--show-text", help="With --explain: the words that fire.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of folds and bootstrap (default 0).", metavar="N")] = None,
    json_: _Json = None,
    markdown: _Markdown = None,
    workers: Annotated[int | None, typer.Option(help="Processes (default: one per core).", metavar="N")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show all sites, candidates, assumptions.")] = False,
) -> None:
    """Say which requests a cheaper model may take, what that saves, and which test would settle it.

    \b
    costplan route logs.jsonl
    costplan route logs.jsonl --cheap gpt-4o-mini --quality quality.csv
    costplan route logs.jsonl --labels labels.jsonl --export litellm router.yaml
    costplan route logs.jsonl --explain
    costplan route --pairs pairs.jsonl
    """
    check_outputs(json_, markdown, None if export is None else str(export[1]))
    from costplan.settings import RouteSettings, resolve

    settings, origins = resolve(RouteSettings, {name.rstrip("_"): value for name, value in context.params.items()})
    if pairs is not None:
        return _pairs(pairs, settings, json_, markdown)
    if not logs:
        raise UsageError("no log is named", hint="costplan route LOG, or costplan route --pairs FILE")
    from costplan.report.route import render_route, route_markdown
    from costplan.results.route import route_json
    from costplan.route import Wanted, run_route
    from costplan.route.export import check_format

    if export is not None:
        check_format(export[0], settings.policy)
    with progress(quiet) as bar:
        done = run_route(logs, settings, origins, Wanted(explain, export), bar)
    for path, data in done.files:
        output(str(path), data)
    if json_:
        output(json_, route_json(done.document))
    if markdown:
        output(markdown, route_markdown(done.document).encode())
    if "-" not in (json_, markdown, None if export is None else str(export[1])):
        render_route(done.document, console(), verbose=verbose)


def _pairs(path: Path, settings: Any, json_: str | None, markdown: str | None) -> None:
    """What a router is worth on labelled pairs."""
    from costplan.report.route import pairs_lines, pairs_markdown
    from costplan.results.route import route_json
    from costplan.route.pairs import judge_pairs

    document = judge_pairs(path, settings.seed)
    if json_:
        output(json_, route_json(document))
    if markdown:
        output(markdown, pairs_markdown(document).encode())
    if "-" not in (json_, markdown):
        typer.echo("\n".join(pairs_lines(document)))
