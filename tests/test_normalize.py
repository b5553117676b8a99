"""`costplan normalize`: one trace of any dialect costs what the log costs, and an anonymised one gives nobody away."""

import gzip
import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
import pytest
from costplan.errors import CostplanError, UsageError
from costplan.ingest.normalize import normalize, read_salt
from costplan.results import Plan
from costplan.settings import AnalyzeSettings
from tests.ingest.logs import DATA, TRACES, nanos, pair, plan_of, run, rung, write

SALT = b"a salt of 16 byt"


def written(out: Path, *logs: Path, salt: bytes = SALT, **options: Any) -> list[dict[str, Any]]:
    """The rows that `normalize` writes."""
    flags: dict[str, Any] = {"as_": None, "anonymize": False, "report": None, **options}
    settings = AnalyzeSettings(map=flags.pop("map", ()))
    with TemporaryDirectory() as work:
        normalize([str(log) for log in logs], out, settings, work=Path(work), salt=salt, **flags)
    if out.suffix == ".parquet":
        return pq.read_table(out).to_pylist()
    return [json.loads(line) for line in out.read_text("utf-8").splitlines()]


def demo(path: Path, count: int) -> Path:
    """The first lines of the demo log, torn ones included."""
    with gzip.open(TRACES / "demo.jsonl.gz") as log:
        path.write_bytes(b"".join(line for _, line in zip(range(count), log, strict=False)))
    return path


def figures(plan: Plan) -> dict[str, Any]:
    """What must not depend on the form the log is kept in."""
    books, baseline, economics = plan.ingest, plan.baseline, plan.unit_economics
    return {
        "nanos": None if baseline.cost_usd.value is None else nanos(plan),
        "parts": baseline.cost_by,
        "tokens": (baseline.input_tokens, baseline.cache_read_tokens, baseline.output_tokens),
        "calls": (books.requests, books.priced, books.unpriced.requests, books.failed_by, books.gateway_hits),
        "usage": books.usage_source,
        "span": (books.span.start, books.span.end, books.span.null_timestamps),
        "models": [(row.key, row.requests, row.cost_usd) for row in economics.by_model],
        "users": [(row.key, row.requests, row.cost_usd) for row in economics.by_user],
        "tags": [(row.key, row.requests) for row in economics.by_tag],
        "month": baseline.cost_usd_month.value,
    }


SAMPLES = sorted(TRACES.glob("*.jsonl")) + [TRACES / "generic.csv", DATA / "pairs/http_pairs.jsonl.gz"]
MAP = (
    "when=timestamp", "model=model", "prompt_tok=input_tokens", "completion_tok=output_tokens", "user=user",
    "cached_tok=cache_read_tokens", "latency_ms=duration_ms", "route=feature", "status=status",
)  # fmt: skip


@pytest.mark.parametrize("log", SAMPLES, ids=lambda path: path.name)
def test_a_normalised_log_costs_what_the_log_costs(tmp_path: Path, log: Path):
    mapping = MAP if log.suffix == ".csv" else ()
    before = figures(plan_of(log, map=mapping))
    for name in ("trace.jsonl", "trace.parquet"):
        written(tmp_path / name, log, map=mapping)
        plan = plan_of(tmp_path / name)
        assert figures(plan) == before and plan.inputs[0].format == "costplan"
        assert (plan.ingest.skipped.total, plan.ingest.not_a_call, plan.ingest.duplicates) == (0, 0, 0)


def test_halves_of_a_batch_are_one_row_with_the_request_and_the_answer(tmp_path: Path):
    logs = [TRACES / "openai_batch_output.jsonl", TRACES / "openai_batch_input.jsonl"]
    written(tmp_path / "trace.jsonl", *logs)
    assert figures(plan_of(tmp_path / "trace.jsonl")) == figures(plan_of(*logs))
    rows = written(tmp_path / "trace.jsonl", *logs)
    assert all(row["input_messages"] for row in rows) and len(rows) == plan_of(*logs).ingest.requests


