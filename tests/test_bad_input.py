"""Damaged, hostile and odd files: the books balance, or one error and one hint line say why there is no plan."""

import gzip
import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from costplan.errors import CostplanError, UsageError
from costplan.ingest.decode import decode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.ingest.logs import PAIR_NANOS, ROOT, START, lines, nanos, pair, plan_of, run, skipped, write

Capture = pytest.CaptureFixture[bytes]

PAIRS = [pair(n, f"Where is parcel {n}?") for n in range(6)]
FLAT = [
    {"timestamp": START + n, "model": "gpt-4o-mini", "input_tokens": 92, "output_tokens": 17, "note": f"a, b\n{n}"}
    for n in range(4)
]


def refusal(path: Path) -> CostplanError:
    """The error a file is refused with: one line each for what happened and what to do."""
    with pytest.raises(CostplanError) as caught:
        plan_of(path)
    error = caught.value
    assert "\n" not in error.message + error.hint and error.hint and error.exit_code == 1
    assert path.name in error.message
    return error


# --- lines that are no records ---


def test_a_torn_line_costs_only_itself(tmp_path: Path):
    torn = lines(PAIRS[:1])[:-40] + b"\n"
    plan = plan_of(write(tmp_path / "log.jsonl", [*PAIRS, torn[:-1], *[pair(n) for n in range(10, 12)]]))
    assert skipped(plan.ingest) == {"truncated_json": 1} and plan.ingest.records == 9
    assert plan.ingest.skipped.reasons["truncated_json"].first_lines == [f"{tmp_path / 'log.jsonl'}:7"]
    assert nanos(plan) == 8 * PAIR_NANOS


def test_a_log_whose_last_line_is_cut_keeps_all_lines_before_it(tmp_path: Path):
    log = tmp_path / "log.jsonl"
    log.write_bytes(lines(PAIRS)[:-25])
    plan = plan_of(log)
    assert skipped(plan.ingest) == {"truncated_json": 1} and plan.ingest.requests == 5


def test_nul_bytes_inside_a_log_cost_only_their_line(tmp_path: Path):
    plan = plan_of(write(tmp_path / "log.jsonl", [*PAIRS[:3], b"\0" * 4096, *PAIRS[3:]]))
    assert skipped(plan.ingest) == {"binary_line": 1} and plan.ingest.requests == 6


def test_a_log_that_begins_with_nul_bytes_is_still_read(tmp_path: Path):
    plan = plan_of(write(tmp_path / "log.jsonl", [b"\0" * 100, *PAIRS]))
    assert skipped(plan.ingest) == {"binary_line": 1} and plan.ingest.requests == 6


def test_byte_order_marks_and_windows_line_ends_change_nothing(tmp_path: Path):
    log = tmp_path / "log.jsonl"
    # two exports joined: a mark in the middle as well
    log.write_bytes(b"".join(b"\xef\xbb\xbf" + lines(part).replace(b"\n", b"\r\n") for part in (PAIRS[:2], PAIRS[2:])))
    plan = plan_of(log)
    assert plan.ingest.skipped.total == 0 and nanos(plan) == 6 * PAIR_NANOS


def test_blank_lines_are_no_records(tmp_path: Path):
    plan = plan_of(write(tmp_path / "log.jsonl", [b"", *PAIRS, b"  ", b"\r", b""]))
    assert plan.ingest.records == 6 and plan.inputs[0].lines == 10


def test_json_that_is_no_object_is_counted(tmp_path: Path):
    plan = plan_of(write(tmp_path / "log.jsonl", [*PAIRS, b'"text"', b"17", b"null", b"[1, 2]", b"NaN"]))
    assert skipped(plan.ingest) == {"not_an_object": 5}


def test_words_between_the_records_of_a_server_log_are_counted(tmp_path: Path):
    plan = plan_of(write(tmp_path / "log.jsonl", [b"[INFO] starting, pid 17", *PAIRS, b"[INFO] {bye}"]))
    assert plan.ingest.requests == 6 and skipped(plan.ingest) == {"invalid_json": 2}


