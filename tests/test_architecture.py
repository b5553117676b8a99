"""The house rules that a machine can check: sizes, import directions, what may be imported, what may be in the tree."""

import ast
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "costplan"
MODULES = sorted(PACKAGE.rglob("*.py"))
MODULE_LINES, FUNCTION_LINES, FILE_BYTES = 400, 80, 5_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Code lines that the named top-level parts of the package may have together."""

    parts: frozenset[str]
    lines: int
    reason: str


BUDGETS = (
    Budget(
        parts=frozenset({"ingest"}),
        lines=7700,
        reason="27 dialects, recorded bodies, a compiled JSON walk; prompts read a second time; aggregated exports, "
        "tables as spreadsheets write them, archives",
    ),
    Budget(
        parts=frozenset({"prices"}),
        lines=960,
        reason="dated tiers, steps and conditions compiled to one table; contract terms by provider, with their checks",
    ),
    Budget(
        parts=frozenset({"levers", "similarity"}),
        lines=5780,
        reason="one file per saving; for prompts that are alike: vectors, graph, word lists, replay, two estimators, "
        "and all of it on a log of any size; latencies, streaming, accepted answers",
    ),  # fmt: skip
    Budget(
        parts=frozenset({"daily"}), lines=660, reason="a plan from rows that stand for many calls: sums, month, growth"
    ),
    Budget(
        parts=frozenset({"agents"}),
        lines=510,
        reason="steps spilled by task, one walk over them, three rules of trimming priced with the cache, the document",
    ),
    Budget(parts=frozenset({"complexity"}), lines=350, reason="word lists, and one pass that counts them"),
    Budget(
        parts=frozenset({"routing"}),
        lines=1050,
        reason="metrics with their bands, a regression with nested validation, candidates, decisions and labels needed",
    ),  # fmt: skip
    Budget(
        parts=frozenset({"serving", "capacity", "tco"}),
        lines=4350,
        reason="event loop, step times from four sources, memory, the search for a fleet, and the money of one",
    ),  # fmt: skip
    Budget(
        parts=frozenset({"replay", "gate", "calibrate", "tasks"}),
        lines=5010,
        reason="an HTTP client with clocks, two ways to connect, prompts, a vLLM of one's own and its metrics; tasks, "
        "graders and their statistics; the fit of step times; whatever can be refused before a run is",
    ),  # fmt: skip
    Budget(parts=frozenset({"profiles"}), lines=1300, reason="four kinds of dated facts, and config.json of any model"),
    Budget(parts=frozenset({"breakeven"}), lines=1400, reason="traffic, offers, crossings, ranges and their document"),
    Budget(
        parts=frozenset({"report"}),
        lines=2950,
        reason="plan and each of its levers, serving, break-even, measurement, gate, cache, routes, compression",
    ),
    Budget(
        parts=frozenset({"compression"}),
        lines=1060,
        reason="one file per rung: JSON found and minified, tables and their way back, conversations, words; an "
        "optional language model; where in a prompt tokens go, since cached ones cost less",
    ),
    Budget(parts=frozenset({"explore"}), lines=420, reason="columns, an expression parser, groups"),
    Budget(parts=frozenset({"compare"}), lines=350, reason="figures of four documents, what explains a change, limits"),
    Budget(
        parts=frozenset({"generate"}),
        lines=1065,
        reason="draws, a grammar, sessions and agents, lines of a log, and the truth by lever in ways of its own",
    ),
    Budget(
        parts=frozenset({"scenario"}),
        lines=710,
        reason="eight mappings with limits, their strict reader, prices, arithmetic, and the plan it fills",
    ),
    Budget(
        parts=frozenset({"compress"}),
        lines=800,
        reason="a log's prompts on their way through worker processes, their worth, labelled contexts",
    ),
    Budget(
        parts=frozenset({"route"}),
        lines=1100,
        reason="a log's call sites as routing sees them, scores from three kinds of files, labels to ask for",
    ),  # fmt: skip
    Budget(
        parts=frozenset({"cache"}),
        lines=1350,
        reason="a log's prompts, a grid of replays, label files, per-site advice, hits and configurations written out",
    ),  # fmt: skip
)
REST_LINES = 6950  # all other parts together: books, bills and sums of a plan, documents, settings, commands


def code_lines(text: str) -> int:
    """Lines that are neither blank nor a comment; docstrings count."""
    return sum(1 for line in text.splitlines() if line.strip() and not line.strip().startswith("#"))


def top(path: Path) -> str:
    """The top-level part of the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def tree(path: Path) -> ast.Module:
    """The parsed module."""
    return ast.parse(path.read_text("utf-8"))