def test_a_normalised_log_repeats_itself_like_the_log(tmp_path: Path):
    log = demo(tmp_path / "demo.jsonl", 1500)
    written(tmp_path / "trace.jsonl", log)
    before, after = plan_of(log), plan_of(tmp_path / "trace.jsonl")
    assert figures(after) == figures(before)
    for lever in ("response_cache", "prompt_cache"):
        assert rung(after, lever).evidence == rung(before, lever).evidence


# --- anonymised ---


def texts_of(value: Any) -> list[str]:
    """Every string in a JSON value."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for item in inner for text in texts_of(item)]


def test_an_anonymised_trace_holds_no_text_user_or_id(tmp_path: Path):
    log = demo(tmp_path / "demo.jsonl", 400)
    kept = (TRACES / "litellm_standard_logging_payload.jsonl", TRACES / "langfuse_observations_v2.jsonl")
    asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": "zzsecret"}], "tools": [{"name": "zztool"}]}
    failed = {"error": {"type": "zzerror", "message": "zzleak"}}
    anna = {"user": "anna@example.org", "session": "chat-anna", "tags": ["vip-anna"], "feature": "anna-bot"}
    berta = {"request": asked, "response": failed, "status_code": 400, "metadata": {"user": "berta"}}
    private = write(tmp_path / "private.jsonl", [pair(1, "my secret diagnosis", **anna), berta])
    words = [
        "anna",
        "secret",
        "zztool",
        "zzerror",
        "zzleak",
        "berta",
        "Meridian",
        "invoice",
        "chatcmpl",
        "req_",
        "u-0239",
    ]
    logs = (log, *kept, private, TRACES / "otlp_genai.jsonl")
    for name in ("trace.jsonl", "trace.parquet"):
        written(tmp_path / name, *logs, anonymize=True)
        assert [word for word in words if word.encode() in (tmp_path / name).read_bytes()] == []
    said = {text for line in log.read_text().splitlines() if line.endswith("}") for text in texts_of(json.loads(line))}
    for row in written(tmp_path / "trace.jsonl", *logs, anonymize=True):
        keys = {row[column] for column in ("user", "session_id", "trace_id", "span_id", "parent_id", "feature")} - {
            None
        }
        assert all(re.fullmatch("[0-9a-f]{16}", key) for key in keys) and not keys & said
        assert all(len(text) < 100 and " " not in text for text in texts_of(row) if text != row["usage_inclusive_rule"])


def test_an_anonymised_trace_costs_the_same_and_keeps_its_prefixes(tmp_path: Path):
    log = demo(tmp_path / "demo.jsonl", 1500)
    whole = plan_of(log)
    written(tmp_path / "trace.jsonl", log, anonymize=True)
    plan = plan_of(tmp_path / "trace.jsonl")
    assert nanos(plan) >= nanos(whole) - 17_000_000  # aborted streams report no usage: their text was counted
    shares = [rung(p, "prompt_cache").evidence["ceiling"]["token_share"] for p in (whole, plan)]
    assert shares[1] == pytest.approx(shares[0], abs=0.05) and shares[1] <= shares[0]
    assert len(plan.unit_economics.by_user) == len(whole.unit_economics.by_user)


def test_the_same_salt_gives_the_same_keys_and_no_salt_fresh_ones(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
):
    log = write(tmp_path / "log.jsonl", [pair(n, "where? " * 300, user=f"u{n % 2}") for n in range(4)])

    def anonymised(name: str, *flags: str | Path) -> bytes:
        assert run(capsysbinary, "normalize", log, "-o", tmp_path / name, "--anonymize", *flags).code == 0
        return (tmp_path / name).read_bytes()

    salt = tmp_path / "salt"
    first = anonymised("a.jsonl", "--salt-file", salt)
    assert anonymised("b.jsonl", "--salt-file", salt) == first and salt.stat().st_mode & 0o77 == 0
    one, two = anonymised("c.jsonl"), anonymised("d.jsonl")
    assert len({first, one, two}) == 3
    keys = [[(r["user"], r["prefix_block_ids"]) for r in map(json.loads, out.splitlines())] for out in (one, two)]
    assert not {user for user, _ in keys[0]} & {user for user, _ in keys[1]}
    assert not {b for _, ids in keys[0] for b in ids} & {b for _, ids in keys[1] for b in ids}


@pytest.mark.parametrize("content", [b"", b"short"])
def test_an_empty_or_short_salt_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "salt").write_bytes(content)
    with pytest.raises(CostplanError, match="16 bytes"):
        read_salt(tmp_path / "salt")
    with pytest.raises(CostplanError, match="No such file"):
        read_salt(tmp_path / "nowhere/salt")


# --- Mooncake's format ---


def test_a_mooncake_trace_reuses_prefixes_about_as_the_text_does(tmp_path: Path):
    """Only whole blocks of 512 tokens can repeat, so a prompt of 1,700 shared and 30 own tokens loses a tenth."""
    torn = demo(tmp_path / "demo.jsonl", 3000).read_bytes().splitlines()
    log = write(tmp_path / "long.jsonl", [line for line in torn if b'"feature":"rag-answer"' in line])
    rows = written(tmp_path / "trace.jsonl", log, as_="mooncake")
    assert rows[0]["timestamp"] == 0 and rows[0].keys() == {"timestamp", "input_length", "output_length", "hash_ids"}
    assert all(len(row["hash_ids"]) == -(-row["input_length"] // 512) for row in rows)
    text = rung(plan_of(log), "prompt_cache").evidence["ceiling"]["token_share"]
    blocks = rung(plan_of(tmp_path / "trace.jsonl"), "prompt_cache").evidence["ceiling"]["token_share"]
    assert text - 0.12 < blocks <= text


def test_mooncake_to_mooncake_changes_nothing_that_counts(tmp_path: Path):
    log = TRACES / "mooncake_conversation_excerpt.jsonl"
    written(tmp_path / "trace.jsonl", log, as_="mooncake")
    ceilings = [rung(plan_of(path), "prompt_cache").evidence["ceiling"] for path in (log, tmp_path / "trace.jsonl")]
    assert ceilings[0] == ceilings[1]


# --- the file that is written ---


def test_a_trace_appears_only_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    log = write(tmp_path / "log.jsonl", [pair(n) for n in range(20)])
    out = tmp_path / "trace.jsonl"
    out.write_text("the trace of yesterday")
    from costplan.ingest import normalize as module

    def failing(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "row_of", failing)
    with pytest.raises(CostplanError, match="No space left"):
        written(out, log)
    assert out.read_text() == "the trace of yesterday"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl", "trace.jsonl"]


def test_a_trace_cannot_overwrite_the_log_it_is_made_from(tmp_path: Path):
    log = write(tmp_path / "log.jsonl", [pair(1)])
    before = log.read_bytes()
    for name in (str(log), str(tmp_path)):
        with pytest.raises(UsageError, match="one of the logs"):
            normalize([name], log, AnalyzeSettings(), work=tmp_path, as_=None, anonymize=False, salt=SALT, report=None)
    assert log.read_bytes() == before


def test_a_glob_does_not_pick_up_the_unfinished_trace_beside_its_logs(tmp_path: Path):
    for name in ("a.jsonl", "b.jsonl"):
        write(tmp_path / name, [pair(1, name), pair(2, name)])
    normalize([str(tmp_path / "*")], tmp_path / "trace.jsonl", AnalyzeSettings(), work=tmp_path / "..", as_=None,
              anonymize=False, salt=SALT, report=None)  # fmt: skip
    assert len((tmp_path / "trace.jsonl").read_bytes().splitlines()) == 4


@pytest.mark.parametrize(("out", "as_"), [("trace.csv", None), ("trace.parquet", "mooncake"), ("trace.jsonl", "vidur")])
def test_a_trace_of_an_unknown_form_is_wrong_usage(tmp_path: Path, out: str, as_: str | None):
    with pytest.raises(UsageError):
        written(tmp_path / out, write(tmp_path / "log.jsonl", [pair(1)]), as_=as_)