def test_nesting_without_end_is_refused_per_line(tmp_path: Path):
    deep = b'{"request":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    plan = plan_of(write(tmp_path / "log.jsonl", [*PAIRS, deep]))
    assert skipped(plan.ingest) == {"nested_too_deeply": 1}


# --- numbers and texts that are none ---


def usage(prompt: Any, completion: Any = 17, **more: Any) -> dict[str, Any]:
    counted = {"prompt_tokens": prompt, "completion_tokens": completion, **more}
    return pair(99, response={**pair(99)["response"], "usage": counted})


def test_nan_is_no_token_count(tmp_path: Path):
    bad = [usage(float("nan")), usage(float("inf")), usage(92, float("-inf"))]
    plan = plan_of(write(tmp_path / "log.jsonl", [*PAIRS, *bad]))
    assert skipped(plan.ingest) == {"bad_number": 3} and nanos(plan) == 6 * PAIR_NANOS


@pytest.mark.parametrize("count", ["-1", "1e18", "1" + "0" * 400, "1" + "0" * 5000, '"1e18"', "1e400", "0.5", '"many"'])
def test_no_token_count_can_be_negative_absurd_or_half(tmp_path: Path, count: str):
    plan = plan_of(
        write(tmp_path / "log.jsonl", [*PAIRS, lines([usage(0)])[:-1].replace(b": 0,", f": {count},".encode())])
    )
    assert plan.ingest.requests == 6 and plan.ingest.skipped.total == 1 and nanos(plan) == 6 * PAIR_NANOS


@pytest.mark.parametrize("count", [-5, 10**18, 10**400])
@pytest.mark.parametrize("field", ["cached_tokens", "cache_write_tokens"])
def test_no_cache_can_hold_more_than_the_prompt(tmp_path: Path, count: int, field: str):
    bad = usage(92, prompt_tokens_details={field: count})
    plan = plan_of(write(tmp_path / "log.jsonl", [*PAIRS, bad]))
    assert plan.ingest.requests == 6 and plan.ingest.skipped.total == 1


def test_cached_tokens_without_an_input_count_may_be_absurd_too(tmp_path: Path):
    rows = [{**FLAT[0], "cached_tokens": 10**30, "input_tokens": ""}, *FLAT]
    plan = plan_of(write(tmp_path / "log.jsonl", rows))
    assert plan.ingest.priced == 4 and plan.ingest.records == 5


@pytest.mark.parametrize("value", [1e300, -1e300, 10**400, -5, "soon", [], {}, True, float("nan")])
def test_a_senseless_duration_cost_or_weight_loses_no_call(tmp_path: Path, value: Any):
    odd = [pair(50, latency_ms=value), pair(51, ttft_ms=value), pair(52, cost_usd=value), pair(53, elapsed_s=value)]
    plan = plan_of(write(tmp_path / "log.jsonl", [*PAIRS, *odd]))
    assert plan.ingest.requests == 10 and nanos(plan) == 10 * PAIR_NANOS


@pytest.mark.parametrize("value", [1e300, 10**400, 1e12, -3, 0, "many"])
def test_an_absurd_sample_weight_cannot_make_an_absurd_cost(tmp_path: Path, value: Any):
    plan = plan_of(write(tmp_path / "log.jsonl", [*PAIRS, pair(50, sample_weight=value)]))
    assert plan.baseline.cost_usd.value is not None and 0 <= plan.baseline.cost_usd.value < 1


def test_lone_surrogates_in_names_and_texts_are_replaced(tmp_path: Path, capsysbinary: Capture):
    odd = pair(50, text="half a \ud83d face", feature="f\udc00", user="u\ud800", tags=["t\ud83d"])
    odd["request"]["model"] = "gpt-4o-mini\ud83d"
    log = write(tmp_path / "log.jsonl", [*PAIRS, odd])
    ran = run(capsysbinary, "analyze", log, "--json", "-")
    assert (ran.code, ran.said) == (0, [])
    assert json.loads(ran.out)["unit_economics"]["by_tag"][0]["key"] == "t\ufffd"
    for name in ("trace.jsonl", "trace.parquet"):
        assert run(capsysbinary, "normalize", log, "-o", tmp_path / name).code == 0
    assert decode(b'{"a":"\\ud83d\\ude00 \\\\ud83d"}') == {"a": "😀 \\ud83d"}


