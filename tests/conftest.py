"""Golden files for every test: `golden("report/terminal_110.txt", text)` compares, `--update-golden` writes."""

from collections.abc import Callable
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/golden instead of comparing with it")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares text with tests/golden/<name>; trailing spaces of lines do not count."""
    update = bool(request.config.getoption("--update-golden"))

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        shown = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(shown, encoding="utf-8")
        assert path.exists(), f"no golden file {name}: run pytest --update-golden and read what it wrote"
        assert shown == path.read_text(encoding="utf-8"), f"{name} differs: --update-golden writes it anew"

    return check
