"""`costplan generate`: a scenario, one call, what was planted."""

from pathlib import Path
from typing import Annotated

import typer

from costplan.cli.output import check_outputs, progress

_Truth = Annotated[
    Path | None, typer.Option(help="Also write what is planted, in USD by lever, as JSON.", metavar="FILE")
]
_Rows = Annotated[Path | None, typer.Option(help="Also write what is known of each line, as JSONL.", metavar="FILE")]
_CachePairs = Annotated[
    Path | None, typer.Option(help="Also write labelled pairs of prompts for costplan cache --pairs.", metavar="FILE")
]
_RoutePairs = Annotated[
    Path | None, typer.Option(help="Also write labelled prompts for costplan route --pairs.", metavar="FILE")
]


def generate(
    scenario: Annotated[str, typer.Argument(help="A scenario file, or the name of a shipped one.", metavar="SCENARIO")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The log: .jsonl or .jsonl.gz.", metavar="LOG")],
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.", min=0, metavar="N")] = 0,
    requests: Annotated[
        str | None, typer.Option(help="About so many lines (5000, 5k), instead of the scenario's.", metavar="N")
    ] = None,
    truth: _Truth = None,
    truth_rows: _Rows = None,
    cache_pairs: _CachePairs = None,
    route_pairs: _RoutePairs = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Write a synthetic log with planted savings, and the truth about them.

    \b
    costplan generate support-desk -o log.jsonl --truth truth.json
    costplan generate my-product.yaml -o log.jsonl.gz --requests 1M --seed 7
    costplan generate support-desk -o log.jsonl --cache-pairs pairs.jsonl --route-pairs route.jsonl
    """
    files = (output, truth, truth_rows, cache_pairs, route_pairs)
    check_outputs(*(None if path is None else str(path) for path in files))
    from costplan.generate import Outputs, summary
    from costplan.generate import generate as run
    from costplan.scenario import find_scenario, read_scenario, with_requests

    found = with_requests(read_scenario(find_scenario(scenario)), requests)
    outputs = Outputs(log=output, truth=truth, truth_rows=truth_rows, cache_pairs=cache_pairs, route_pairs=route_pairs)
    with progress(quiet) as bar:
        planted = run(found, outputs, seed=seed, report=bar)
    typer.echo(summary(planted, str(output)))
