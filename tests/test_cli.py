"""The command line as a newcomer meets it: pipes, precedence, and mistakes that end in two lines."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from costplan import __version__, cli
from costplan.settings import AnalyzeSettings

ROOT = Path(__file__).resolve().parents[1]
TINY = "traces/tiny.jsonl"


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """`costplan` in this process, in the repository, with one worker and no configuration but the test's own."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("COSTPLAN_WORKERS", "1")
    monkeypatch.setenv("COLUMNS", "110")

    def call(*arguments: str, stdin: str = "") -> Ran:
        monkeypatch.setattr(sys, "argv", ["costplan", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        with pytest.raises(SystemExit) as end:
            cli.main()
        shown = capfd.readouterr()
        return Ran(int(end.value.code or 0), shown.out, shown.err)

    return call


def mistake(ran: Ran, code: int) -> tuple[str, str]:
    """The `error:` and the `hint:` line; nothing else was printed."""
    lines = ran.err.splitlines()
    assert (ran.code, ran.out, len(lines)) == (code, "", 2), ran
    assert lines[0].startswith("error: ") and lines[1].startswith("hint: ")
    return lines[0].removeprefix("error: "), lines[1].removeprefix("hint: ")


def test_the_version_is_the_package_s(run: Run) -> None:
    assert run("--version") == Ran(0, f"costplan {__version__}\n", "")


def test_costplan_alone_shows_its_help(run: Run) -> None:
    ran = run()
    assert ran.code == 2 and "Commands:" in ran.out


@pytest.mark.parametrize("command", ["analyze", "report", "normalize", "replay", "schema"])
def test_help_holds_an_example_of_the_command(run: Run, command: str) -> None:
    ran = run(command, "--help")
    assert ran.code == 0 and f"\n  costplan {command}" in ran.out


def test_analyze_prints_a_report_and_nothing_on_stderr(run: Run) -> None:
    ran = run("analyze", TINY)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[0].startswith("tiny.jsonl   12 requests")
    assert ran.out.splitlines()[-1].startswith("Next: costplan ")


def test_a_log_goes_through_two_pipes_and_reads_the_same(run: Run) -> None:
    plan = run("analyze", "-", "--json", "-", stdin=(ROOT / TINY).read_text("utf-8"))
    assert plan.code == 0 and json.loads(plan.out)["inputs"][0]["path"] == "stdin"
    ran = run("report", "-", stdin=plan.out)
    direct = run("analyze", TINY)
    assert ran.out.splitlines()[4:14] == direct.out.splitlines()[4:14]


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("cat traces/tiny.jsonl | costplan analyze - --json - | costplan report -", "stdin   12 requests"),
        ("costplan analyze traces/tiny.jsonl | head -1", "tiny.jsonl   12 requests"),
        ("costplan schema plan | true", ""),
    ],
)
def test_a_shell_pipe_works_even_if_its_reader_leaves_early(line: str, first: str) -> None:
    shell = f'costplan() {{ "{sys.executable}" -m costplan "$@"; }}; {line}'
    ran = subprocess.run(["bash", "-c", shell], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "") and ran.stdout.startswith(first)


def test_json_and_markdown_go_to_files_beside_the_report(run: Run, tmp_path: Path) -> None:
    plan, markdown = tmp_path / "plan.json", tmp_path / "report.md"
    ran = run("analyze", TINY, "--json", str(plan), "--markdown", str(markdown))
    assert "Today" in ran.out
    again = tmp_path / "again.md"
    assert run("report", str(plan), "--markdown", str(again)).out == ran.out
    assert again.read_bytes() == markdown.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.md", "plan.json", "report.md"]


def test_a_first_look_is_labelled_and_gives_no_month(run: Run) -> None:
    ran = run("analyze", "traces/pairs_openai.jsonl", "--head", "3")
    assert "partial: first look only" in ran.out and "/month" not in ran.out


def test_verbose_names_the_origin_of_every_assumption(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSTPLAN_TTL", "15m")
    ran = run("analyze", TINY, "-v", "--scope", "user")
    assert "Assume response_cache.ttl = 15m (environment)" in ran.out
    assert "Assume response_cache.scope = user (flag)" in ran.out


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        (["--batchable", "nightly"], "--batchable nightly: no tag, feature or environment of the log has this name"),
        (["--batchable", "library", "--batchable", "nightly"], "--batchable nightly: no tag"),
        (["--price-date", "2020-01-01"], "--price-date 2020-01-01: no price of that day is known for gpt-4o-mini"),
        (["--assume-model", "gpt-4o"], "--assume-model gpt-4o: every call names its model"),
    ],
)
def test_a_setting_that_fits_nothing_is_named_on_stderr(run: Run, options: list[str], warning: str) -> None:
    ran = run("analyze", TINY, "--json", "-", *options)
    assert ran.code == 0 and ran.err.startswith(f"warning: {warning}") and ran.err.count("\n") == 1
    noted = [each["note"] for each in json.loads(ran.out)["assumptions"] if each["note"]]
    assert len(noted) == 1 and noted[0] in ran.err


