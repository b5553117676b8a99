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


@pytest.mark.parametrize("arguments", [["--help"], ["analyze", "--help"]], ids=" ".join)
def test_help_loads_nothing_heavy(arguments: list[str]):
    program = PROGRAM.format(arguments=arguments)
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    loaded = set(json.loads(result.stdout.splitlines()[-1]))
    assert "costplan" in loaded
    assert loaded & HEAVY == set()


def test_importing_the_package_loads_nothing_heavy():
    program = "import costplan, json, sys; print(json.dumps(sorted({n.partition('.')[0] for n in sys.modules})))"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(json.loads(result.stdout)) & HEAVY == set()
