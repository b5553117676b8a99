"""`costplan gate`: settings, one call, one report, an exit code."""

from pathlib import Path
from typing import Annotated

import typer

from costplan.cli.output import check_outputs, console, output, progress
from costplan.errors import GateFailed

_Run = "a folder written by replay --tasks --collect, or JSONL of {id, output} or {id, score}"
_Usd = "USD per million tokens: 0.15/0.60 (input/output), or one number"


def gate(
    context: typer.Context,
    base: Annotated[str, typer.Argument(help=f"The model in use: {_Run}.", metavar="BASE")],
    candidate: Annotated[str, typer.Argument(help="The cheaper one, likewise.", metavar="CANDIDATE")],
    tasks: Annotated[
        str | None, typer.Option(help="builtin, or YAML or JSONL (default: those of the runs).", metavar="NAME|FILE")
    ] = None,
    margin: Annotated[float | None, typer.Option(help="Points that may be lost (default 5).", metavar="POINTS")] = None,
    relative: Annotated[
        bool | None, typer.Option("--relative", help="The margin is in percent of the base's score.")
    ] = None,
    grader_command: Annotated[
        str | None,
        typer.Option(help="For `grader: command`: JSON on stdin, a score from 0 to 1 on stdout.", metavar="COMMAND"),
    ] = None,
    base_usd_per_mtok: Annotated[str | None, typer.Option(help=f"{_Usd}.", metavar="USD")] = None,
    candidate_usd_per_mtok: Annotated[str | None, typer.Option(help=f"{_Usd}.", metavar="USD")] = None,
    prices: Annotated[
        Path | None, typer.Option(help="Your prices, and list prices, by the models' names.", metavar="FILE")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the bootstrap (default 0).", metavar="N")] = None,
    show_text: Annotated[
        bool | None, typer.Option("--show-text", help="Put prompts and answers into gate.json and the page.")
    ] = None,
    json_: Annotated[
        str | None, typer.Option("--json", help="Also write gate.json to FILE; - is stdout.", metavar="FILE")
    ] = None,
    markdown: Annotated[
        str | None, typer.Option("--md", "--markdown", help="Also write one page as Markdown.", metavar="FILE")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the levels of every stratum too.")] = False,
) -> None:
    """Say whether a cheaper model is good enough on every stratum of tasks; exit code 3 if it is not.

    \b
    costplan gate runs/bf16 runs/awq --md gate.md
    costplan gate gpt-4o.jsonl gpt-4o-mini.jsonl --tasks tasks.yaml --margin 3 --json gate.json
    costplan gate graded_base.jsonl graded_candidate.jsonl --relative
    """
    check_outputs(json_, markdown)
    from costplan.gate import run_gate
    from costplan.report.gate import gate_markdown, render_gate, summary
    from costplan.results.gate import gate_json
    from costplan.settings import GateSettings, resolve

    settings, origins = resolve(GateSettings, {name.rstrip("_"): value for name, value in context.params.items()})
    with progress(quiet) as bar:
        document = run_gate(base, candidate, settings, origins, bar)
    if json_:
        output(json_, gate_json(document))
    if markdown:
        output(markdown, gate_markdown(document).encode())
    if "-" not in (json_, markdown):
        render_gate(document, console(), verbose=verbose)
    if document.verdict != "pass":
        message, hint = summary(document)
        raise GateFailed(message, hint=hint)
