"""Writes the generated parts of README.md (`make docs`): by running costplan, and from what its modules say."""

import os
import subprocess
import sys
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WIDTH = "110"
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


def options() -> str:
    """How each command is called and what its options are; `--help` shows examples as well."""
    blocks: list[str] = []
    for name in ("analyze", "report", "normalize", "schema"):
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


def trace() -> str:
    """The columns of the canonical trace by kind."""
    from costplan.ingest.canonical import SCHEMA

    kind = SCHEMA.__getitem__
    lines = ["| type | columns |", "|---|---|"]
    for name, columns in groupby(sorted(SCHEMA, key=kind), key=kind):
        lines.append(f"| {KINDS[name]} | {', '.join(f'`{column}`' for column in columns)} |")
    return "\n".join(lines)


def sentence(documented: object) -> str:
    """The first line of a docstring."""
    return (documented.__doc__ or "").strip().splitlines()[0].rstrip(".").replace("|", "\\|")
