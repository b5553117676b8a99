"""Where results go: stdout or a file that appears whole, a console, a progress bar; knows no document."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from costplan.errors import CostplanError, UsageError


def check_outputs(*names: str | None) -> None:
    """Before the work, not after it: two reports cannot share stdout, and a folder must be there."""
    if names.count("-") > 1:
        raise UsageError("--json - and --markdown - both want stdout", hint="write one of them to a file")
    for name in names:
        if name and name != "-" and (Path(name).is_dir() or not Path(name).parent.is_dir()):
            raise CostplanError(f"{name}: cannot be written there", hint="name a file in a folder that exists")


def output(name: str, data: bytes) -> None:
    """To stdout, or to a file that appears only when it is whole."""
    if name == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    unfinished = Path(name + ".part")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(name)
    finally:
        unfinished.unlink(missing_ok=True)


def console() -> Any:
    from rich.console import Console

    columns = os.environ.get("COLUMNS", "")
    width = None if sys.stdout.isatty() else int(columns) if columns.isdecimal() else 120
    return Console(highlight=False, width=width)


@contextmanager
def progress(quiet: bool) -> Generator[Any]:
    """A bar with rate and time left on stderr for runs over two seconds; nothing off a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from costplan.report.progress import progress_bar

    with progress_bar() as update:
        yield update


def given(context: Any) -> dict[str, Any]:
    """What the command line gave, under the names of the settings; `resolve` takes the ones it knows."""
    return {name.rstrip("_"): value for name, value in context.params.items()}


def say(kind: str, text: str) -> None:
    """One line on stderr; a file's name may hold anything, hence no control characters."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
    import typer

    typer.echo(f"{kind}: {shown}", err=True)
