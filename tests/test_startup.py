"""Starting the command line loads nothing heavy; checked by module name, since milliseconds depend on the machine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

HEAVY = {
    "pandas",
    "numpy",
    "sklearn",
    "scipy",
    "numba",
    "pyarrow",
    "plotly",
    "tiktoken",
    "genai_prices",
    "wordllama",
    "vllm",
    "torch",
    "aiohttp",
    "uvloop",
    "httptools",
    "requests",
    "httpx",
}
PROGRAM = """
import json, sys
sys.argv = ["costplan", *{arguments!r}]
from costplan.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print()
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""


NETWORK = {"aiohttp", "httpx", "requests", "urllib3", "uvloop"}
WATCHED = """
import sys
def refuse(event, arguments):
    if event.startswith("socket.") and event != "socket.__new__":
        raise SystemExit(f"network: {event} {arguments}")
sys.addaudithook(refuse)
"""


def loaded_by(*arguments: str, before: str = "") -> set[str]:
    """The top-level modules that a command loads."""
    program = before + PROGRAM.format(arguments=arguments)
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    loaded = set(json.loads(result.stdout.splitlines()[-1]))
    assert "costplan" in loaded
    return loaded


@pytest.mark.parametrize("command", ["", "analyze", "report", "normalize", "replay", "schema"])
def test_help_loads_nothing_heavy(command: str):
    assert loaded_by(*filter(None, [command]), "--help") & HEAVY == set()


def test_the_version_and_the_schema_load_nothing_heavy():
    assert loaded_by("--version") & HEAVY == set()
    assert loaded_by("schema", "plan") & HEAVY == set()


def test_analyze_loads_no_http_client_and_touches_no_socket():
    assert loaded_by("analyze", "traces/tiny.jsonl", "--workers", "1", before=WATCHED) & NETWORK == set()


def test_importing_the_package_loads_nothing_heavy():
    program = "import costplan, json, sys; print(json.dumps(sorted({n.partition('.')[0] for n in sys.modules})))"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(json.loads(result.stdout)) & HEAVY == set()
