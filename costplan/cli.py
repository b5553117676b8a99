"""The command line: parse, call one function, render, exit code; no arithmetic and nothing heavy at import."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from costplan.errors import CostplanError, UsageError

app = typer.Typer(
    name="costplan",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals would show prompts
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="What your LLM traffic costs, and what would make it cheaper, from your own request logs.",
)

Logs = Annotated[list[str], typer.Argument(help="Log files, directories, globs, or - for stdin.", metavar="LOG...")]
Format = Annotated[str | None, typer.Option("--format", help="Read the log as this dialect instead of detecting it.")]
Map = Annotated[
    list[str] | None,
    typer.Option(
        "--map", help="Read a flat file by columns: --map COLUMN=FIELD, once per column.", metavar="COLUMN=FIELD"
    ),
]
Head = Annotated[str | None, typer.Option(help="Read only about this many records: a first look, labelled partial.")]
Json = Annotated[
    str | None, typer.Option("--json", help="Write the plan as JSON to this file; - is stdout.", metavar="FILE")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
Workers = Annotated[int | None, typer.Option(help="Worker processes; every number of them gives the same figures.")]


@app.command()
def analyze(
    logs: Logs,
    format_: Format = None,
    map_: Map = None,
    head: Head = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad record or unpriced call.")] = False,
    sample_rate: Annotated[
        float | None, typer.Option(help="Share of requests that was logged; spend is scaled up.")
    ] = None,
    prices: Annotated[Path | None, typer.Option(help="Your prices: YAML, or a litellm price JSON as it is.")] = None,
    price_date: Annotated[
        str | None, typer.Option(help="Tell the future at the prices of this day (YYYY-MM-DD).")
    ] = None,
    month_requests: Annotated[
        str | None, typer.Option(help="Requests a month, where the log's span does not tell.")
    ] = None,
    revenue_per_user: Annotated[float | None, typer.Option(help="USD a user pays a month, for the margin.")] = None,
    ttl: Annotated[str | None, typer.Option(help="Life of a cached answer, e.g. 15m, 1h, 7d (default 1h).")] = None,
    ttl_policy: Annotated[str | None, typer.Option(help="store: from storing; sliding: from the last use.")] = None,
    scope: Annotated[str | None, typer.Option(help="Who shares cached answers: global or user.")] = None,
    capacity: Annotated[
        str | None, typer.Option(help="Answers the cache holds, least recently used out first.")
    ] = None,
    max_temperature: Annotated[float | None, typer.Option(help="Hotter requests are not cached (default 1.0).")] = None,
    batchable: Annotated[
        list[str] | None, typer.Option(help="Tag, feature or environment whose calls can wait a day.")
    ] = None,
    semantic: Annotated[str, typer.Option(help="Near-duplicate matching; this version has off only.")] = "off",
    json_: Json = None,
    markdown: Annotated[
        str | None, typer.Option(help="Write the report as Markdown; - is stdout.", metavar="FILE")
    ] = None,
    workers: Workers = None,
    quiet: Quiet = False,
) -> None:
    """Read logs; say what they cost, what each lever would save, and what could not be priced.

    costplan analyze logs.jsonl

    costplan analyze "logs/*.jsonl.gz" --json plan.json

    costplan analyze export.csv --map model=model --map tok_in=input_tokens --map tok_out=output_tokens
    """
    if semantic != "off":
        raise UsageError(
            f"--semantic {semantic!r} is not available", hint="this version matches exact repeats: --semantic off"
        )
    from costplan.analyze import analyze as run
    from costplan.settings import AnalyzeSettings, resolve

    settings, origins = resolve(
        AnalyzeSettings,
        {
            "format": format_, "map": tuple(map_ or ()), "head": head, "strict": strict or None, "sample_rate": sample_rate,
            "prices": prices, "price_date": price_date, "month_requests": month_requests,
            "revenue_per_user": revenue_per_user, "ttl": ttl, "ttl_policy": ttl_policy, "scope": scope,
            "capacity": capacity, "max_temperature": max_temperature, "batchable": tuple(batchable or ()), "workers": workers,
        },
    )  # fmt: skip
    with _progress(quiet) as report:
        plan = run(logs, settings, origins, report)
    _write(plan, json_, markdown)


@app.command()
def report(
    plan: Annotated[str, typer.Argument(help="A plan.json written by analyze --json; - is stdin.", metavar="PLAN")],
    markdown: Annotated[
        str | None, typer.Option(help="Write the report as Markdown; - is stdout.", metavar="FILE")
    ] = None,
) -> None:
    """Show a saved plan again; nothing is recomputed.

    costplan report plan.json --markdown report.md
    """
    import msgspec

    from costplan.results import plan_from_json

    try:
        data = sys.stdin.buffer.read() if plan == "-" else Path(plan).read_bytes()
        document = plan_from_json(data)
    except OSError as error:
        raise CostplanError(
            f"{plan}: {error.strerror}", hint="write one with: costplan analyze LOG --json plan.json"
        ) from None
    except msgspec.DecodeError as error:
        raise CostplanError(
            f"{plan}: not a plan: {error}", hint="write one with: costplan analyze LOG --json plan.json"
        ) from None
    _write(document, None, markdown)


@app.command()
def normalize(
    logs: Logs,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write: .parquet or .jsonl.", metavar="FILE")],
    as_: Annotated[str | None, typer.Option("--as", help="Write another trace format: mooncake.")] = None,
    anonymize: Annotated[
        bool, typer.Option("--anonymize", help="No text, salted keys: timing, lengths and prefix hashes.")
    ] = False,
    salt_file: Annotated[Path | None, typer.Option(help="Salt to reuse, so that two traces share their keys.")] = None,
    format_: Format = None,
    map_: Map = None,
    head: Head = None,
    quiet: Quiet = False,
) -> None:
    """Write logs of any dialect as one canonical trace.

    costplan normalize logs.jsonl -o trace.parquet

    costplan normalize logs.jsonl -o trace.jsonl --as mooncake --anonymize
    """
    from tempfile import TemporaryDirectory

    from costplan.ingest.normalize import normalize as run
    from costplan.ingest.normalize import read_salt
    from costplan.settings import AnalyzeSettings, resolve

    settings, _ = resolve(AnalyzeSettings, {"format": format_, "map": tuple(map_ or ()), "head": head})
    salt = read_salt(salt_file)
    with TemporaryDirectory(prefix="costplan-") as work, _progress(quiet) as bar:
        typer.echo(run(logs, output, settings, work=Path(work), as_=as_, anonymize=anonymize, salt=salt, report=bar))


@app.command()
def schema(
    document: Annotated[str, typer.Argument(help="Which document: plan.", metavar="[plan]")] = "plan",
) -> None:
    """Print the JSON Schema of a document.

    costplan schema plan
    """
    import json

    from costplan.results import json_schema

    if document != "plan":
        raise UsageError(f"no document named {document!r}", hint="costplan schema plan")
    typer.echo(json.dumps(json_schema("plan"), indent=2))


def _write(plan: Any, json_: str | None, markdown: str | None) -> None:
    """JSON and Markdown where asked for; the terminal report unless one of them took stdout."""
    from costplan.report import render_markdown, render_terminal
    from costplan.results import to_json

    if json_:
        _output(json_, to_json(plan))
    if markdown:
        _output(markdown, render_markdown(plan).encode())
    if "-" not in (json_, markdown):
        render_terminal(plan, _console())


def _output(name: str, data: bytes) -> None:
    """To stdout, or to a file that appears only when it is whole."""
    if name == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    path = Path(name)
    unfinished = path.with_name(path.name + ".part")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(path)
    except OSError as error:
        raise CostplanError(
            f"{name}: {error.strerror}", hint="name a file in a folder that exists and can be written"
        ) from None


def _console() -> Any:
    import os

    from rich.console import Console

    width = None if sys.stdout.isatty() else int(os.environ.get("COLUMNS") or 120)
    return Console(highlight=False, width=width)


@contextmanager
def _progress(quiet: bool) -> Iterator[Any]:
    """A bar with rate and time left on stderr for runs over two seconds; nothing off a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from costplan.report.progress import progress_bar

    with progress_bar() as update:
        yield update


def main() -> None:
    """Entry point: a CostplanError becomes two lines and an exit code."""
    try:
        app()
    except CostplanError as error:
        typer.echo(f"error: {error.message}\nhint: {error.hint}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
