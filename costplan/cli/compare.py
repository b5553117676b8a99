"""`costplan compare`: one call, one report, an exit code."""

from typing import Annotated

import typer

from costplan.cli.output import check_outputs, console, output
from costplan.errors import GateFailed


def compare(
    a: Annotated[
        str, typer.Argument(help="The document of before: plan.json, or one of simulate or replay.", metavar="A")
    ],
    b: Annotated[str, typer.Argument(help="That of after.", metavar="B")],
    fail_if: Annotated[
        list[str] | None,
        typer.Option(help='Exit code 3 where it holds: "cost.month>+5%"; repeat it.', metavar="LIMIT"),
    ] = None,
    json_: Annotated[
        str | None, typer.Option("--json", help="Also write compare.json to FILE; - is stdout.", metavar="FILE")
    ] = None,
    markdown: Annotated[
        str | None,
        typer.Option("--md", "--markdown", help="Also write a table for a pull request; - is stdout.", metavar="FILE"),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show every figure, model and call site.")] = False,
) -> None:
    """Put two plans, or two runs of a server, side by side: what changed and why.

    \b
    costplan compare may.json june.json
    costplan compare main.json branch.json --md - --fail-if "cost.request>+5%"
    costplan compare predicted.json measured.json --fail-if "ttft.p95>+20%"
    """
    check_outputs(json_, markdown)
    from costplan.compare import compare as run
    from costplan.report.compare import broken, compare_markdown, render_compare
    from costplan.results.compare import compare_json

    document = run(a, b, fail_if or [])
    if json_:
        output(json_, compare_json(document))
    if markdown:
        output(markdown, compare_markdown(document).encode())
    if "-" not in (json_, markdown):
        render_compare(document, console(), verbose=verbose)
    if any(limit.broken for limit in document.limits):
        message, hint = broken(document)
        raise GateFailed(message, hint=hint)
