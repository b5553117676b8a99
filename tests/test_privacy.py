"""Log text is hostile and private: nothing of it reaches the terminal or a document, and nothing leaves the machine."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from costplan.results import to_json
from tests.ingest.logs import ROOT, TRACES, pair, plan_of, run, write

Capture = pytest.CaptureFixture[bytes]

ESCAPES = "\x1b[31mred\x1b]8;;http://evil.example\x07link\x1b]8;;\x07 \x9b2J \r\x08\x00\u202e"
NAMES = [
    "[bold red]markup[/bold red]", "[/]", "[link=http://evil.example]x[/link]", "</script><script>alert(1)</script>",
    '=HYPERLINK("http://evil.example")', "+1+1", "@SUM(A1)", "-2+3", "| table | cell |", "](http://evil.example)",
    "line\nbreak", "tab\tstop", "a" * 10_000, "", " ", "\u200b", ESCAPES,
]  # fmt: skip
SECRETS = ("xylophone-7391", "Oberstdorf-diagnosis", "tungsten-tool", "answer-quartz", "anna.privat@example.org")


def hostile() -> list[dict[str, Any]]:
    """Calls whose every name is an attack, with distinctive words in prompts, tools, answers and users."""
    records: list[dict[str, Any]] = []
    for n, name in enumerate(NAMES * 2):
        record = pair(
            n, f"{name} my {SECRETS[0]} question {n % 3}", user=f"{SECRETS[4]}{name}", session=SECRETS[1] + name
        )
        record["feature"], record["tags"], record["environment"] = name, [name, f"t{name}"], name
        record["request"]["model"] = record["response"]["model"] = name or "gpt-4o-mini"
        record["request"]["messages"].insert(0, {"role": "system", "content": f"You know {SECRETS[1]}. {name}"})
        record["request"]["tools"] = [{"type": "function", "function": {"name": SECRETS[2] + name, "parameters": {}}}]
        record["response"]["choices"][0]["message"]["content"] = SECRETS[3] + name
        records.append(record)
        failed = pair(1000 + n, SECRETS[0], status_code=500, response={"error": {"type": name, "message": SECRETS[0]}})
        records.append(failed)
    return records


def test_hostile_names_reach_the_terminal_as_plain_text(tmp_path: Path, capsysbinary: Capture):
    log = write(tmp_path / "log.jsonl", [*hostile(), *(pair(n + 5000) for n in range(20))])
    for arguments in (("analyze", log), ("analyze", log, "--markdown", "-"), ("analyze", log, "--strict")):
        ran = run(capsysbinary, *arguments)
        shown = (ran.out + "\n".join(ran.said).encode()).decode("utf-8")
        assert ran.code == (1 if "--strict" in arguments else 0) and shown
        assert not {character for character in shown if not (character.isprintable() or character == "\n")}
        assert "<script>" not in shown
    plan = tmp_path / "plan.json"
    assert run(capsysbinary, "analyze", log, "--json", plan, "--markdown", tmp_path / "report.md").code == 0
    again = run(capsysbinary, "report", plan)
    assert again.code == 0 and b"\x1b" not in again.out


def test_hostile_names_in_errors_are_plain_text(tmp_path: Path, capsysbinary: Capture):
    column = f"{ESCAPES}[bold]{NAMES[3]}"
    table = write(tmp_path / "log.jsonl", [{column: 1, "=cmd()": 2}])
    ran = run(capsysbinary, "analyze", table)
    assert ran.code == 1 and len(ran.said) == 2
    assert all(character.isprintable() for line in ran.said for character in line)
    assert run(capsysbinary, "analyze", write(tmp_path / "b.jsonl", [pair(1)]), "--format", ESCAPES).code == 2


def test_prompts_answers_tools_and_users_stay_out_of_every_document(tmp_path: Path, capsysbinary: Capture):
    log = write(tmp_path / "log.jsonl", hostile())
    ran = run(capsysbinary, "analyze", log, "--json", tmp_path / "plan.json", "--markdown", tmp_path / "report.md")
    assert ran.code == 0
    written = ran.out + (tmp_path / "plan.json").read_bytes() + (tmp_path / "report.md").read_bytes()
    assert [word for word in SECRETS if word.encode() in written] == []


def test_no_sentence_user_or_id_of_the_demo_log_stands_in_its_plan(tmp_path: Path):
    """Feature and model names may; they are how the log names its call sites."""
    with gzip.open(TRACES / "demo.jsonl.gz") as log:
        raw = [line for _, line in zip(range(600), log, strict=False)]
    records = [json.loads(line) for line in raw if line.endswith(b"}\n")]
    plan = to_json(plan_of(write(tmp_path / "log.jsonl", records))).decode()
    for record in records:
        said = [record["user"], record["session"], record["id"], record["response"].get("id") or "no id"]
        said += [m["content"][:60] for m in record["request"]["messages"] if isinstance(m["content"], str)]
        assert [text for text in said if json.dumps(text)[1:-1] in plan] == []
    assert '"user-001"' in plan


FORBIDDEN = """
import socket, sys
class Socket(socket.socket):
    def __init__(self, family=-1, *rest, **more):
        if family in (socket.AF_INET, socket.AF_INET6, -1):
            raise SystemExit("network: a socket was opened")
        super().__init__(family, *rest, **more)
def refuse(*_, **__):
    raise SystemExit("network: a name was looked up")
socket.socket = Socket
socket.create_connection = socket.getaddrinfo = socket.gethostbyname = refuse
sys.argv = ["costplan", *sys.argv[1:]]
from costplan.ingest import source
source.SPLIT_BYTES = 100_000
from costplan.cli import main
main()
"""


@pytest.mark.parametrize("command", [("analyze", "--workers", "2", "--json", "-"), ("normalize", "-o", "trace.jsonl")])
def test_nothing_leaves_the_machine(tmp_path: Path, command: tuple[str, ...]):
    log = write(tmp_path / "log.jsonl", [pair(n, f"Where is parcel {n}?") for n in range(1000)])
    arguments = [sys.executable, "-c", FORBIDDEN, command[0], log, *command[1:]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(arguments, capture_output=True, env=environment, cwd=tmp_path, check=False)
    assert ran.returncode == 0 and b"network" not in ran.stderr, ran.stderr
