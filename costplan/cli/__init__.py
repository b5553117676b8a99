"""The command line: parse, call one function, render, exit code; no arithmetic and nothing heavy at import."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from costplan import __version__
from costplan.cli import serving
from costplan.cli.analyze import Format, Head, Logs, Map, Quiet, analyze, report
from costplan.cli.breakeven import breakeven
from costplan.cli.cache import cache
from costplan.cli.compare import compare
from costplan.cli.compress import compress
from costplan.cli.explore import explore
from costplan.cli.gate import gate
from costplan.cli.generate import generate
from costplan.cli.output import check_outputs, given, progress, say
from costplan.cli.profiles import gpus, models
from costplan.cli.replay import replay
from costplan.cli.route import route
from costplan.errors import CostplanError, UsageError

app = typer.Typer(
    name="costplan",
    pretty_exceptions_enable=False,  # locals would show prompts
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

_DOCUMENTS = (
    "plan",
    "simulation",
    "capacity",
    "measurement",
    "breakeven",
    "gate",
    "cache",
    "compress",
    "compare",
    "explore",
    "route",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"costplan {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def costplan(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_version)] = False,
) -> None:
    """What your LLM traffic costs, and what would make it cheaper, from your own request logs.

    \b
    costplan analyze traces/demo.jsonl.gz
    costplan analyze "logs/*.jsonl" --json plan.json
    costplan report plan.json --markdown report.md

    Nothing leaves this machine. Every option can also be set as COSTPLAN_NAME, in ./costplan.yaml
    or in the user configuration; a flag goes before all of them.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


app.command()(analyze)
app.command()(report)
app.command()(explore)


@app.command()
def normalize(
    context: typer.Context,
    logs: Logs,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write: .parquet or .jsonl.", metavar="FILE")],
    as_: Annotated[str | None, typer.Option("--as", help="Another trace format: mooncake.", metavar="FORMAT")] = None,
    anonymize: Annotated[
        bool, typer.Option("--anonymize", help="No text, salted keys: timing, lengths and prefix hashes stay.")
    ] = False,
    salt_file: Annotated[
        Path | None,
        typer.Option(help="Salt to reuse (made if missing), so that two traces share keys.", metavar="FILE"),
    ] = None,
    format_: Format = None,
    map_: Map = None,
    head: Head = None,
    quiet: Quiet = False,
) -> None:
    """Write logs of any dialect as one canonical trace.

    \b
    costplan normalize logs.jsonl -o trace.parquet
    costplan normalize logs.jsonl -o shareable.jsonl --anonymize
    costplan normalize logs.jsonl -o replay.jsonl --as mooncake
    """
    check_outputs(str(output))
    from tempfile import TemporaryDirectory

    from costplan.ingest.normalize import normalize as run
    from costplan.ingest.normalize import read_salt
    from costplan.settings import AnalyzeSettings, resolve

    settings, _ = resolve(AnalyzeSettings, given(context))
    salt = read_salt(salt_file)
    with TemporaryDirectory(prefix="costplan-") as work, progress(quiet) as bar:
        typer.echo(run(logs, output, settings, work=Path(work), as_=as_, anonymize=anonymize, salt=salt, report=bar))


@app.command()
def schema(
    document: Annotated[
        str, typer.Argument(help=f"Which document: {', '.join(_DOCUMENTS)}.", metavar="DOCUMENT")
    ] = "plan",
) -> None:
    """Print the JSON Schema of a document that costplan writes.

    \b
    costplan schema plan
    costplan schema capacity
    """
    import json

    from costplan.results import json_schema
    from costplan.results.breakeven import breakeven_schema
    from costplan.results.cache import cache_schema
    from costplan.results.compare import compare_schema
    from costplan.results.compress import compress_schema
    from costplan.results.explore import explore_schema
    from costplan.results.gate import gate_schema
    from costplan.results.measurement import measurement_schema
    from costplan.results.route import route_schema
    from costplan.results.serving import serving_schema

    if document not in _DOCUMENTS:
        raise UsageError(f"{document}: no such document", hint=f"costplan schema {' or '.join(_DOCUMENTS)}")
    own = {
        "plan": lambda: json_schema("plan"), "measurement": measurement_schema, "breakeven": breakeven_schema,
        "gate": gate_schema, "cache": cache_schema, "compress": compress_schema,
        "compare": compare_schema,
        "explore": explore_schema, "route": route_schema,
    }  # fmt: skip
    typer.echo(json.dumps(own[document]() if document in own else serving_schema(document), indent=2))


app.command()(serving.simulate)
app.command()(serving.capacity)
app.command()(breakeven)
app.command()(replay)
app.command()(gate)
app.command()(compare)
app.command()(cache)
app.command()(generate)
app.command()(compress)
app.command()(route)


app.command()(gpus)
app.command()(models)


def main() -> None:
    """Entry point: what the user can mend becomes an `error:` and a `hint:` line and an exit code."""
    try:
        sys.exit(app(prog_name="costplan", standalone_mode=False))
    except CostplanError as error:
        _fail(error.message, error.hint, error.exit_code)
    except TyperException as error:
        command = getattr(getattr(error, "ctx", None), "command_path", "costplan")
        _fail(str(getattr(error, "format_message", error.__str__)()).rstrip("."), f"{command} --help", 2)
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("interrupted", err=True)
        sys.exit(130)
    except OSError as error:
        if error.filename is None:
            raise
        _fail(f"{error.filename}: {error.strerror}", "check that it exists, and that you may read or write it", 1)


def _fail(message: str, hint: str, code: int) -> None:
    say("error", message)
    say("hint", hint)
    sys.exit(code)
