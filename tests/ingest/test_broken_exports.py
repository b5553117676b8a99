"""Exports as spreadsheets and mail leave them: loaded with the right figures, or refused with what to do."""

import gzip
import io
import zipfile
from pathlib import Path

import pytest
from costplan.errors import CostplanError
from costplan.ingest.table import form_of
from costplan.results import Plan
from hypothesis import given
from hypothesis import strategies as st
from tests.ingest.logs import plan_of, skipped

HEADER = "Timestamp,Model,Input Tokens,Output Tokens,Team"
ROWS = ["2026-11-02T10:00:00Z,gpt-4o-mini,1000,200,Köln", "2026-11-16T12:30:00Z,gpt-4o-mini,3000,400,Köln"]
TABLE = "\n".join([HEADER, *ROWS]) + "\n"
USD = (4000 * 0.15 + 600 * 0.60) / 1e6
"""By hand: gpt-4o-mini at $0.15 and $0.60 per million tokens."""


def loaded(path: Path, content: bytes | str) -> Plan:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return plan_of(path, semantic="off")


def as_planned(plan: Plan, *, dated: bool = True) -> None:
    """The two calls of the table, at their dollars and on their days."""
    assert plan.ingest.requests == plan.ingest.priced == 2
    assert (plan.baseline.input_tokens, plan.baseline.output_tokens) == (4000, 600)
    assert plan.baseline.cost_usd.value == pytest.approx(USD, abs=1e-12)
    if dated:
        assert [row.key for row in plan.unit_economics.by_day] == ["2026-11-02", "2026-11-16"]


def refused(path: Path, content: bytes | str) -> tuple[str, str]:
    """(error without the path, hint)"""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CostplanError) as caught:
        plan_of(path, semantic="off")
    assert "\n" not in caught.value.message + caught.value.hint
    return caught.value.message.replace(str(path), "FILE"), caught.value.hint.replace(str(path), "FILE")


def test_windows_1252_text_is_read_as_such(tmp_path: Path):
    plan = loaded(tmp_path / "a.csv", TABLE.replace("Köln", "Köln €").encode("cp1252"))
    as_planned(plan)
    assert [row.key for row in plan.unit_economics.by_tag] == ["Köln €"]


def test_latin_1_and_utf_8_lines_in_one_file_both_keep_their_letters(tmp_path: Path):
    plan = loaded(tmp_path / "a.csv", "\n".join([HEADER, ROWS[0]]).encode("latin-1") + b"\n" + ROWS[1].encode())
    as_planned(plan)
    assert [row.key for row in plan.unit_economics.by_tag] == ["Köln"]


def test_semicolons_with_decimal_commas(tmp_path: Path):
    text = "Timestamp;Model;Input Tokens;Output Tokens;Cost\n"
    text += "2026-11-02 10:00;gpt-4o-mini;1000;200;0,25\n2026-11-16 12:30;gpt-4o-mini;3000;400;1,5\n"
    plan = loaded(tmp_path / "a.csv", text)
    as_planned(plan)
    assert plan.baseline.cost_usd_reported == pytest.approx(1.75)


def test_tabs_part_the_columns(tmp_path: Path):
    as_planned(loaded(tmp_path / "a.tsv", TABLE.replace(",", "\t")))


@pytest.mark.parametrize(("first", "second"), [("46328", "46342"), ("46328.4166667", "46342.5208333")])
def test_days_as_excel_counts_them(tmp_path: Path, first: str, second: str):
    """46,328 days from 1899-12-30 is 2026-11-02."""
    text = TABLE.replace("Timestamp", "Date").replace("2026-11-02T10:00:00Z", first)
    plan = loaded(tmp_path / "a.csv", text.replace("2026-11-16T12:30:00Z", second).replace("Date", "Created"))
    as_planned(plan)
    assert plan.ingest.span.start is not None
    assert plan.ingest.span.start.startswith("2026-11-02T10:00:00" if "." in first else "2026-11-02T00:00:00")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("02/11/2026 10:00", "16/11/2026 12:30"),
        ("2.11.26", "16.11.26"),
        ("11/02/2026 10:00:00 AM", "11/16/2026 12:30:00 PM"),
        ("2026/11/02 10:00", "2026/11/16 12:30"),
    ],
)
def test_dates_by_day_or_month_first_where_one_date_tells(tmp_path: Path, first: str, second: str):
    text = TABLE.replace("2026-11-02T10:00:00Z", first).replace("2026-11-16T12:30:00Z", second)
    plan = loaded(tmp_path / "a.csv", text)
    as_planned(plan)
    assert plan.ingest.span.end is not None
    assert plan.ingest.span.end.startswith("2026-11-16T12:30" if ":" in second else "2026-11-16T00:00")


