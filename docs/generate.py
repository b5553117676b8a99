"""Writes the generated parts of README.md and docs/*.md (`make docs`), by running costplan and its modules."""

import os
import subprocess
import sys
import tempfile
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WIDTH = "110"
COMMANDS = (
    "analyze",
    "explore",
    "cache",
    "compress",
    "route",
    "capacity",
    "breakeven",
    "simulate",
    "replay",
    "gate",
    "compare",
    "report",
    "normalize",
    "gpus",
    "models",
    "schema",
)
CAPACITY = ("capacity", "traces/azure_conv_excerpt.csv", "--gpus", "A100,L40S,L4", "--slo", "ttft.p95<1s,tpot.p95<50ms")
BREAKEVEN = ("breakeven", "--gpus", "4xA100")
KINDS = {
    "bool": "true or false",
    "float": "number",
    "int": "whole number",
    "ints": "list of whole numbers",
    "messages": "list of `{role, text, tool_calls}`",
    "str": "text",
    "strs": "list of texts",
}


def run(*arguments: str) -> str:
    """What a command prints, off a terminal and untouched by the settings of whoever runs this."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COSTPLAN_")}
    environment |= {"COLUMNS": WIDTH, "TERMINAL_WIDTH": WIDTH, "NO_COLOR": "1", "XDG_CONFIG_HOME": os.devnull}
    command = [sys.executable, "-m", "costplan", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


def report() -> str:
    """The report of the demonstration log."""
    return f"```text\n{run('analyze', 'traces/demo.jsonl.gz').rstrip()}\n```"


def capacity() -> str:
    """A fleet for the excerpt of a public trace, without the last lines."""
    return excerpt(CAPACITY, until="Searched")


def breakeven() -> str:
    """An API against four GPUs for the default traffic: the three columns, their differences, the break-even volume."""
    return excerpt(BREAKEVEN, drop=("Hybrid", "Lines of c", "People", "Break-even"), until="Hangs on")


def excerpt(command: tuple[str, ...], until: str, drop: tuple[str, ...] = ()) -> str:
    """What a command prints before the line that starts with `until`, without entries that start with one of `drop`."""
    kept: list[str] = []
    dropping = False
    for line in run(*command).splitlines():
        if line.startswith(until):
            break
        if not line.startswith(" "):
            dropping = line.startswith(drop) if drop else False
        if not dropping:
            kept.append(line.rstrip())
    words = " ".join(f'"{word}"' if "<" in word else word for word in command)
    return f"```text\n$ costplan {words}\n" + "\n".join(kept).rstrip() + "\n```"


def commands() -> str:
    """What each command is for, in its own words."""
    lines = ["| command | does |", "|---|---|"]
    for name in COMMANDS:
        usage, _, rest = run(name, "--help").partition("\n\n")
        about = rest.partition("\n\n")[0].replace("\n", " ").strip().rstrip(".:")
        lines.append(f"| `{usage.removeprefix('Usage: ').replace(' [OPTIONS]', '').replace('|', ' ')}` | {about} |")
    return "\n".join(lines)


def options() -> str:
    """How each command is called and what its options are; `--help` shows examples as well."""
    blocks: list[str] = []
    for name in COMMANDS:
        text = run(name, "--help")
        usage = text.partition("\n")[0].removeprefix("Usage: ")
        lines = text.partition("Options:\n")[2].rstrip().splitlines()
        blocks.append("\n".join([usage, *(line for line in lines if "-h, --help" not in line)]))
    return "```text\n" + "\n".join(blocks) + "\n```"


def formats() -> str:
    """A table of the dialects, in the order in which they are tried."""
    from costplan.ingest.detect import DIALECTS

    lines = ["| `--format` | what it is | detected by | token counts |", "|---|---|---|---|"]
    for dialect in DIALECTS:
        about = sentence(dialect).partition(";")[0]
        lines.append(f"| `{dialect.NAME}` | {about} | {sentence(dialect.matches)} | {dialect.RULE} |")
    return "\n".join(lines)


def complexity() -> str:
    """The rules of the complexity score, and the score at which each level begins."""
    from costplan.complexity.rules import CONTEXT_CHARS, CUTS, FORMS, PARTS, RULES, TURNS_HALF

    outside = {
        "context": f"characters with history: 0 up to {CONTEXT_CHARS[0]:,}, 1 from {CONTEXT_CHARS[1]:,} on (logarithm)",
        "multi_turn": f"user turns before this one: {TURNS_HALF:g} give one half",
        "output_form": ", ".join(f"{name} at least {least:g}" for name, least in FORMS.items() if least) + " (request)",
    }
    lines = ["| part | weight | what is counted | half |", "|---|---:|---|---:|"]
    for part, weight in PARTS.items():
        own = [rule for rule in RULES if rule.part == part]
        lines += [f"| {part} | {weight:g} | {rule.name}: {rule.about} | {rule.half:g} |" for rule in own]
        lines += [f"| {part} | {weight:g} | {outside[part]} | |"] if part in outside else []
    levels = ", ".join(f"{level} from {cut:g}" for level, cut in enumerate(CUTS, 2))
    return "\n".join([*lines, "", f"Levels: 1 below {CUTS[0]:g}, {levels}."])


def trace() -> str:
    """The columns of the canonical trace by kind."""
    from costplan.ingest.canonical import SCHEMA

    kind = SCHEMA.__getitem__
    lines = ["| type | columns |", "|---|---|"]
    for name, columns in groupby(sorted(SCHEMA, key=kind), key=kind):
        lines.append(f"| {KINDS[name]} | {', '.join(f'`{column}`' for column in columns)} |")
    return "\n".join(lines)


def scenario_keys() -> str:
    """What a scenario file may hold: a table for each mapping in it."""
    from dataclasses import MISSING, fields

    from costplan.scenario import spec

    places = {
        spec.Scenario: "the file", spec.Traffic: "`traffic`", spec.CallSpec: "each of `calls`",
        spec.Repeats: "`repeats` of a call", spec.Padding: "`padding` of a call", spec.Cheaper: "`cheaper` of a call",
        spec.LogSpec: "`log`", spec.FlatPrice: "each of `prices`",
    }  # fmt: skip
    lines: list[str] = []
    for kind, place in places.items():
        lines += [f"In {place}:", "", "| key | is | default |", "|---|---|---|"]
        for key in fields(kind):
            default = key.default
            if isinstance(default, spec.Range):
                default = f"{default.value:g}"
            elif default is MISSING:
                default = "none" if key.default_factory is not MISSING else "required"
            elif default is None or default in ("", ()) or type(default) in places:
                default = "none" if type(default) not in places else "see below"
            lines.append(f"| `{key.name}` | {key.metadata['says']} | {default} |")
        lines.append("")
    return "\n".join(lines).rstrip()


def shipped_scenarios() -> str:
    """The scenarios that come with costplan."""
    from costplan.scenario import find_scenario, read_scenario

    names = sorted(path.stem for path in (ROOT / "profiles" / "scenarios").glob("*.yaml"))
    lines = ["| name | is | claim |", "|---|---|---|"]
    for name in names:
        found = read_scenario(find_scenario(name))
        lines.append(f"| `{name}` | {found.about} | {found.claim} |")
    return "\n".join(lines)


def planted() -> str:
    """What generate says of a log."""
    with tempfile.TemporaryDirectory() as folder:
        shown = run("generate", "support-desk", "-o", f"{folder}/log.jsonl", "--requests", "2000", "-q").replace(
            f"{folder}/", ""
        )
    return f"```text\n{shown.rstrip()}\n```"


def sentence(documented: object) -> str:
    """The first line of a docstring."""
    return (documented.__doc__ or "").strip().splitlines()[0].rstrip(".").replace("|", "\\|")