def test_bytes_that_are_no_utf8_are_replaced(tmp_path: Path):
    broken = lines([pair(50, "grüße")])[:-1].replace(b"\\u00fc", b"\xfc").replace(b"\\u00df", b"\xed\xa0\xbd")
    plan = plan_of(write(tmp_path / "log.jsonl", [*PAIRS, broken]))
    assert plan.ingest.requests == 7 and plan.ingest.skipped.total == 0


# --- times ---


def test_one_file_may_write_its_times_in_every_way(tmp_path: Path):
    at = int(START)
    ways = [
        at,
        float(at) + 0.5,
        str(at),
        at * 1000,
        at * 10**6,
        at * 10**9,
        "2026-10-01T00:00:00Z",
        "2026-10-01 00:00:00",
    ]
    ways += ["2026-10-01T02:00:00+02:00", "Thu, 01 Oct 2026 00:00:00 GMT", "2026-10-01T00:00:00.1234567Z"]
    plan = plan_of(write(tmp_path / "log.jsonl", [pair(n, f"q{n}", timestamp=t) for n, t in enumerate(ways)]))
    span = plan.ingest.span
    assert (span.start, span.end) == ("2026-10-01T00:00:00.000000Z", "2026-10-01T00:00:00.500000Z")
    assert span.null_timestamps == 0 and nanos(plan) == len(ways) * PAIR_NANOS


@pytest.mark.parametrize("value", [None, "", "soon", -1, 0, 1e30, [], {}, True, float("nan"), "10000-01-01"])
def test_a_call_without_a_time_is_priced_but_outside_the_time_span(tmp_path: Path, value: Any):
    timeless = pair(50, timestamp=value)
    plan = plan_of(write(tmp_path / "log.jsonl", [*PAIRS, timeless]))
    assert plan.ingest.span.null_timestamps == 1 and plan.ingest.requests == 7
    assert plan.ingest.span.end == "2026-10-01T00:00:05.000000Z" and nanos(plan) == 7 * PAIR_NANOS


def test_a_log_without_any_time_is_priced_at_the_newest_prices(tmp_path: Path):
    plan = plan_of(write(tmp_path / "log.jsonl", [pair(n, timestamp=None) for n in range(3)]))
    assert plan.ingest.span.null_timestamps == 3 and plan.ingest.span.days is None and nanos(plan) == 3 * PAIR_NANOS


@pytest.mark.parametrize("times", [("0001-01-01", "9999-12-31"), (1.0, 9.9e16), ("1969-12-31T23:59:59", "2026-10-01")])
def test_times_thousands_of_years_apart_do_no_harm(tmp_path: Path, times: tuple[Any, Any]):
    odd = [pair(50 + n, timestamp=time) for n, time in enumerate(times)]
    plan = plan_of(write(tmp_path / "log.jsonl", [*PAIRS, *odd]))
    assert plan.ingest.requests == 8


def test_clocks_that_run_backwards_are_counted(tmp_path: Path):
    plan = plan_of(write(tmp_path / "log.jsonl", PAIRS[::-1]))
    assert plan.ingest.span.backwards == 5 and plan.ingest.span.start == "2026-10-01T00:00:00.000000Z"
    assert any("time order" in warning for warning in plan.warnings)