def test_dates_that_may_be_either_are_refused(tmp_path: Path):
    text = TABLE.replace("2026-11-02T10:00:00Z", "02/11/2026").replace("2026-11-16T12:30:00Z", "03/11/2026")
    error, hint = refused(tmp_path / "a.csv", text)
    assert error == "FILE: 02/11/2026 may be a day of either of two months: no date in the first rows tells"
    assert hint.startswith("write the dates as YYYY-MM-DD")


def test_thousands_are_parted(tmp_path: Path):
    text = (
        TABLE.replace("1000", '"1,000"')
        .replace("3000", '"3,000"')
        .replace("Team", "Cost")
        .replace("Köln", '"$1,250.50"')
    )
    plan = loaded(tmp_path / "a.csv", text)
    as_planned(plan)
    assert plan.baseline.cost_usd_reported == pytest.approx(2501.0)


@pytest.mark.parametrize("separator", ["'", " ", "\u00a0", "\u202f"])
def test_thousands_are_parted_by_blanks_and_apostrophes(tmp_path: Path, separator: str):
    text = TABLE.replace(",1000,", f",1{separator}000,").replace(",3000,", f",3{separator}000,")
    as_planned(loaded(tmp_path / "a.csv", text))


def test_points_for_thousands_and_commas_for_decimals(tmp_path: Path):
    text = TABLE.replace(",", ";").replace("1000", "1.000").replace("3000", "3.000").replace("Team", "Cost")
    plan = loaded(tmp_path / "a.csv", text.replace("Köln", "1.234,56"))
    as_planned(plan)
    assert plan.baseline.cost_usd_reported == pytest.approx(2469.12)


def test_a_header_of_two_rows_merged_over_columns(tmp_path: Path):
    text = "Timestamp,Model,Input,,Output,\n,,Tokens,Share,Tokens,Share\n"
    text += "2026-11-02T10:00:00Z,gpt-4o-mini,1000,0.5,200,0.5\n2026-11-16T12:30:00Z,gpt-4o-mini,3000,0.5,400,0.5\n"
    as_planned(loaded(tmp_path / "a.csv", text))


def test_two_columns_of_one_name_that_differ_are_refused(tmp_path: Path):
    text = TABLE.replace("Output Tokens", "Input Tokens")
    error, hint = refused(tmp_path / "a.csv", text)
    assert error == "FILE: two columns are called 'Input Tokens' and differ"
    assert hint == "give each column its own name in the first line, or delete the one that is not meant"


def test_two_columns_of_one_name_that_say_the_same_are_one(tmp_path: Path):
    doubled = [HEADER + ",Model", *(row + ",gpt-4o-mini" for row in ROWS)]
    as_planned(loaded(tmp_path / "a.csv", "\n".join(doubled)))


@pytest.mark.parametrize("title", ["Usage report\nExported 2026-11-20, by finance\n\n", "Usage report,,,,\n,,,,\n"])
def test_title_lines_stand_above_the_header(tmp_path: Path, title: str):
    plan = loaded(tmp_path / "a.csv", title + TABLE)
    as_planned(plan)
    assert plan.ingest.records == 2


@pytest.mark.parametrize("mark", ["utf-16", "utf-16-be"])
def test_utf_16_with_its_mark(tmp_path: Path, mark: str):
    plan = loaded(tmp_path / "a.csv", ("\ufeff" if mark == "utf-16-be" else "").encode(mark) + TABLE.encode(mark))
    as_planned(plan)
    assert [row.key for row in plan.unit_economics.by_tag] == ["Köln"]