def test_an_assumed_model_without_a_price_brings_its_neighbours(run: Run) -> None:
    log = "timestamp,input_tokens,output_tokens\n1790000000,1000,100\n"
    ran = run("analyze", "-", "--assume-model", "gpt-4o-minni", "--quiet", stdin=log)
    assert "no price known; did you mean gpt-4o-mini" in ran.err


@pytest.mark.parametrize("name", ["library", "rules"])
def test_a_batchable_name_of_the_log_gives_no_warning(run: Run, name: str) -> None:
    assert run("analyze", TINY, "--batchable", name).err == ""


def test_every_setting_has_its_flag() -> None:
    import typer.main

    command = typer.main.get_command(cli.app).commands["analyze"]  # type: ignore[attr-defined]
    names = {parameter.name.rstrip("_") for parameter in command.params}
    assert set(AnalyzeSettings.__slots__) <= names


@pytest.mark.parametrize(
    ("arguments", "code", "error", "hint"),
    [
        (["analyze", "nope.jsonl"], 1, "nope.jsonl: no such file", "check the path"),
        (["analyze", TINY, "--format", "foo"], 2, "unknown format 'foo'", "one of: anthropic_batch"),
        (["analyze", TINY, "--map", "x"], 2, "--map x", "fields: "),
        (["analyze", TINY, "--map", "x=nothing"], 2, "--map x=nothing", "fields: "),
        (["analyze", TINY, "--ttl", "soon"], 2, "--ttl: 'soon' does not fit", "write for example --ttl 15m"),
        (["analyze", TINY, "--head", "none"], 2, "--head: 'none' does not fit", "write for example --head 5000"),
        (["analyze", TINY, "--scope", "team"], 2, "--scope: 'team' does not fit", "write for example --scope user"),
        (
            ["analyze", TINY, "--semantic", "maybe"],
            2,
            "--semantic: 'maybe' does not fit",
            "write for example --semantic off",
        ),
        (["analyze", TINY, "--json", "no/such/plan.json"], 1, "no/such/plan.json: cannot be written", "name a file"),
        (["analyze", TINY, "--json", "."], 1, ".: cannot be written", "name a file"),
        (["analyze", TINY, "--json", "-", "--markdown", "-"], 2, "--json - and --markdown -", "write one of them"),
        (["analyze", TINY, "--prices", "no.yaml"], 1, "no.yaml: No such file", "name a readable YAML"),
        (["analyze", TINY, "--strict"], 1, "traces/tiny.jsonl:6: truncated_json", "mend the log"),
        (["analyze", TINY, "--sample-rate", "x"], 2, "Invalid value for '--sample-rate'", "costplan analyze --help"),
        (["analyze", TINY, "--bogus"], 2, "No such option: --bogus", "costplan analyze --help"),
        (["analyze"], 2, "Missing argument 'LOG'", "costplan analyze --help"),
        (["analyse", TINY], 2, "No such command 'analyse'", "costplan --help"),
        (["report", "nope.json"], 1, "nope.json: No such file", "write a plan with"),
        (["report", TINY], 1, f"{TINY}: not a plan", "write a plan with"),
        (["report", "traces/demo.jsonl.gz"], 1, "traces/demo.jsonl.gz: not a plan", "write a plan with"),
        (["normalize", TINY, "-o", "no/such/trace.jsonl"], 1, "no/such/trace.jsonl: cannot be written", "name a file"),
        (["normalize", TINY, "-o", "trace.xls"], 2, "trace.xls: cannot tell the format", "end the name in"),
        (["normalize", TINY, "-o", "t.jsonl", "--as", "x"], 2, "--as x: no such trace format", "leave it out"),
        (
            ["normalize", TINY, "-o", "t.jsonl", "--salt-file", "no/such/salt"],
            1,
            "no/such/salt: No such",
            "name a file",
        ),
        (["schema", "trace"], 2, "trace: no such document", "costplan schema plan"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_ends_in_an_error_and_a_hint(
    run: Run, arguments: list[str], code: int, error: str, hint: str
) -> None:
    said, advised = mistake(run(*arguments), code)
    assert said.startswith(error) and advised.startswith(hint)


@pytest.mark.parametrize(("name", "value"), [("WORKERS", "two"), ("TTL", "soon"), ("STRICT", "perhaps")])
def test_a_bad_variable_is_named(run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"COSTPLAN_{name}", value)
    assert mistake(run("analyze", TINY), 2)[0].startswith(f"COSTPLAN_{name}: '{value}' does not fit")


def test_a_file_name_cannot_send_control_characters_to_the_terminal(run: Run) -> None:
    assert mistake(run("report", "a\x1b[31m\nb.json"), 1)[0].startswith(r"a\x1b[31m\nb.json: No such file")


def test_a_plan_that_is_not_one_is_refused_on_stdin(run: Run) -> None:
    assert mistake(run("report", "-", stdin='{"schema": "costplan/plan/9"}'), 1)[0].startswith("stdin: not a plan")