# --- files that are no logs ---


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\n \n\t", "blank"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "PNG"),
        (b"PK\x03\x04" + bytes(500), "zip"),
        (bytes(range(256)) * 40, "binary"),
        (random.Random(7).randbytes(5000), "binary"),
        ("id,text\n1,grüße\n".encode("utf-16"), "id, text"),
        ("id,text\n1,grüße\n".encode("utf-16-le"), "UTF-16"),
        (b"PAR1" + bytes(50), "damaged"),
        (b"\x1f\x8b" + bytes(50), "decompressed"),
        (b"\x28\xb5\x2f\xfd" + bytes(50), "decompressed"),
        (b"Dear all,\n\nthe report is attached.\n", "no JSON object"),
        (b"{", "no JSON object"),
        (b"[]", "no JSON object"),
        (b"[1, 2, 3]", "no JSON object"),
        (b"{}\n", "no known log format"),
        (b"name,size,colour\nbolt,3,red\nnut,4,blue\n", "name, size, colour"),
        (b'{"query": "how many?", "answers": ["7", "seven"]}\n', "query, answers"),
        (json.dumps({"queries": {"1": "how many?"}, "answers": {"1": ["7"]}}).encode(), "queries, answers"),
        (b'{"a": 1, "b": {"c": []}}\n' * 10, "a, b"),
    ],
)
def test_a_file_that_is_no_log_is_refused_by_what_it_is(tmp_path: Path, content: bytes, said: str):
    log = tmp_path / "file.bin"
    log.write_bytes(content)
    assert said in refusal(log).message


