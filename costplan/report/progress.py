"""A progress bar on stderr with rate and time left; it shows only after two seconds and leaves nothing behind."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

SHOW_AFTER_S = 2.0


@contextmanager
def progress_bar() -> Generator[Callable[[str, int, int], None]]:
    """Yields update(stage, done, total); `reading` counts bytes, every other stage counts its parts."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    started = time.monotonic()
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TransferSpeedColumn(),
        TimeRemainingColumn(), console=Console(stderr=True), transient=True,
    )  # fmt: skip
    task = bar.add_task("reading", total=None)

    def update(stage: str, done: int, total: int) -> None:
        if time.monotonic() - started > SHOW_AFTER_S and not bar.live.is_started:
            bar.start()
        bar.update(task, description=stage, completed=done, total=total)

    try:
        yield update
    finally:
        bar.stop()
