"""The same ten calls in every new export cost the same to the nano-dollar; what an export cannot say is named."""

from pathlib import Path
from typing import Any, cast

import pytest
from costplan.results import Plan
from tests.ingest.logs import nanos, plan_of, write
from tests.ingest.ten_calls import TEN, WRITERS, as_csv, as_helicone_csv, by_hand
from tests.ingest.test_five_dialects import as_litellm

KNOWS_CACHE = sorted(WRITERS.keys() - {"cloudflare"})
ONE_PRICE = [name for name in KNOWS_CACHE if name != "openrouter"]
KNOWS_REASONING = sorted(set(KNOWS_CACHE) - {"bedrock"})


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Plan]:
    folder = tmp_path_factory.mktemp("ten")
    found = {name: plan_of(write(folder / f"{name}.jsonl", map(f, TEN))) for name, f in WRITERS.items()}
    for name, plan in found.items():
        assert plan.inputs[0].format == name
    return found


@pytest.mark.parametrize("name", ONE_PRICE)
def test_ten_calls_cost_the_same_to_the_nano_dollar(plans: dict[str, Plan], name: str):
    assert nanos(plans[name]) == by_hand()


def test_the_ten_cost_the_same_as_in_a_dialect_that_was_there_before(tmp_path: Path):
    assert nanos(plan_of(write(tmp_path / "litellm.jsonl", map(as_litellm, TEN)))) == by_hand()


def test_openrouter_bills_by_its_own_list_which_has_no_cached_rate_for_gpt_4o(plans: dict[str, Plan]):
    """All cached tokens of the ten are gpt-4o's: 3 x 1,024 at $2.50 for $1.25 a million are 3,840,000 nano-dollars."""
    assert {call["model"] for call in TEN if call["cached"]} == {"gpt-4o"}
    assert nanos(plans["openrouter"]) == by_hand(cached=False) == by_hand() + 3_840_000


def test_cloudflares_columns_have_no_cached_tokens_so_all_input_is_at_the_full_price(plans: dict[str, Plan]):
    assert nanos(plans["cloudflare"]) == by_hand(cached=False) > by_hand()


def test_the_ten_have_the_same_books_in_every_export(plans: dict[str, Plan]):
    books = {name: plan.ingest for name, plan in plans.items()}
    counts = {n: (b.records, b.requests, b.priced, b.failed, b.skipped.total, b.duplicates) for n, b in books.items()}
    assert counts == dict.fromkeys(books, (10, 10, 9, 1, 0, 0))
    refused = {name: b.failed_by for name, b in books.items()}
    assert refused.pop("openrouter") == {"error": 1}  # it logs no status
    assert refused == dict.fromkeys(refused, {"http_429": 1})


def test_the_ten_have_the_same_tokens_where_the_export_counts_them(plans: dict[str, Plan]):
    asked, cached = sum(c["input"] for c in TEN[:9]), sum(c["cached"] for c in TEN[:9])
    answered, thought = sum(c["output"] for c in TEN[:9]), sum(c["reasoning"] for c in TEN[:9])
    for name, plan in plans.items():
        b = plan.baseline
        assert (b.input_tokens, b.output_tokens) == (asked, answered), name
        assert b.cache_read_tokens == (cached if name in KNOWS_CACHE else 0), name
        assert b.reasoning_tokens == (thought if name in KNOWS_REASONING else 0), name


def test_the_ten_have_the_same_users_and_texts(plans: dict[str, Plan]):
    users = {name: [row.cost_usd for row in plans[name].unit_economics.by_user] for name in ONE_PRICE}
    assert users == dict.fromkeys(users, users["portkey"]) and len(users["portkey"]) == 5
    texts = {name: plan.ingest.text_state["full"] for name, plan in plans.items()}
    assert texts == {name: 0 if name in ("openrouter", "cloudflare") else 10 for name in plans}


@pytest.mark.parametrize("name", ["helicone", "cloudflare", "openrouter"])
def test_the_ten_as_csv_are_the_ten_as_json(plans: dict[str, Plan], tmp_path: Path, name: str):
    columns = list(dict.fromkeys(key for call in TEN for key in WRITERS[name](call)))
    rows = [{key: WRITERS[name](call).get(key, "") for key in columns} for call in TEN]
    plan = plan_of(as_csv(tmp_path / f"{name}.csv", rows))
    assert plan.inputs[0].format == name
    assert (nanos(plan), plan.ingest.requests) == (nanos(plans[name]), 10)


def test_helicones_twelve_columns_have_no_cached_tokens(tmp_path: Path):
    plan = plan_of(as_csv(tmp_path / "helicone.csv", map(as_helicone_csv, TEN)))
    assert plan.inputs[0].format == "helicone" and nanos(plan) == by_hand(cached=False)


def test_the_ten_as_phoenix_csv_and_as_parquet_are_the_ten_as_json(plans: dict[str, Plan], tmp_path: Path):
    """pandas writes lists into CSV in Python's notation."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [WRITERS["phoenix"](call) for call in TEN]
    printed = [
        {k: "" if v is None else str(cast(Any, v)) if isinstance(v, list) else v for k, v in row.items()}
        for row in rows
    ]
    pq.write_table(cast(Any, pa).Table.from_pylist(rows), tmp_path / "spans.parquet")
    for file in (as_csv(tmp_path / "spans.csv", printed), tmp_path / "spans.parquet"):
        plan = plan_of(file)
        assert plan.inputs[0].format == "phoenix" and nanos(plan) == nanos(plans["phoenix"])
        assert plan.ingest.text_state == plans["phoenix"].ingest.text_state


def test_the_ten_as_langsmith_parquet_are_the_ten_as_json(plans: dict[str, Plan], tmp_path: Path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(
        cast(Any, pa).Table.from_pylist([WRITERS["langsmith"](call) for call in TEN]), tmp_path / "r.parquet"
    )
    plan = plan_of(tmp_path / "r.parquet")
    assert plan.inputs[0].format == "langsmith" and nanos(plan) == by_hand()
    assert plan.baseline.reasoning_tokens == plans["langsmith"].baseline.reasoning_tokens