def test_utf_16_without_its_mark_is_refused_with_the_command(tmp_path: Path):
    error, hint = refused(tmp_path / "a.csv", TABLE.replace("ö", "o").encode("utf-16-le"))
    assert error == "FILE: the text is UTF-16"
    assert hint == "convert it: iconv -f UTF-16LE -t UTF-8 FILE > FILE.utf8"


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_a_zip_of_files_is_read_like_a_folder(tmp_path: Path):
    parts = {f"2026/{n}.csv": f"{HEADER}\n{row}\n".encode() for n, row in enumerate(ROWS)}
    plan = loaded(tmp_path / "a.zip", zipped({**parts, "__MACOSX/x.csv": b"\0", "readme.pdf": b"%PDF-1.7"}))
    as_planned(plan)
    assert [source.path.removeprefix(f"{tmp_path}/") for source in plan.inputs] == [
        "a.zip/2026/0.csv",
        "a.zip/2026/1.csv",
    ]
    assert skipped(plan.ingest) == {"file_is_no_log": 1}


def test_a_gzip_file_inside_a_zip(tmp_path: Path):
    as_planned(loaded(tmp_path / "a.zip", zipped({"log.csv.gz": gzip.compress(TABLE.encode())})))


def test_an_archive_that_would_fill_the_disk_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("costplan.ingest.archive.BOMB_FLOOR_BYTES", 1 << 20)
    error, hint = refused(tmp_path / "a.zip", zipped({"bomb.csv": b"0" * (5 << 20)}))
    assert error == "FILE: expands more than 250-fold, stopped as a decompression bomb"
    assert hint == "if you trust the file, unzip it and name the files: unzip FILE -d logs && costplan analyze logs"


def test_a_damaged_archive_is_refused(tmp_path: Path):
    error, hint = refused(tmp_path / "a.zip", zipped({"a.csv": TABLE.encode()})[:-30])
    assert error == "FILE: the zip archive is damaged or of an unknown kind" and "unzip FILE" in hint


def test_totals_below_the_rows_are_counted_apart(tmp_path: Path):
    plan = loaded(tmp_path / "a.csv", TABLE + "Total,,4000,600,\n,,,,\n")
    as_planned(plan)
    assert skipped(plan.ingest) == {"totals_row": 1} and plan.ingest.records == 3


def test_line_ends_and_delimiters_inside_quotes(tmp_path: Path):
    as_planned(loaded(tmp_path / "a.csv", TABLE.replace("Köln", '"Köln,\nMitte;\t|"')))


def test_zero_bytes_between_the_words(tmp_path: Path):
    plan = loaded(tmp_path / "a.csv", TABLE.replace("gpt", "g\0pt").replace("Team", "Te\0am"))
    as_planned(plan)
    assert [row.key for row in plan.unit_economics.by_model] == ["gpt-4o-mini"]


def test_empty_columns_are_left_out(tmp_path: Path):
    wide = [",".join(["", *line.split(","), "", ""]) for line in [HEADER, *ROWS]]
    as_planned(loaded(tmp_path / "a.csv", "\n".join(wide) + ",,,\n"))


def test_a_workbook_is_refused_with_how_to_save_it(tmp_path: Path):
    content = zipped({"[Content_Types].xml": b"<x/>", "xl/workbook.xml": b"<x/>", "xl/worksheets/sheet1.xml": b"<x/>"})
    error, hint = refused(tmp_path / "a.xlsx", content)
    assert error == "FILE: this is an Excel workbook or another office document, not a log"
    assert hint == "save its sheet as CSV UTF-8 (File > Save As), and name that file"
    error, _ = refused(tmp_path / "a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500))
    assert error == "FILE: this is an old Excel workbook, not a log"


@given(st.lists(st.floats(0.001, 1e7), min_size=2, max_size=8))
def test_a_number_is_the_same_in_either_spelling(amounts: list[float]):
    """Costs with four decimals tell their sign themselves: 1,234.5000 and 1.234,5000 are one number."""
    rounded = [round(amount, 4) for amount in amounts]
    english = [f"{amount:,.4f}" for amount in rounded]
    german = [text.translate(str.maketrans(",.", ".,")) for text in english]
    for spelled in (english, german):
        form = form_of("day;cost;x\n" + "".join(f"a;{text};b\n" for text in spelled), "a.csv", whole=True)
        rows = [form.row(["a", text, "b"]) for text in spelled]
        assert [float(row[1]) for row in rows if row] == rounded


@given(st.text(max_size=300))
def test_any_head_has_a_layout_or_an_error(head: str):
    try:
        form = form_of(head, "a.csv", whole=True)
    except CostplanError:
        return
    assert form.above >= 1 and len([name for name in form.header if name]) == len(
        {name for name in form.header if name}
    )
