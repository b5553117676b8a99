"""`costplan compress`: settings, one call, one report."""

from pathlib import Path
from typing import Annotated, Any

import typer

from costplan.cli.output import check_outputs, console, output, progress
from costplan.errors import UsageError

_Pairs = Annotated[
    Path | None, typer.Option(help="Judge contexts instead of a log: {context, question, answers}.", metavar="FILE")
]
_Rung = Annotated[
    list[str] | None,
    typer.Option(help="exact, reformat, repeats, tool_results, lossy (default: all).", metavar="NAME"),
]
_MonthRequests = Annotated[
    str | None, typer.Option(help="Requests in a month (5M), instead of projecting the log.", metavar="N")
]
_Map = Annotated[
    list[str] | None, typer.Option("--map", help="Which COLUMN holds which FIELD.", metavar="COLUMN=FIELD")
]
_Json = Annotated[
    str | None, typer.Option("--json", help="Also write compress.json to FILE; - is stdout.", metavar="FILE")
]
_Markdown = Annotated[
    str | None, typer.Option("--md", "--markdown", help="Also write one page as Markdown.", metavar="FILE")
]


def compress(
    context: typer.Context,
    logs: Annotated[list[str] | None, typer.Argument(help="Log files, directories or globs.", metavar="LOG")] = None,
    keep: Annotated[
        float | None,
        typer.Option(help="Share of tokens a lossy compressor keeps (0.65; --pairs: 0.5).", metavar="SHARE"),
    ] = None,
    rung: _Rung = None,
    roles: Annotated[
        str | None, typer.Option(help="Whose texts are rewritten (default user,tool).", metavar="ROLES")
    ] = None,
    sample: Annotated[
        str | None, typer.Option(help="Requests that the lossy rung is tried on (default 2000).", metavar="N")
    ] = None,
    lm: Annotated[
        Path | None, typer.Option(help="Score words with this causal model: directory or .gguf.", metavar="DIR")
    ] = None,
    pairs: _Pairs = None,
    prices: Annotated[Path | None, typer.Option(help="Your prices, as for analyze.", metavar="FILE")] = None,
    assume_model: Annotated[
        str | None, typer.Option(help="Price and count calls without a model as this one.", metavar="MODEL")
    ] = None,
    month_requests: _MonthRequests = None,
    format_: Annotated[str | None, typer.Option("--format", help="Read as this dialect.", metavar="NAME")] = None,
    map_: _Map = None,
    show_text: Annotated[bool | None, typer.Option("--show-text", help="Show a text before and after.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the sample and the bootstrap (default 0).", metavar="N")] = None,
    json_: _Json = None,
    markdown: _Markdown = None,
    workers: Annotated[int | None, typer.Option(help="Processes (default: one per core).", metavar="N")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show every site, role and assumption.")] = False,
) -> None:
    """Say what shorter prompts would save, and which of the ways are safe without a test.

    \b
    costplan compress logs.jsonl
    costplan compress logs.jsonl --rung exact,reformat --json compress.json
    costplan compress logs.jsonl --keep 0.8 --show-text
    costplan compress --pairs contexts.jsonl
    """
    check_outputs(json_, markdown)
    from costplan.settings import CompressSettings, resolve

    settings, origins = resolve(CompressSettings, {name.rstrip("_"): value for name, value in context.params.items()})
    if pairs is not None:
        return _pairs(pairs, settings, json_)
    if not logs:
        raise UsageError("no log is named", hint="costplan compress LOG, or costplan compress --pairs FILE")
    from costplan.compress import run_compress
    from costplan.report.compress import compress_markdown, render_compress
    from costplan.results.compress import compress_json

    with progress(quiet) as bar:
        document = run_compress(logs, settings, origins, bar)
    if json_:
        output(json_, compress_json(document))
    if markdown:
        output(markdown, compress_markdown(document).encode())
    if "-" not in (json_, markdown):
        render_compress(document, console(), verbose=verbose)


def _pairs(path: Path, settings: Any, json_: str | None) -> None:
    """How often an answer survives each compressor."""
    from costplan.compress.pairs import judge_contexts
    from costplan.report.compress import pairs_lines
    from costplan.results.compress import compress_json

    document = judge_contexts(path, settings)
    if json_:
        output(json_, compress_json(document))
    if json_ != "-":
        typer.echo("\n".join(pairs_lines(document)))