def imported(path: Path) -> set[str]:
    """Dotted names that a module imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def importers(*packages: str) -> set[str]:
    """Top-level parts of costplan that import one of the packages or something in it."""
    return {
        top(path)
        for path in MODULES
        if any(name == package or name.startswith(f"{package}.") for name in imported(path) for package in packages)
    }


@cache
def tracked() -> tuple[Path, ...]:
    """The files that git knows; none outside a checkout."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    files = (ROOT / name for name in listing.stdout.split("\0") if name) if listing.returncode == 0 else ()
    return tuple(path for path in files if path.is_file())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_and_its_functions_are_short_enough_to_read(path: Path):
    assert code_lines(path.read_text("utf-8")) <= MODULE_LINES
    lines = path.read_text("utf-8").splitlines()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = code_lines("\n".join(lines[node.lineno - 1 : node.end_lineno]))
            assert length <= FUNCTION_LINES, f"{node.name} at line {node.lineno} has {length} lines"


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda budget: "+".join(sorted(budget.parts)))
def test_a_package_stays_within_its_budget(budget: Budget):
    assert sum(code_lines(path.read_text("utf-8")) for path in MODULES if top(path) in budget.parts) <= budget.lines


def test_everything_else_stays_within_one_budget():
    budgeted = frozenset[str]().union(*(budget.parts for budget in BUDGETS))
    sizes = {path: code_lines(path.read_text("utf-8")) for path in MODULES if top(path) not in budgeted}
    assert sum(sizes.values()) <= REST_LINES


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_in_its_first_line_what_it_is(path: Path):
    docstring = ast.get_docstring(tree(path))
    assert docstring and docstring.splitlines()[0].strip()
    assert path.read_text("utf-8").startswith('"""')


def test_no_module_is_called_utils():
    assert not [path for path in MODULES if path.stem.strip("_") in {"util", "utils", "helpers", "misc", "common"}]


def test_nothing_is_left_to_do():
    # written in halves, so that this file does not find itself
    needle = re.compile("|".join((r"\bTO" + "DO", r"\bFIX" + "ME", "NotImplemented" + "Error")))
    for folder in ("costplan", "tests", "benchmarks", "traces"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            assert not needle.search(path.read_text("utf-8")), path


def test_the_import_layers_hold():
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_part_has_a_place_in_the_layers():
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = [c for c in config["tool"]["importlinter"]["contracts"] if c["type"] == "layers"]
    assert all(contract["exhaustive"] for contract in contracts)
    listed = {part.strip(" ()") for c in contracts for layer in c["layers"] for part in re.split(r"[|:]", layer)}
    assert {top(path) for path in MODULES} - {"__init__"} <= listed


def test_only_cli_imports_typer():
    assert importers("typer", "click") <= {"cli"}


def test_only_replay_can_talk_to_a_server():
    assert importers("aiohttp", "httptools", "uvloop", "vllm", "torch") <= {"replay"}


def test_nothing_imports_a_second_http_client():
    assert importers("httpx", "requests", "urllib3") == set()
    # the standard library asks a server the few questions beside the load, from where no event loop runs
    assert importers("urllib.request", "http.client") <= {"replay"}


def test_no_file_in_git_is_large():
    assert [str(path) for path in tracked() if path.stat().st_size > FILE_BYTES] == []


def test_no_file_in_git_names_a_place_on_one_machine():
    place = re.compile(r"(?<![\w.])/" + "(work|root|home)/")
    written = {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".html", ".sh", ".cfg", ".ini", ""}
    for path in tracked():
        raw = path.read_bytes() if path.suffix in written else b""
        if b"\0" not in raw[:8192]:
            assert not place.search(raw.decode("utf-8", "replace")), path
