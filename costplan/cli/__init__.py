"""The command line: parse, call one function, render, exit code; no arithmetic and nothing heavy at import."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from costplan import __version__
from costplan.cli import serving
from costplan.cli.breakeven import breakeven
from costplan.cli.cache import cache
from costplan.cli.gate import gate
from costplan.cli.generate import generate
from costplan.cli.output import check_outputs, console, output, progress
from costplan.cli.profiles import gpus, models
from costplan.cli.replay import replay
from costplan.errors import CostplanError, UsageError

app = typer.Typer(
    name="costplan",
    pretty_exceptions_enable=False,  # locals would show prompts
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

_DOCUMENTS = ("plan", "simulation", "capacity", "measurement", "breakeven", "gate", "cache")
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


@app.command()
def analyze(
    context: typer.Context,
    logs: Logs,
    format_: Format = None,
    map_: Map = None,
    head: Head = None,
    strict: Annotated[bool | None, typer.Option("--strict", help="Stop at a bad record or an unpriced call.")] = None,
    sample_rate: Annotated[
        float | None, typer.Option(help="Share of requests that was logged; scales spend up.", metavar="SHARE")
    ] = None,
    prices: Annotated[
        Path | None, typer.Option(help="Your prices: YAML (README: recipes) or a litellm price JSON.", metavar="FILE")
    ] = None,
    price_date: Annotated[
        str | None,
        typer.Option(help="Monthly figures at this day's prices (default: the log's last day).", metavar="YYYY-MM-DD"),
    ] = None,
    assume_model: Annotated[
        str | None, typer.Option(help="Price calls for which the log names no model as this one.", metavar="MODEL")
    ] = None,
    month_requests: Annotated[
        str | None, typer.Option(help="Requests in a month (5M), instead of projecting the log's span.", metavar="N")
    ] = None,
    revenue_per_user: Annotated[
        float | None, typer.Option(help="USD a user pays a month: adds the margin per user.", metavar="USD")
    ] = None,
    ttl: Annotated[
        str | None, typer.Option(help="Life of a cached answer: 15m, 1h, 7d (default 1h).", metavar="TIME")
    ] = None,
    ttl_policy: Annotated[
        str | None, typer.Option(help="It counts from storing (store) or last use (sliding).", metavar="POLICY")
    ] = None,
    scope: Annotated[
        str | None, typer.Option(help="Who shares cached answers: global (default) or user.", metavar="SCOPE")
    ] = None,
    capacity: Annotated[
        str | None, typer.Option(help="Answers the cache holds, least recently used out first.", metavar="N")
    ] = None,
    max_temperature: Annotated[
        float | None, typer.Option(help="Hotter requests are not cached (default 1.0).", metavar="T")
    ] = None,
    batchable: Annotated[
        list[str] | None, typer.Option(help="Tag, feature or environment whose calls can wait a day.", metavar="NAME")
    ] = None,
    day_rate: Annotated[
        float | None, typer.Option(help="USD an engineer's day costs, for paybacks (default 800).", metavar="USD")
    ] = None,
    semantic: Annotated[
        str, typer.Option(help="Matching of similar prompts; not in this version: only off.", metavar="off")
    ] = "off",
    json_: Json = None,
    markdown: Markdown = None,
    explain: Explain = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes (default: one per core); they never change a figure.", metavar="N")
    ] = None,
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
    if semantic != "off":
        raise UsageError(f"--semantic {semantic}: not in this version, it matches exact repeats", hint="--semantic off")
    check_outputs(json_, markdown)
    _check_lever(explain)
    from costplan.settings import AnalyzeSettings, resolve

    settings, origins = resolve(AnalyzeSettings, _given(context))
    plan = _planned(logs, settings, origins, quiet)
    for assumption in plan.assumptions:
        if assumption.note:
            _say("warning", assumption.note)
    _show(plan, json_, markdown, verbose, explain)


@app.command()
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

    settings, _ = resolve(AnalyzeSettings, _given(context))
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
    from costplan.results.gate import gate_schema
    from costplan.results.measurement import measurement_schema
    from costplan.results.serving import serving_schema

    if document not in _DOCUMENTS:
        raise UsageError(f"{document}: no such document", hint=f"costplan schema {' or '.join(_DOCUMENTS)}")
    own = {
        "plan": lambda: json_schema("plan"), "measurement": measurement_schema, "breakeven": breakeven_schema,
        "gate": gate_schema, "cache": cache_schema,
    }  # fmt: skip
    typer.echo(json.dumps(own[document]() if document in own else serving_schema(document), indent=2))


app.command()(serving.simulate)
app.command()(serving.capacity)
app.command()(breakeven)
app.command()(replay)
app.command()(gate)
app.command()(cache)
app.command()(generate)


app.command()(gpus)
app.command()(models)


def _given(context: typer.Context) -> dict[str, Any]:
    """What the command line gave, under the names of the settings; `resolve` takes the ones it knows."""
    return {name.rstrip("_"): value for name, value in context.params.items()}


def _planned(logs: list[str], settings: Any, origins: dict[str, str], quiet: bool) -> Any:
    """The plan of logs, or of the one scenario that stands in for them."""
    from costplan.analyze import analyze as run
    from costplan.scenario import is_scenario

    if len(logs) == 1 and is_scenario(logs[0]):
        from costplan.scenario.estimate import estimate

        idle = [name for name, origin in origins.items() if origin == "flag" and name not in _OF_SCENARIOS]
        if idle:
            hint = "of a scenario there are --price-date, --prices, --json and --markdown"
            raise UsageError(
                f"--{idle[0].replace('_', '-')}: {logs[0]} is a scenario, there is no log to read", hint=hint
            )
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
    _say("error", message)
    _say("hint", hint)
    sys.exit(code)


def _say(kind: str, text: str) -> None:
    """One line on stderr; a file's name may hold anything, hence no control characters."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
    typer.echo(f"{kind}: {shown}", err=True)