def test_a_refusal_on_the_command_line_is_two_lines_and_exit_code_1(
    tmp_path: Path, capsysbinary: Capture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("parts.csv").write_text("name,size\nbolt,3\n")
    for command, option in (("analyze", "--json"), ("normalize", "-o")):
        ran = run(capsysbinary, command, "parts.csv", option, "out.jsonl")
        assert (ran.code, ran.out, len(ran.said)) == (1, b"", 2)
        assert ran.said[0].startswith("error: parts.csv: ") and ran.said[1].startswith("hint: ")
    assert [path.name for path in tmp_path.iterdir()] == ["parts.csv"]


def test_what_is_not_there_or_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert "no such file" in refusal(tmp_path / "log.jsonl").message
    assert "no such file" in refusal(tmp_path / "*.jsonl").message
    assert "no files" in refusal(tmp_path).message
    log = write(tmp_path / "log.jsonl", PAIRS)

    def forbidden(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", forbidden)
        assert "Permission denied" in refusal(log).message


def test_an_unknown_format_and_a_wrong_map_are_wrong_usage(tmp_path: Path):
    log = write(tmp_path / "log.jsonl", PAIRS)
    for flags in ({"format": "pair"}, {"map": ("id=colour",)}):
        with pytest.raises(UsageError):
            plan_of(log, **flags)


def test_a_log_read_as_the_wrong_dialect_says_so(tmp_path: Path):
    with pytest.raises(CostplanError, match="no record in it is a model call: 4 otlp_no_spans"):
        plan_of(write(tmp_path / "log.jsonl", FLAT), format="otlp")


def test_strict_stops_at_the_first_bad_record_with_its_line(tmp_path: Path):
    log = write(tmp_path / "log.jsonl", [*PAIRS, b"{oops"])
    with pytest.raises(CostplanError) as caught:
        plan_of(log, strict=True)
    assert caught.value.message.startswith(f"{log}:7: ")


# --- size ---


def peak_of(log: Path) -> tuple[subprocess.CompletedProcess[bytes], int]:
    """(analyze in a process of its own, its peak memory in MB)."""
    code = (
        "import sys; sys.argv[0] = 'costplan'\n"
        "from costplan.cli import main\n"
        "try: main()\n"
        "finally:\n"
        # not ru_maxrss: that starts from what the process held that forked this one
        "    sys.stderr.write('\\n%d' % (int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) // 1024))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, "analyze", log, "--workers", "1", "--json", "-"],
        capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=120, check=False,
    )  # fmt: skip
    said, _, peak = run.stderr.rpartition(b"\n")
    run.stderr = said
    return run, int(peak)


def assert_refused(run: subprocess.CompletedProcess[bytes]) -> None:
    """Exit code 1, one error line and one hint line."""
    said = run.stderr.decode().splitlines()
    assert run.returncode == 1 and len(said) == 2, said
    assert said[0].startswith("error: ") and said[1].startswith("hint: ")


def test_a_line_of_100_megabytes_is_counted_and_never_held(tmp_path: Path):
    log = tmp_path / "log.jsonl"
    with log.open("wb") as file:
        file.write(lines(PAIRS[:3]) + b'{"request": {"messages": "')
        for _ in range(100):
            file.write(b"a" * 1_000_000)
        file.write(b'"}, "response": {}}\n' + lines(PAIRS[3:]))
    run, peak = peak_of(log)
    books = json.loads(run.stdout)["ingest"]
    assert books["requests"] == 6 and books["skipped"]["reasons"].keys() == {"line_too_long"}
    assert books["skipped"]["reasons"]["line_too_long"]["first_lines"] == [f"{log}:4"]
    assert peak < 450, peak


def test_a_file_of_one_endless_line_is_refused_without_being_held(tmp_path: Path):
    log = tmp_path / "log.jsonl"
    with log.open("wb") as file:
        file.write(b'{"request": "')
        for _ in range(100):
            file.write(b"a" * 1_000_000)
    run, peak = peak_of(log)
    assert_refused(run)
    assert peak < 450, peak


@pytest.mark.parametrize("packed", ["gz", "zst"])
@pytest.mark.parametrize(
    ("head", "filler"),
    [(b"", b"\0"), (b'{"request": "', b"a"), (lines(PAIRS), b"a"), (b"a,b\n1,2\n", b"a")],
    ids=["zeros", "one line", "one line after records", "a table's cell"],
)
def test_a_decompression_bomb_is_stopped(tmp_path: Path, packed: str, head: bytes, filler: bytes):
    log = tmp_path / f"log.jsonl.{packed}"
    pack = gzip.compress if packed == "gz" else zstandard.compress
    log.write_bytes(pack(head) + pack(filler * 10_000_000) * 30)
    assert log.stat().st_size < 2_000_000
    run, peak = peak_of(log)
    assert_refused(run)
    assert peak < 500, peak


# --- containers ---


def test_a_truncated_gz_gives_every_line_before_the_cut(tmp_path: Path):
    log = tmp_path / "log.jsonl.gz"
    noise = random.Random(7)
    many = [pair(n, noise.randbytes(400).hex()) for n in range(2000)]
    log.write_bytes(gzip.compress(lines(many), mtime=0)[:-200_000])
    plan = plan_of(log)
    assert 1000 < plan.ingest.requests < 2000
    assert skipped(plan.ingest) == {"damaged_compression": 1, "truncated_json": 1}


@pytest.mark.parametrize("end", [b"trailing garbage", b"\x1f\x8b\x08"])
def test_garbage_behind_a_gz_is_counted(tmp_path: Path, end: bytes):
    log = tmp_path / "log.jsonl.gz"
    log.write_bytes(gzip.compress(lines(PAIRS)) + end)
    plan = plan_of(log)
    assert plan.ingest.requests == 6 and plan.ingest.skipped.total <= 1


def test_a_damaged_table_and_a_damaged_array_are_read_up_to_the_damage(tmp_path: Path):
    rows = [{**FLAT[0], "timestamp": START + n} for n in range(5000)]
    array = tmp_path / "rows.json.gz"
    array.write_bytes(gzip.compress(json.dumps(rows).encode(), mtime=0)[:-4000])
    table = tmp_path / "rows.csv.gz"
    text = "timestamp,model,input_tokens,output_tokens\n" + "".join(
        f"{START + n},gpt-4o-mini,92,17\n" for n in range(9000)
    )
    table.write_bytes(gzip.compress(text.encode(), mtime=0)[:-4000])
    for log in (array, table):
        plan = plan_of(log)
        assert plan.ingest.requests > 1000 and skipped(plan.ingest)["damaged_compression"] == 1


def test_gz_members_one_after_the_other_and_zstd_frames_are_one_log(tmp_path: Path):
    (tmp_path / "a.gz").write_bytes(b"".join(gzip.compress(lines([p])) for p in PAIRS))
    (tmp_path / "b.zst").write_bytes(b"".join(zstandard.compress(lines([p])) for p in PAIRS))
    for name in ("a.gz", "b.zst"):
        plan = plan_of(tmp_path / name)
        assert plan.ingest.requests == 6 and plan.ingest.skipped.total == 0


def parquet(path: Path, rows: list[dict[str, Any]], **options: Any) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path, **options)
    return path


WRAPPED = {
    "array": json.dumps(PAIRS),
    "pretty array": json.dumps(PAIRS, indent=2),
    "array with blanks": " \n [ \n" + ",\n\n".join(map(json.dumps, PAIRS)) + "\n]\n",
    "pretty objects": "\n".join(json.dumps(p, indent=2) for p in PAIRS),
    "wrapper": json.dumps({"data": PAIRS, "meta": {"page": 1}}),
    "pretty wrapper": json.dumps({"meta": {"page": 1}, "data": PAIRS}, indent=4),
    "wrapper, one element a line": '{"data": [\n' + ",\n".join(map(json.dumps, PAIRS)) + "\n]}",
    "pages": "\n".join(json.dumps({"data": PAIRS[i : i + 2]}) for i in (0, 2, 4)),
    "arrays line by line": "\n".join(json.dumps(PAIRS[i : i + 2]) for i in (0, 2, 4)),
}


@pytest.mark.parametrize("shape", WRAPPED)
def test_json_in_every_wrapping_is_the_same_log(tmp_path: Path, shape: str):
    log = tmp_path / "log.json"
    log.write_text(WRAPPED[shape])
    plan = plan_of(log)
    assert plan.ingest.requests == 6 and plan.ingest.skipped.total == 0 and nanos(plan) == 6 * PAIR_NANOS


def test_one_pretty_printed_object_is_one_record(tmp_path: Path):
    (tmp_path / "log.json").write_text("\ufeff" + json.dumps(PAIRS[0], indent=2))
    assert plan_of(tmp_path / "log.json").ingest.records == 1


def test_elements_of_an_array_that_are_no_objects_are_counted(tmp_path: Path):
    mixed = [*PAIRS[:3], 5, None, "text", [1, 2], *PAIRS[3:], True]
    (tmp_path / "log.json").write_text(json.dumps(mixed))
    plan = plan_of(tmp_path / "log.json")
    assert plan.ingest.requests == 6 and skipped(plan.ingest) == {"not_an_object": 5}


def test_an_array_cut_in_the_middle_keeps_what_stands_before(tmp_path: Path):
    (tmp_path / "log.json").write_text(json.dumps(PAIRS, indent=2)[:-60])
    plan = plan_of(tmp_path / "log.json")
    assert plan.ingest.requests == 5 and skipped(plan.ingest) == {"truncated_json": 1}


def test_one_bad_element_does_not_take_its_page_along(tmp_path: Path):
    page = {"data": [*PAIRS, usage(-5), usage("many"), 7]}
    plan = plan_of(write(tmp_path / "log.jsonl", [page]))
    assert plan.ingest.requests == 6 and plan.ingest.records == 9


def test_a_table_may_quote_line_ends_and_has_bad_rows_counted(tmp_path: Path):
    table = tmp_path / "log.csv"
    text = ["timestamp,model,input_tokens,output_tokens,note"]
    text += [f'{START + n},gpt-4o-mini,92,17,"first ""line"",\nsecond"' for n in range(4)]
    text += [f"{START},gpt-4o-mini,92", f"{START},gpt-4o-mini,92,17,x,y,z", ""]
    table.write_bytes("\r\n".join(["", *text]).encode("utf-8-sig"))
    plan = plan_of(table)
    assert plan.ingest.requests == 4 and skipped(plan.ingest) == {"wrong_field_count": 2}
    assert nanos(plan) == 4 * PAIR_NANOS


def test_a_quote_that_never_closes_does_not_make_one_row_of_the_rest(tmp_path: Path):
    table = tmp_path / "log.csv"
    rows = [f"{START + n},gpt-4o-mini,92,17,fine" for n in range(10)]
    rows[6] = rows[6].replace("fine", '"open')
    table.write_text("\n".join(["timestamp,model,input_tokens,output_tokens,note", *rows]))
    plan = plan_of(table)
    assert plan.ingest.requests == 6 and skipped(plan.ingest) == {"invalid_csv": 1}


def test_tables_with_semicolons_tabs_and_bars_are_tables(tmp_path: Path):
    for mark in ";\t|":
        table = tmp_path / "log.csv"
        header = mark.join(["timestamp", "model", "input_tokens", "output_tokens"])
        table.write_text(header + "\n" + mark.join([str(START), "gpt-4o-mini", "92", "17"]) + "\n")
        assert nanos(plan_of(table)) == PAIR_NANOS


def test_parquet_rows_are_records_whatever_their_column_types(tmp_path: Path):
    from datetime import UTC, datetime
    from decimal import Decimal

    typed = [
        {"timestamp": datetime.fromtimestamp(START + n, UTC), "model": "gpt-4o-mini", "input_tokens": Decimal(92),
         "output_tokens": 17.0, "user": f"u{n}"}
        for n in range(6)
    ]  # fmt: skip
    plan = plan_of(parquet(tmp_path / "log.parquet", typed, row_group_size=2))
    assert plan.ingest.requests == 6 and plan.inputs[0].lines == 6 and nanos(plan) == 6 * PAIR_NANOS
    nested = plan_of(parquet(tmp_path / "pairs.parquet", PAIRS))
    assert nanos(nested) == 6 * PAIR_NANOS


def test_a_parquet_file_with_a_damaged_page_is_counted(tmp_path: Path):
    log = parquet(tmp_path / "log.parquet", [{**FLAT[0], "user": f"u{n}"} for n in range(4000)], row_group_size=1000)
    data = bytearray(log.read_bytes())
    data[200:600] = b"\xff" * 400
    log.write_bytes(bytes(data))
    plan = plan_of(log)
    assert plan.ingest.requests == 3000 and skipped(plan.ingest) == {"damaged_parquet": 1}


# --- several files ---


def test_a_file_may_mix_schemas_line_by_line(tmp_path: Path):
    samples = ["litellm_standard_logging_payload", "langfuse_observations_v2", "otlp_genai", "pairs_anthropic"]
    mixed = [json.loads(line) for name in samples for line in (ROOT / f"traces/{name}.jsonl").read_text().splitlines()]
    alone = [plan_of(ROOT / f"traces/{name}.jsonl") for name in samples]
    log = write(tmp_path / "log.jsonl", [*PAIRS * 5, *mixed, {"colour": "red"}])
    plan = plan_of(log)
    assert plan.inputs[0].format == "pairs"
    assert plan.ingest.priced == 6 + sum(p.ingest.priced for p in alone)
    assert nanos(plan) == 6 * PAIR_NANOS + sum(map(nanos, alone))


def test_a_directory_is_read_without_what_is_no_log(tmp_path: Path):
    folder = tmp_path / "logs"
    (folder / "deep").mkdir(parents=True)
    write(folder / "a.jsonl", PAIRS[:2])
    (folder / "deep/b.json.gz").write_bytes(gzip.compress(json.dumps(PAIRS[2:4]).encode()))
    parquet(folder / "deep/c.parquet", PAIRS[4:])
    (folder / "README.md").write_text("# logs")
    (folder / ".hidden.jsonl").write_text("{")
    (folder / "chart.png").write_bytes(b"\x89PNG")
    (folder / "rotated.jsonl").write_bytes(b"")
    (folder / "notes.txt").write_text("call Anna\n")
    plan = plan_of(folder)
    assert [Path(source.path).name for source in plan.inputs] == ["a.jsonl", "b.json.gz", "c.parquet"]
    assert plan.ingest.requests == 6 and skipped(plan.ingest) == {"file_is_no_log": 1}
    assert plan.ingest.skipped.reasons["file_is_no_log"].first_lines == [f"{folder / 'notes.txt'}:1"]
    assert nanos(plan_of(tmp_path / "*/*.jsonl")) == 2 * PAIR_NANOS


def test_a_directory_of_nothing_but_broken_files_is_refused(tmp_path: Path):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(CostplanError, match="empty"):
        plan_of(tmp_path)


def test_a_file_named_twice_or_in_two_ways_is_read_once(tmp_path: Path):
    log = write(tmp_path / "log.jsonl", PAIRS)
    assert plan_of(log, log, tmp_path).ingest.records == 6


def test_stdin_is_a_log_like_any_other(tmp_path: Path, capsysbinary: Capture):
    packed = gzip.compress(lines(PAIRS))
    for data in (lines(PAIRS), packed):
        ran = run(capsysbinary, "analyze", "-", "--json", "-", stdin=data)
        assert (ran.code, ran.said) == (0, [])
        document = json.loads(ran.out)
        assert document["ingest"]["requests"] == 6 and document["inputs"][0]["path"] == "stdin"
    ran = run(capsysbinary, "normalize", "-", "-o", tmp_path / "trace.jsonl", stdin=packed)
    assert ran.code == 0 and len((tmp_path / "trace.jsonl").read_bytes().splitlines()) == 6
    assert run(capsysbinary, "analyze", "-").code == 1


def test_a_pipe_named_on_the_command_line_is_read(tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(lines(PAIRS)))
    writer.start()
    assert plan_of(pipe).ingest.requests == 6
    writer.join()


# --- whatever comes ---

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(), st.text(max_size=8),
    st.sampled_from([92, 17, 0, -1, "gpt-4o-mini", START, "2026-10-01T00:00:00Z", "\ud83d", "error", 429]),
)  # fmt: skip
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
VALID: list[Any] = [
    pair(1), pair(1), pair(2, "again"), pair(2, "other"), pair(3, status_code=500, response={}),
    pair(4, cache_hit=True), {**FLAT[0], "model": "gpt-4o"}, {"custom_id": "a", "body": PAIRS[0]["request"]},
    {"custom_id": "a", "response": {"status_code": 200, "body": {**PAIRS[0]["response"], "model": "gpt-4o"}}},
    {"url": "https://api.openai.com/v1/files", "method": "GET", "request": {}, "response": {}},
    pair(5, request={**pair(5)["request"], "model": "acme-7b"}),
]  # fmt: skip
KEYS = sorted(
    {key for record in VALID for key in record} | {"usage", "model", "messages", "input_tokens", "duration_s"}
)


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, Any]:
    """A valid record in which one field, one usage count or one reply is anything."""
    record = json.loads(json.dumps(draw(st.sampled_from(VALID))))
    target = draw(st.sampled_from(["record", "request", "response", "usage"]))
    inner = record
    if target != "record" and isinstance(record.get("response"), dict) and isinstance(record.get("request"), dict):
        inner = record["request"] if target == "request" else record["response"]
        inner = inner.get("usage", inner) if target == "usage" else inner
    inner[draw(st.sampled_from([*inner, *KEYS]))] = draw(anything)
    return record


records = st.lists(st.sampled_from(VALID) | damaged() | anything | st.binary(max_size=12), min_size=1, max_size=12)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records)
def test_the_books_balance_for_any_records(tmp_path: Path, found: list[Any]):
    log = tmp_path / "log.jsonl"
    write(log, [pair(0), *(r.replace(b"\n", b"") if isinstance(r, bytes) else r for r in found)])
    plan = plan_of(log)
    assert plan.baseline.cost_usd.value is not None and plan.baseline.cost_usd.value >= 0
    non_blank = sum(1 for line in log.read_bytes().split(b"\n") if line.strip())
    assert plan.ingest.records == non_blank


HEADS = [b"", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1", b"[{", b'{"', b"a,b\n"]


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=400), st.sampled_from([b"", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1", b"[{", b'{"', b"a,b\n"])
)
def test_any_bytes_are_a_plan_or_a_refusal(tmp_path: Path, content: bytes, head: bytes):
    log = tmp_path / "log"
    log.write_bytes(head + content)
    try:
        plan_of(log)
    except CostplanError as error:
        assert error.hint and "\n" not in error.message + error.hint
