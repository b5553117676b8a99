"""Every sample in traces/ is detected as its own dialect, and the runner-up is told."""

import json
from pathlib import Path
from typing import Any

import pytest
from costplan.ingest.detect import DIALECTS, detect, sample_of, unwrap
from costplan.ingest.source import expand, open_source
from tests.ingest.logs import TRACES, plan_of, run, write

# file: (its dialect, the runner-up: another dialect whose signature its records carry as well)
SAMPLES = {
    "anthropic_batch.jsonl": ("anthropic_batch", ""),
    "azure_conv_excerpt.csv": ("azure", ""),
    "bailian_excerpt.jsonl": ("bailian", ""),
    "bedrock_cloudwatch.json": ("bedrock", ""),
    "bedrock_invocations.jsonl.gz": ("bedrock", ""),
    "burstgpt.csv": ("burstgpt", ""),
    "cloudflare_ai_gateway.csv": ("cloudflare", "generic"),
    "cloudflare_ai_gateway.jsonl": ("cloudflare", "generic"),
    "demo.jsonl.gz": ("pairs", ""),
    "helicone.csv": ("helicone", ""),
    "helicone.jsonl": ("helicone", "generic"),
    "langfuse_api.jsonl": ("langfuse", ""),
    "langfuse_observations_v2.jsonl": ("langfuse", ""),
    "langsmith_runs.jsonl": ("langsmith", "generic"),
    "langsmith_runs.parquet": ("langsmith", "generic"),
    "litellm_spend_logs.jsonl": ("litellm", "bare"),
    "litellm_standard_logging_payload.jsonl": ("litellm", "bare"),
    "mooncake_conversation_excerpt.jsonl": ("mooncake", ""),
    "openai_batch_input.jsonl": ("openai_batch", ""),
    "openai_batch_output.jsonl": ("openai_batch", ""),
    "openrouter_activity.csv": ("openrouter", ""),
    "otlp_genai.jsonl": ("otlp", ""),
    "pairs_anthropic.jsonl": ("pairs", ""),
    "pairs_openai.jsonl": ("pairs", ""),
    "phoenix_spans.csv": ("phoenix", ""),
    "phoenix_spans.parquet": ("phoenix", ""),
    "portkey_logs.jsonl": ("portkey", "pairs"),
    "tiny.jsonl": ("pairs", ""),
}
GENERAL = {"generic", "pairs", "bare"}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_detected_as_its_own_dialect_and_the_runner_up_is_told(name: str):
    found = detect(open_source(str(TRACES / name)), forced=None, mapping={})
    assert (found.name, found.runner_up) == SAMPLES[name]


@pytest.mark.parametrize("name", SAMPLES)
def test_no_record_of_a_sample_carries_the_signature_of_another_specific_dialect(name: str):
    """Then the order of the specific ones decides nothing: only general ones may match beside them."""
    for record in sample_of(open_source(str(TRACES / name)))[:20]:
        own, _ = SAMPLES[name]
        assert {dialect.NAME for dialect in DIALECTS if dialect.matches(record)} - GENERAL <= {own}


def test_a_home_made_table_with_a_duration_in_seconds_is_not_taken_for_cloudflares(tmp_path: Path):
    row = {"timestamp": 1790812800, "model": "gpt-4o-mini", "tokens_in": 5, "tokens_out": 2, "duration": 2.5}
    file = write(tmp_path / "own.jsonl", [row])
    assert detect(open_source(str(file)), forced=None, mapping={}).name == "generic"


def test_events_of_cloudwatch_hold_records_of_any_dialect_and_may_be_damaged(tmp_path: Path):
    rows: list[Any] = json.loads((TRACES / "bedrock_cloudwatch.json").read_text())["logEvents"]
    broken = [*rows, {"message": '{"schemaType": "Mod'}, {"message": 5}, {"message": "CWL CONTROL MESSAGE"}]
    for name in ("logEvents", "events"):
        plan = plan_of(write(tmp_path / f"{name}.jsonl", [{name: broken}]))
        assert (plan.inputs[0].format, plan.ingest.requests, plan.ingest.not_a_call) == ("bedrock", 3, 3)
    assert unwrap({"events": [{"name": "not a log event"}]}) == [{"events": [{"name": "not a log event"}]}]


def test_bodies_that_bedrock_moved_beside_its_records_are_not_counted_again(tmp_path: Path):
    folder = tmp_path / "14" / "data"
    folder.mkdir(parents=True)
    (folder / "aws-req-1_output.json.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "14" / "20261001T140000Z.json.gz").write_bytes((TRACES / "bedrock_invocations.jsonl.gz").read_bytes())
    assert [Path(name).name for name in expand([str(tmp_path)])] == ["20261001T140000Z.json.gz"]
    assert plan_of(tmp_path).ingest.requests == 7
    named = str(folder / "aws-req-1_output.json.gz")
    assert list(expand([named])) == [named]


def test_openrouters_activity_by_day_is_an_aggregated_export(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
):
    table = tmp_path / "activity.csv"
    table.write_text(
        "date,model,model_permaslug,endpoint_id,provider_name,usage,byok_usage_inference,requests,prompt_tokens,"
        "completion_tokens,reasoning_tokens\n"
        "2026-10-01,openai/gpt-4o-mini,openai/gpt-4o-mini,e1,OpenAI,0.02,0,90,90000,10800,0\n"
    )
    ended = run(capsysbinary, "analyze", table)
    assert ended.code == 0 and b"1 row for 90 requests" in ended.out
