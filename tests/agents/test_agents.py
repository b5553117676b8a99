"""Agent logs whose loops, growth, tool order and trimming are worked out by hand, and a generated one with truth."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from costplan.analyze import analyze
from costplan.ingest.actions import action_keys, tool_set_key
from costplan.results import Plan
from costplan.results.agents import Agents
from costplan.settings import AnalyzeSettings
from tests.generate.logs import SHOP, generated
from tests.levers.logs import START, analyzed, call

# gpt-4o-mini: $0.15 in, $0.075 cached, $0.60 out per million tokens
IN, CACHED, OUT = 150, 75, 600
SEARCH, FETCH = ("search", '{"q": "rain", "n": 3}'), ("fetch", '{"id": 7}')
TOOLS = [{"type": "function", "function": {"name": name, "description": name * 40}} for name in ("search", "fetch")]


def step(at_s: float, number: int, action: tuple[str, str] | None, session: str = "s", **more: Any) -> dict[str, Any]:
    """The number-th step (from 0) of an agent: 2,000 tokens of instructions and 500 more by every step before it."""
    messages = [{"role": "system", "content": "Act. " * 1600}, {"role": "user", "content": "Find it. " * 10}]
    for before in range(number):
        messages += [
            {"role": "assistant", "content": f"Step {before}. "},
            {"role": "tool", "tool_call_id": f"c{before}", "content": f"row {before} " * 240},
        ]
    request = {"messages": messages, "tools": more.pop("tools", TOOLS)}
    line = call(at_s, session=session, tokens=(2000 + 500 * number, 20), request=request, **more)
    if action:
        function = {"name": action[0], "arguments": action[1]}
        line["response"]["choices"][0]["message"] = {
            "role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": function}]
        }  # fmt: skip
        line["response"]["choices"][0]["finish_reason"] = "tool_calls"
    return line


def agents(plan: Plan) -> Agents:
    assert plan.agents is not None
    return plan.agents


def usd(tokens: int, cached: int = 0) -> float:
    """A prompt without its answer."""
    return ((tokens - cached) * IN + cached * CACHED) / 1e9


def test_a_call_is_the_same_whatever_the_order_of_its_arguments_and_the_shape_of_the_log() -> None:
    openai = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1, "y": [2]}'}}]
    others: list[Any] = [
        [{"type": "tool_use", "id": "b", "name": "f", "input": {"y": [2], "x": 1}}],
        [{"functionCall": {"name": "f", "args": {"y": [2], "x": 1}}}],
        [{"type": "function_call", "name": "f", "arguments": '{ "y":[2],"x":1}'}],
    ]
    assert all(action_keys(other) == action_keys(openai) for other in others)
    assert action_keys([{"name": "f", "input": {"x": 2, "y": [2]}}]) != action_keys(openai)
    assert action_keys([{"name": "g", "input": {"x": 1, "y": [2]}}]) != action_keys(openai)
    assert action_keys([{"id": 3}, None, "x"]) == [] and len(action_keys([{"name": "f", "input": "{broken"}])) == 1


def test_a_set_of_tools_has_one_key_in_any_order() -> None:
    assert tool_set_key(TOOLS) == tool_set_key(TOOLS[::-1]) == tool_set_key(json.dumps(TOOLS)) != 0
    assert tool_set_key(TOOLS[:1]) == tool_set_key(None) == tool_set_key("{") == 0


def test_the_same_call_three_times_in_a_session_is_a_loop_and_the_first_is_free_of_blame(tmp_path: Path) -> None:
    """Searched at steps 0, 1 and 3 with other spacing; fetched twice, and searched in another session: no loops."""
    again = ("search", '{"n":3,"q":"rain"}')
    log = [step(10 * n, n, act) for n, act in enumerate((SEARCH, again, FETCH, SEARCH, FETCH, None))]
    log += [step(1000 + 10 * n, n, SEARCH, "other") for n in range(2)]
    loops = agents(analyzed(tmp_path, log).plan).loops
    assert (loops.groups, loops.repeated_calls, loops.tasks, loops.longest) == (1, 2, 1, 3)
    planted = usd(2500) + usd(3500) + 2 * 20 * OUT / 1e9
    assert loops.usd_in_log.value == pytest.approx(planted, abs=1e-12)
    whole = sum(usd(2000 + 500 * n) for n in (0, 1, 2, 3, 4, 5, 0, 1)) + 8 * 20 * OUT / 1e9
    assert loops.share == pytest.approx(planted / whole)


def test_a_step_adds_what_its_prompt_is_longer_by(tmp_path: Path) -> None:
    """Six steps and two: six increments of 500 tokens, all alike, so that the interval has no width."""
    log = [step(10 * n, n, None) for n in range(6)] + [step(1000 + 10 * n, n, None, "b") for n in range(2)]
    found = agents(analyzed(tmp_path, log).plan)
    growth = found.growth_tokens_per_step
    assert (growth.value, growth.low, growth.high) == (500, 500, 500)
    means = {each.first: (each.steps, each.input_tokens_mean) for each in found.by_step}
    assert means == {1: (2, 2000), 2: (2, 2500), 3: (1, 3000), 4: (2, 3750), 6: (1, 4500)}


def test_calls_that_share_a_session_and_no_history_are_no_conversation(tmp_path: Path) -> None:
    log = [call(10 * n, f"Question {n}?", session="s", tokens=(30 + n, 8)) for n in range(5)]
    found = agents(analyzed(tmp_path, log).plan)
    assert found.growth_tokens_per_step.value is None and not found.by_step
    assert not any(trim.usd_in_log for trim in found.trims)


def test_trimming_is_priced_with_the_cached_prefix_that_it_loses(tmp_path: Path) -> None:
    """Six steps of 2,000 to 4,500 tokens, nothing cached in the log; keep the last 3: steps 4 and 5 drop 500 and 1,000.

    As cached today, that is 1,500 tokens at the full price. Where every step reads the prompt of the one before (whole
    128s of 3,500 and 4,000 are 3,456 and 3,968), the trimmed ones of 3,500 tokens still read 1,920 of the first 2,000.
    """
    log = [step(10 * n, n, None) for n in range(6)]
    last = next(t for t in agents(analyzed(tmp_path, log).plan).trims if (t.rule, t.keep_steps) == ("last", 3))
    assert last.usd_in_log_as_cached_today == pytest.approx(1500 * IN / 1e9, abs=1e-12)
    with_cache = usd(4000, 3456) + usd(4500, 3968) - 2 * usd(3500, 1920)
    assert last.usd_in_log == pytest.approx(with_cache, abs=2e-9) and with_cache < 0


def test_tools_in_another_order_lose_what_the_cache_could_have_read(tmp_path: Path) -> None:
    """Steps 1 and 2 turn the tools round and read nothing; 1,920 and 2,432 tokens could have been read."""
    log = [step(10 * n, n, None, tools=TOOLS[:: (-1) ** n], cached=0) for n in range(3)]
    found = agents(analyzed(tmp_path, log).plan)
    assert found.tool_order_breaks == 2
    steady = agents(analyzed(tmp_path, [step(10 * n, n, None) for n in range(3)]).plan)
    assert steady.tool_order_breaks == 0
    month = analyzed(tmp_path, log, month_requests=3000.0).plan
    assert agents(month).tool_order_usd_month.value == pytest.approx(1000 * (1920 + 2432) * (IN - CACHED) / 1e9)


def test_parts_of_the_prompt_add_up_and_the_cached_ones_are_the_first(tmp_path: Path) -> None:
    plan = analyzed(tmp_path, [step(10 * n, n, None, cached=1920 if n else 0) for n in range(3)]).plan
    parts = {part.part: part for part in agents(plan).input_by}
    assert sum(part.tokens for part in parts.values()) == pytest.approx(2000 + 2500 + 3000, abs=5)
    paid = plan.baseline.cost_by
    assert sum(part.cost_usd for part in parts.values()) == pytest.approx((paid.input or 0) + (paid.cache_read or 0))
    assert (
        parts["system"].cost_usd / parts["system"].tokens < parts["tool_result"].cost_usd / parts["tool_result"].tokens
    )


def test_reasoning_and_limits_are_a_potential_in_no_sum(tmp_path: Path) -> None:
    """99 answers of 100 tokens and one of 1,000, of which 600 are reasoning: a limit of 256 cuts 1 %."""
    log = [call(3600 * n, f"Q{n}", tokens=(30, 1000 if n == 50 else 100)) for n in range(100)]
    log[50]["response"]["usage"]["completion_tokens_details"] = {"reasoning_tokens": 600}
    plan = analyzed(tmp_path, log, month_requests=100.0).plan
    found = plan.output
    assert found is not None and found.recommended_max_tokens == 256 and found.risk == "needs-test"
    assert found.caps[0].answers_cut_share == 0.01
    assert found.caps[0].usd_month.value == pytest.approx(744 * OUT / 1e9, abs=1e-9)
    assert found.reasoning_share == pytest.approx(600 / 10_900)
    assert found.reasoning_usd_month.value == pytest.approx(600 * OUT / 1e9, abs=1e-9)
    assert (found.usd_month.low, found.usd_month.level, found.usd_month.basis) == (0, None, "assumed")
    assert found.usd_month.value == pytest.approx(744 * OUT / 1e9, abs=1e-9)  # more than a quarter of 600
    assert "output" not in {rung.lever for rung in plan.ladder} | {item.lever for item in plan.opportunities}


def test_limits_count_refused_calls_and_retries_have_a_cost(tmp_path: Path) -> None:
    """One minute with three answered calls and two refused ones, of which one is sent again after 10 s."""
    log = [call(n, f"Q{n}", user="u", tokens=(100, 10)) for n in range(2)]
    log += [call(3, "Again", user="u", status=429), call(4, "Never", user="u", status=429)]
    log += [call(13, "Again", user="u", tokens=(100, 10))]
    plan = analyzed(tmp_path, log).plan
    [rate] = plan.unit_economics.rates
    assert (rate.requests_min_peak, rate.input_tokens_min_peak, rate.output_tokens_min_peak) == (3, 300, 30)
    assert rate.tokens_min_peak == 330 and rate.rate_limited == 2
    # the p99 of a single minute is its peak: 1.2 x (5 requests, 300 and 30 tokens)
    assert (rate.ask_requests_min, rate.ask_input_tokens_min, rate.ask_output_tokens_min) == (6, 360, 36)
    assert plan.ingest.retries == 1 and plan.ingest.retries_usd == pytest.approx((100 * IN + 10 * OUT) / 1e9)


def test_planted_loops_and_growth_are_found(tmp_path: Path) -> None:
    log = generated(tmp_path, SHOP.replace("cached_share: 0.5", "cached_share: 0.8"), seed=8)
    day = date.fromisoformat(log.truth["price_date"])
    origins = dict.fromkeys(AnalyzeSettings.__dataclass_fields__, "default")
    found = agents(analyze([str(log.log)], AnalyzeSettings(semantic="off", price_date=day, workers=1), origins))
    planted = log.truth["agents"]
    assert planted["loops"]["groups"] > 10
    assert found.loops.groups == planted["loops"]["groups"]
    assert found.loops.repeated_calls == planted["loops"]["repeated_calls"]
    assert found.loops.usd_in_log.value == pytest.approx(planted["loops"]["usd"], abs=1e-6)
    growth = found.growth_tokens_per_step
    assert growth.value == pytest.approx(planted["growth"]["tokens_per_step"])
    month = found.loops.usd_month
    assert month.low is not None and month.high is not None
    assert month.low <= planted["loops"]["usd"] * 730 / (24 * 7) <= month.high


def traced(at_s: float, span: str, parent: str | None, tokens: int) -> dict[str, Any]:
    """A call in the canonical trace, without text, that searches."""
    return {
        "source_format": "costplan", "timestamp": (START + timedelta(seconds=at_s)).isoformat(), "ts_offset_s": None,
        "operation": "chat", "request_model": "gpt-4o-mini", "response_model": "gpt-4o-mini", "status": "ok",
        "trace_id": "t", "span_id": span, "parent_id": parent, "input_tokens": tokens, "output_tokens": 20,
        "cache_read_input_tokens": 0, "usage_source": "reported",
        "output_tool_calls": json.dumps([{"function": {"name": "search", "arguments": "{}"}}]),
    }  # fmt: skip


def test_traces_stand_for_sessions_where_a_log_names_none(tmp_path: Path) -> None:
    """A root call, two below it and one below the second: a loop of four, three of them repeats."""
    log = [traced(0, "a", None, 1000), traced(1, "b", "a", 1100), traced(2, "c", "a", 1200), traced(3, "d", "c", 1300)]
    found = agents(analyzed(tmp_path, log).plan)
    assert (found.tasks, found.steps, found.loops.repeated_calls) == (1, 4, 3)
    assert found.growth_tokens_per_step.value == 100
    trees = found.call_trees
    assert trees is not None and trees.by_depth == {"0": 1, "1": 2, "2": 1}
    assert (trees.traces, trees.calls_max, trees.widest) == (1, 4, 2)
