"""`costplan cache`: settings, one call, one report, the files that were asked for."""

from pathlib import Path
from typing import Annotated, Any

import typer

from costplan.cli.output import check_outputs, console, output, progress
from costplan.errors import UsageError

_LabelSample = Annotated[
    tuple[int, Path] | None,
    typer.Option(help="Write N would-be hits to label: .csv or .jsonl, with their texts.", metavar="N FILE"),
]
_Pairs = Annotated[
    Path | None, typer.Option(help="Judge labelled pairs instead of a log: {a, b, same_answer}.", metavar="FILE")
]
_Embeddings = Annotated[
    Path | None, typer.Option(help="Your vectors: .npy, one row per request of the log.", metavar="FILE")
]
_MonthRequests = Annotated[
    str | None, typer.Option(help="Requests in a month (5M), instead of projecting the log.", metavar="N")
]
_Map = Annotated[
    list[str] | None, typer.Option("--map", help="Which COLUMN holds which FIELD.", metavar="COLUMN=FIELD")
]
_Json = Annotated[
    str | None, typer.Option("--json", help="Also write cache.json to FILE; - is stdout.", metavar="FILE")
]
_Markdown = Annotated[
    str | None, typer.Option("--md", "--markdown", help="Also write one page as Markdown.", metavar="FILE")
]


def cache(
    context: typer.Context,
    logs: Annotated[list[str] | None, typer.Argument(help="Log files, directories or globs.", metavar="LOG")] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Least cosine that is served (default: several are tried).", metavar="COSINE")
    ] = None,
    ttl: Annotated[str | None, typer.Option(help="Life of an answer (default: 1h, 1d, 7d).", metavar="TIME")] = None,
    ttl_policy: Annotated[
        str | None, typer.Option(help="It counts from storing (store) or last use (sliding).", metavar="POLICY")
    ] = None,
    capacity: Annotated[
        str | None, typer.Option(help="Answers held, least recently used out first.", metavar="N")
    ] = None,
    scope: Annotated[str | None, typer.Option(help="Who shares answers: global or user.", metavar="SCOPE")] = None,
    max_wrong: Annotated[
        float | None, typer.Option(help="Share of semantic hits that may be wrong (default 0.02).", metavar="SHARE")
    ] = None,
    penalty: Annotated[float | None, typer.Option(help="USD a wrong hit costs (default 0).", metavar="USD")] = None,
    labels: Annotated[Path | None, typer.Option(help="A label file that has been filled in.", metavar="FILE")] = None,
    label_sample: _LabelSample = None,
    hits: Annotated[Path | None, typer.Option(help="Write every would-be hit: .csv or .jsonl.", metavar="FILE")] = None,
    export: Annotated[Path | None, typer.Option(help="Write a cache configuration as YAML.", metavar="FILE")] = None,
    pairs: _Pairs = None,
    embedder: Annotated[str | None, typer.Option(help="static (default) or minilm.", metavar="NAME")] = None,
    embeddings: _Embeddings = None,
    max_temperature: Annotated[
        float | None, typer.Option(help="Hotter requests are not cached (default 1.0).", metavar="T")
    ] = None,
    prices: Annotated[Path | None, typer.Option(help="Your prices, as for analyze.", metavar="FILE")] = None,
    assume_model: Annotated[
        str | None, typer.Option(help="Price calls without a model as this one.", metavar="MODEL")
    ] = None,
    month_requests: _MonthRequests = None,
    format_: Annotated[str | None, typer.Option("--format", help="Read as this dialect.", metavar="NAME")] = None,
    map_: _Map = None,
    show_text: Annotated[bool | None, typer.Option("--show-text", help="Show the prompts that repeat most.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the sample and the bootstrap (default 0).", metavar="N")] = None,
    json_: _Json = None,
    markdown: _Markdown = None,
    workers: Annotated[int | None, typer.Option(help="Processes (default: one per core).", metavar="N")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show every setting, site and assumption.")] = False,
) -> None:
    """Say whether a semantic cache would pay, at which threshold, and what it would break.

    \b
    costplan cache logs.jsonl
    costplan cache logs.jsonl --label-sample 600 labels.csv
    costplan cache logs.jsonl --labels labels.csv --export cache.yaml
    costplan cache logs.jsonl --threshold 0.92 --ttl 1d --hits hits.jsonl
    costplan cache --pairs pairs.jsonl
    """
    files = [None if path is None else str(path) for path in (hits, export, label_sample[1] if label_sample else None)]
    check_outputs(json_, markdown, *files)
    from costplan.settings import CacheSettings, resolve

    settings, origins = resolve(CacheSettings, {name.rstrip("_"): value for name, value in context.params.items()})
    if pairs is not None:
        return _pairs(pairs, settings, json_)
    if not logs:
        raise UsageError("no log is named", hint="costplan cache LOG, or costplan cache --pairs FILE")
    if label_sample and label_sample[0] < 1:
        raise UsageError(f"--label-sample {label_sample[0]}: nothing to label", hint="--label-sample 600 labels.csv")
    from costplan.cache import Wanted, run_cache
    from costplan.report.cache import cache_markdown, render_cache
    from costplan.results.cache import cache_json

    with progress(quiet) as bar:
        done = run_cache(logs, settings, origins, Wanted(hits, label_sample, export), bar)
    for path, data in done.files:
        output(str(path), data)
    if json_:
        output(json_, cache_json(done.document))
    if markdown:
        output(markdown, cache_markdown(done.document).encode())
    if "-" not in (json_, markdown, *files):
        render_cache(done.document, console(), verbose=verbose)
    for note in done.notes:
        typer.echo(note, err=True)


def _pairs(path: Path, settings: Any, json_: str | None) -> None:
    """The shares of labelled pairs that the guard and a threshold serve."""
    from costplan.cache.pairs import judge_pairs
    from costplan.report.cache import pairs_lines
    from costplan.results.cache import cache_json

    document = judge_pairs(path, settings)
    if json_:
        output(json_, cache_json(document))
    if json_ != "-":
        typer.echo("\n".join(pairs_lines(document)))
