"""`costplan route` as a user meets it: reports as reviewed, amounts by hand, quality in every form, mistakes."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from costplan.results.route import COMPLEXITY_SAYS, route_schema
from tests.route.logs import by_hand, planted, record, save, write
from tests.test_cli import Run, mistake, run
from tests.test_startup import HEAVY, WATCHED, loaded_by

__all__ = ["run"]
Golden = Callable[[str, str], None]
REPORTS = {"terminal.txt": [], "verbose.txt": ["--verbose", "--explain"], "report.md": ["--md", "-", "--explain"]}
QUALITY = [
    {"call_site": "*", "model": "gpt-4o", "score": 0.90, "n": 4_000},
    {"call_site": "*", "model": "gpt-4o-mini", "score": 0.89, "n": 4_000},
    {"call_site": "agent", "model": "gpt-4o", "score": 0.90, "n": 1_000},
    {"call_site": "agent", "model": "gpt-4o-mini", "score": 0.70, "n": 1_000},
]
NOW, MINI = 0.004, (600 * 0.15 + 400 * 0.075 + 156 * 0.6) / 1e6
"""gpt-4o at 2.50 / 1.25 cached / 10, gpt-4o-mini at 0.15 / 0.075 / 0.60 USD per million: 600 fresh, 400 cached, 200
out; of the cheap model 0.78 times as many out."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> Path:
    """A folder with the logs, in which the command runs."""
    monkeypatch.chdir(tmp_path)
    by_hand(tmp_path / "hand.jsonl")
    save(tmp_path / "quality.csv", QUALITY)
    return tmp_path


def routed(run: Run, *arguments: str) -> dict[str, Any]:
    ran = run("route", *arguments, "--json", "-")
    assert (ran.code, ran.err) == (0, ""), ran.err
    return json.loads(ran.out)


def sites(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {site["call_site"]: site for site in document["by_call_site"]}


def policies(document: dict[str, Any]) -> dict[tuple[str, bool], dict[str, Any]]:
    return {(row["policy"], row["verified"]): row for row in document["policies"]}


@pytest.mark.parametrize("name", REPORTS)
def test_the_report_reads_as_reviewed(run: Run, here: Path, golden: Golden, name: str) -> None:
    ran = run("route", "hand.jsonl", "--quality", "quality.csv", *REPORTS[name])
    assert (ran.code, ran.err) == (0, "")
    golden(f"route/{name}", ran.out)


def test_the_document_fits_its_schema(run: Run, here: Path, golden: Golden) -> None:
    document = routed(run, "hand.jsonl", "--quality", "quality.csv", "--explain")
    jsonschema.Draft202012Validator(route_schema()).validate(document)
    golden("route/route.json", json.dumps({**document, "explain": document["explain"][:2]}, indent=2))
    golden("schema/route.json", run("schema", "route").out)


def test_amounts_are_those_worked_out_by_hand(run: Run, here: Path) -> None:
    document = routed(run, "hand.jsonl")
    assert document["not_routable"] == {"failed": 1, "without a price": 1} and document["routable"] == 6
    faq = sites(document)["faq"]
    assert faq["cost_usd"] == pytest.approx(2 * NOW) and faq["candidate"] == "gpt-4o-mini"
    assert faq["saving_usd"]["value"] == pytest.approx(2 * (NOW - MINI))
    dear = (600 * 0.15 + 400 * 0.075 + 246 * 0.6) / 1e6  # 1.23 times 200 tokens out
    assert faq["saving_usd"]["low"] == pytest.approx(2 * (NOW - dear))
    assert faq["break_even_gap"]["value"] == pytest.approx((NOW - MINI) / NOW)
    penalised = sites(routed(run, "hand.jsonl", "--penalty", "0.1"))["faq"]
    assert penalised["break_even_gap"]["value"] == pytest.approx((NOW - MINI) / (NOW + 0.1))
    fixed = sites(routed(run, "hand.jsonl", "--output-ratio", "1"))["faq"]["saving_usd"]
    assert fixed["low"] == fixed["high"] == pytest.approx(2 * (NOW - (600 * 0.15 + 400 * 0.075 + 200 * 0.6) / 1e6))


def test_without_labels_nothing_is_said_of_quality(run: Run, here: Path) -> None:
    document = routed(run, "hand.jsonl")
    assert document["tier"] == "T0" and document["labels"] is None
    assert document["complexity"]["says"] == COMPLEXITY_SAYS
    for row in (*document["by_call_site"], *document["policies"]):
        assert row["loss_points"]["value"] is None
    assert {site["advice"] for site in document["by_call_site"]} == {"test"}
    assert not any(row["verified"] for row in document["policies"])
    test = document["experiments"][0]
    assert test["pairs"] == 350 and test["half_width_points"] == pytest.approx(196 * 0.46 / 350**0.5, rel=1e-3)


def test_what_a_request_needs_excludes_a_candidate_and_is_counted(run: Run, here: Path) -> None:
    """groq's llama-3.1-8b-instant: 131,072 tokens of context, tools; nothing is known of images."""
    document = routed(run, "hand.jsonl", "--cheap", "gpt-3.5-turbo")
    offer = sites(document)["agent"]["offers"][0]
    assert offer["cannot"] == {"longer than its context": 1, "JSON: not known": 1, "images: not known": 1}
    assert offer["request_share"] == 0.25
    assert offer["saving_usd"]["value"] == pytest.approx(NOW - (1_000 * 0.5 + 156 * 1.5) / 1e6)
    assert any("nothing says that the candidate can do" in note for note in document["warnings"])
    assert sites(routed(run, "hand.jsonl"))["agent"]["offers"][0]["cannot"] == {}


def test_a_table_of_scores_decides_per_call_site(run: Run, here: Path) -> None:
    document = routed(run, "hand.jsonl", "--quality", "quality.csv")
    found = sites(document)
    assert (found["faq"]["advice"], found["agent"]["advice"]) == ("switch", "stay")
    assert found["faq"]["loss_points"]["value"] == pytest.approx(1) and found["faq"]["loss_points"]["high"] < 2.5
    assert document["tier"] == "T1" and document["headline"] == "switch 1 call site to a cheaper model"
    sure = policies(document)["site", True]
    assert sure["saving_usd"]["value"] == pytest.approx(2 * (NOW - MINI))
    strict = routed(run, "hand.jsonl", "--quality", "quality.csv", "--max-loss", "1.5")
    assert sites(strict)["faq"]["advice"] == "test"


def test_a_cascade_pays_for_checks_and_failed_first_attempts(run: Run, here: Path) -> None:
    """One in ten answers of the cheap model is refused: c + check + 0.1 C for each request."""
    write(here / "faq.jsonl", [record(number, "faq", f"Where is card {number}?") for number in range(1, 5)])
    quality = [{"model": "gpt-4o", "score": 0.95, "n": 500}, {"model": "gpt-4o-mini", "score": 0.9, "n": 500}]
    save(here / "two.jsonl", quality)
    row = policies(routed(run, "faq.jsonl", "--quality", "two.jsonl"))["cascade", False]
    check = (1_156 * 0.15 + 5 * 0.6) / 1e6
    assert row["cost_usd"]["value"] == pytest.approx(4 * (MINI + check + 0.1 * NOW))
    unknown = policies(routed(run, "faq.jsonl"))["cascade", False]
    assert unknown["saving_usd"]["value"] is None
    assert f"accepts {(MINI + check) / NOW:.0%} of the answers or more" in unknown["note"]


def test_a_gate_decides_where_its_items_name_the_call_site(run: Run, here: Path) -> None:
    """300 pairs at `faq`, all alike; those of another site lose half."""
    items = [
        {"id": f"{site}-{at}", "stratum": "s", "level": 1, "call_site": site, "group": site, "strong_score": 1.0,
         "cheap_score": 1.0 if site == "faq" else 0.5, "strong_usd": None, "cheap_usd": None}
        for site in ("faq", "agent") for at in range(300)
    ]  # fmt: skip
    gate = json.loads((Path(__file__).parents[1] / "golden" / "gate" / "gate.json").read_text())
    gate |= {"items": items}
    gate["base"]["model"], gate["candidate"]["model"] = "gpt-4o-2024-08-06", "gpt-4o-mini"
    (here / "gate.json").write_text(json.dumps(gate))
    found = sites(routed(run, "hand.jsonl", "--quality", "gate.json"))
    assert (found["faq"]["advice"], found["agent"]["advice"]) == ("switch", "stay")
    assert found["faq"]["loss_points"]["high"] < 1.5


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_labels_tell_sites_levels_and_requests_apart(run: Run, here: Path, golden: Golden, ending: str) -> None:
    """All requests are labelled, so every loss is that of the whole log."""
    _, labels = planted(here / "planted.jsonl", 400)
    name = save(here / f"labels.{ending}", labels)
    document = routed(run, "planted.jsonl", "--labels", Path(name).name, "--max-loss", "5")
    found = sites(document)
    lost = {site: [1 - row["cheap_score"] for row in labels[at::2]] for at, site in enumerate(("hard", "easy"))}
    for site in ("easy", "hard"):
        assert found[site]["labels"] == 400
        assert found[site]["loss_points"]["value"] == pytest.approx(100 * sum(lost[site]) / 400)
    assert (found["easy"]["advice"], found["hard"]["advice"]) == ("switch", "stay")
    assert found["hard"]["candidate"] == "gpt-4o-mini" and document["experiments"] == []
    judged = document["labels"]
    assert (judged["n"], judged["verdict"], document["tier"]) == (800, "routes", "T2") and judged["usd"] is not None
    if ending == "csv":
        golden("route/labelled.txt", run("route", "planted.jsonl", "--labels", "labels.csv").out)


def test_request_and_level_policies_lose_what_the_labels_say(run: Run, here: Path) -> None:
    """A quarter of all requests asks for reasoning and is lost every second time, the others one time in fifty."""
    _, labels = planted(here / "planted.jsonl", 400)
    save(here / "labels.jsonl", labels)
    document = routed(run, "planted.jsonl", "--labels", "labels.jsonl")
    found = policies(document)
    request, level, site = found["request", True], found["complexity", True], found["site", True]
    assert request["loss_points"]["high"] <= 5 and 0.6 <= request["cheap_share"] <= 0.8
    assert level["setting"] == "level 1" and level["loss_points"]["high"] <= 5
    assert request["saving_usd"]["value"] > site["saving_usd"]["value"] > 0
    assert document["chosen"] == max((request, level, site), key=lambda row: row["saving_usd"]["value"])["policy"]
    # all requests are labelled: what moves is counted, not projected
    order = request["cheap_share"] * 800
    assert request["saving_usd"]["value"] <= document["cost_usd"] * order / 800
    chosen = routed(
        run, "planted.jsonl", "--labels", "labels.jsonl", "--policy", "site", "--slice-by", "site,level,tag"
    )
    assert chosen["chosen"] == "site" and chosen["labels"]["groups"] > 4


def test_single_scores_of_two_models_make_a_pair(run: Run, here: Path) -> None:
    rows = [
        {"request_id": f"chatcmpl-{number:05d}", "model": model, "score": score}
        for number in (1, 2) for model, score in (("gpt-4o-2024-08-06", 1), ("gpt-4o-mini", 0.5))
    ]  # fmt: skip
    rows += [{"request_id": "chatcmpl-00003", "model": "gpt-4o-mini", "score": 1}, {"request_id": "hand.jsonl:4"}]
    save(here / "single.jsonl", rows)
    found = sites(routed(run, "hand.jsonl", "--labels", "single.jsonl"))
    assert (found["faq"]["labels"], found["agent"]["labels"]) == (2, 0)
    assert found["faq"]["loss_points"]["value"] == pytest.approx(50) and found["faq"]["advice"] == "stay"


def test_exports_name_the_decided_models(run: Run, here: Path) -> None:
    def exported(kind: str) -> dict[str, Any]:
        ran = run("route", "hand.jsonl", "--quality", "quality.csv", "--export", kind, "router.yaml")
        assert ran.code == 0
        text = (here / "router.yaml").read_text()
        assert text.startswith("# Written by costplan route: switch 1 call site")
        return yaml.safe_load(text)

    lite = exported("litellm")
    models = {row["model_name"]: row["litellm_params"]["model"] for row in lite["model_list"]}
    assert models == {"faq": "openai/gpt-4o-mini", "faq-before": "openai/gpt-4o", "agent": "openai/gpt-4o"}
    assert all(row["litellm_params"]["api_key"].startswith("os.environ/") for row in lite["model_list"])
    assert lite["router_settings"]["fallbacks"] == [{"faq": ["faq-before"]}]
    router = exported("semantic-router")
    assert router["version"] == "v0.3" and router["providers"]["defaults"]["model"] == "gpt-4o"
    signal = router["routing"]["signals"]["metadata"][0]
    decision = router["routing"]["decisions"][0]
    assert signal["key"] == "call_site" and signal["predicate"] == {"equals": "faq"}
    assert decision["rules"]["conditions"] == [{"type": "metadata", "name": signal["name"]}]
    assert decision["modelRefs"][0]["model"] == "gpt-4o-mini"
    assert {each["name"] for each in router["providers"]["models"]} == {"gpt-4o", "gpt-4o-mini"}
    plain = exported("yaml")["routing"]
    assert [row["to"] for row in plain["switch"]] == ["openai/gpt-4o-mini"] and plain["to_test"] == []
    assert [row["call_site"] for row in plain["stay"]] == ["agent"]


def test_what_is_not_verified_is_exported_as_a_comment_only(run: Run, here: Path) -> None:
    run("route", "hand.jsonl", "--export", "litellm", "router.yaml")
    text = (here / "router.yaml").read_text()
    assert "# to test first: agent: gpt-4o-mini for gpt-4o" in text
    assert "gpt-4o-mini" not in json.dumps(yaml.safe_load(text))


def pairs_file(path: Path, n: int = 300) -> None:
    """Long prompts lose with the cheap model; the first group more than the second. Costs are given."""
    rows = [
        {"prompt": f"{'why ' * (at % 30)}question {at}", "cheap_score": float(at % 30 < 15 or at % 4 == 0),
         "strong_score": 1, "cheap_usd": 0.001, "strong_usd": 0.02, "group": ("a", "b")[at % 2]}
        for at in range(n)
    ]  # fmt: skip
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.jsonl.gz"])
def test_labelled_pairs_have_the_keys_that_others_rely_on(run: Run, here: Path, golden: Golden, name: str) -> None:
    pairs_file(here / name)
    document = routed(run, "--pairs", name)
    assert document["verdict"] == "routes" and document["n"] == 300
    for estimate in (document["apgr"], *document["baselines"].values(), document["cpt50"], document["usd"]["apgr"]):
        assert estimate["low"] <= estimate["value"] <= estimate["high"]
    assert document["apgr"]["value"] > document["baselines"]["random"]["high"] > 0.5
    curve = document["curve"]
    assert (curve[0]["pgr"], curve[-1]["pgr"]) == (0, pytest.approx(1)) and curve[-1]["quality"] == pytest.approx(1)
    assert [point["strong_share"] for point in curve] == sorted(point["strong_share"] for point in curve)
    if name.endswith(".gz"):
        golden("route/pairs.txt", run("route", "--pairs", name).out)
        golden("route/pairs.md", run("route", "--pairs", name, "--md", "-").out)


def test_few_pairs_and_unpriced_ones_are_no_mistake(run: Run, here: Path) -> None:
    save(here / "few.jsonl", [{"prompt": "a", "cheap_score": 0, "strong_score": True, "cheap_usd": 1}])
    document = routed(run, "--pairs", "few.jsonl")
    assert document["verdict"] == "no better than random" and document["usd"] is None
    assert document["tier"] == "T0" and "40 are needed" in document["reason"]
    same = [{"prompt": f"question {at}", "cheap_score": 1, "strong_score": 1} for at in range(50)]
    save(here / "same.jsonl", same)
    assert routed(run, "--pairs", "same.jsonl")["apgr"]["value"] is None


def test_mistakes_take_two_lines(run: Run, here: Path) -> None:
    for name, text in {
        "no-prompt.jsonl": '{"cheap_score": 1, "strong_score": 1}\n',
        "high.jsonl": '{"prompt": "a", "cheap_score": 1, "strong_score": 7}\n',
        "usd.jsonl": '{"prompt": "a", "cheap_score": 1, "strong_score": 1, "cheap_usd": "x"}\n',
        "empty.jsonl": "\n",
        "nomodel.csv": "model,score,n\n,0.5,10\n",
        "non.csv": "model,score,n\ngpt-4o,0.5,\n",
        "twice.csv": "model,score,n\ngpt-4o,0.5,9\ngpt-4o-2024-08-06,0.6,9\n",
        "stranger.jsonl": '{"request_id": "nobody", "cheap_score": 1, "strong_score": 1}\n',
        "unclear.jsonl": '{"request_id": "chatcmpl-00001", "score": 1}\n',
        "which.jsonl": '{"request_id": "chatcmpl-00001", "cheap_score": 1, "strong_score": 1}\n',
        "gate.json": '{"schema": "costplan/gate/1"}\n',
    }.items():
        (here / name).write_text(text)
    (here / "bad.gz").write_bytes(b"\x1f\x8bnothing")
    two = ["--cheap", "gpt-4o-mini", "--cheap", "gpt-3.5-turbo"]
    cases = [
        (["route"], 2, "no log is named"),
        (["route", "nothing.jsonl"], 1, "nothing.jsonl"),
        (["route", "hand.jsonl", "--cheap", "gpt-4o-minni"], 2, "--cheap gpt-4o-minni"),
        (["route", "hand.jsonl", "--policy", "best"], 2, "--policy"),
        (["route", "hand.jsonl", "--output-ratio", "2:1:3"], 2, "--output-ratio"),
        (["route", "hand.jsonl", "--slice-by", "user"], 2, "--slice-by"),
        (["route", "hand.jsonl", "--export", "json", "x.yaml"], 2, "--export json"),
        (["route", "hand.jsonl", "--export", "yaml", "x.yaml", "--policy", "request"], 2, "only call sites"),
        (["route", "hand.jsonl", "--export", "yaml", "no/such/folder.yaml"], 1, "cannot be written"),
        (["route", "hand.jsonl", "--quality", "nomodel.csv"], 1, "nomodel.csv:2: no model"),
        (["route", "hand.jsonl", "--quality", "non.csv"], 1, "non.csv:2: n"),
        (["route", "hand.jsonl", "--quality", "twice.csv"], 1, "given twice"),
        (["route", "hand.jsonl", "--quality", "gate.json"], 1, "gate.json: not a gate.json"),
        (["route", "hand.jsonl", "--quality", "missing.csv"], 1, "missing.csv"),
        (["route", "hand.jsonl", "--labels", "stranger.jsonl"], 1, "none of its request ids"),
        (["route", "hand.jsonl", "--labels", "unclear.jsonl"], 1, "unclear.jsonl:1: not a label"),
        (["route", "hand.jsonl", "--labels", "which.jsonl", *two], 2, "do not say which model"),
        (["route", "--pairs", "no-prompt.jsonl"], 1, "no-prompt.jsonl:1: no prompt"),
        (["route", "--pairs", "high.jsonl"], 1, "high.jsonl:1: strong_score: 7 is not from 0 to 1"),
        (["route", "--pairs", "usd.jsonl"], 1, "usd.jsonl:1: cheap_usd"),
        (["route", "--pairs", "empty.jsonl"], 1, "no labelled pair"),
        (["route", "--pairs", "bad.gz"], 1, "bad.gz"),
        (["route", "--pairs", "missing.jsonl"], 1, "missing.jsonl"),
    ]  # fmt: skip
    for arguments, code, told in cases:
        assert told in mistake(run(*arguments), code)[0], arguments


def test_text_of_the_log_is_shown_only_when_asked_for(run: Run, here: Path) -> None:
    """Names of sites are the user's own; prompts and the words in them are not shown, and nothing is interpreted."""
    secret = "Explain [red]why[/red] <script>alert(1)</script> \x1b[31m zebra"
    write(here / "hostile.jsonl", [record(number, "=site|<b>\x1b[0m", f"{secret} {number}") for number in range(1, 4)])
    for arguments in ([], ["--explain", "-v"], ["--explain", "--md", "-"], ["--explain", "--json", "-"]):
        out = run("route", "hostile.jsonl", *arguments).out
        assert "zebra" not in out and "\x1b[" not in out and "<script>" not in out
    assert "(why)" not in run("route", "hostile.jsonl", "--explain").out
    assert "why" in run("route", "hostile.jsonl", "--explain", "--show-text").out
    run("route", "hostile.jsonl", "--export", "litellm", "router.yaml")
    assert yaml.safe_load((here / "router.yaml").read_text())["model_list"][0]["model_name"] == "=site|<b>\x1b[0m"


def test_logs_without_text_are_priced_all_the_same(run: Run, here: Path) -> None:
    rows = [{"timestamp": f"2026-10-01T00:00:0{at}Z", "model": "gpt-4o", "input_tokens": 1_000, "output_tokens": 200}
            for at in range(5)]  # fmt: skip
    (here / "bare.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    document = routed(run, "bare.jsonl")
    assert document["complexity"]["scored"] == 0 and document["by_call_site"][0]["level_share"] == []
    assert document["by_call_site"][0]["saving_usd"]["value"] == pytest.approx(5 * (0.0045 - (150 + 93.6) / 1e6))
    assert any("without whole text" in note for note in document["warnings"])


def test_workers_and_runs_change_no_byte(run: Run, here: Path) -> None:
    planted(here / "planted.jsonl", 60)
    first = run("route", "planted.jsonl", "--json", "-", "--workers", "1").out
    assert first == run("route", "planted.jsonl", "--json", "-", "--workers", "2").out


def test_route_loads_no_http_client_and_touches_no_socket() -> None:
    loaded = loaded_by("route", "traces/tiny.jsonl", "--workers", "1", before=WATCHED)
    assert loaded & {"aiohttp", "httpx", "requests", "urllib3"} == set()
    assert loaded_by("route", "--help") & HEAVY == set()
