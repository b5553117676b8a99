"""Bodies: the log's own words untouched, made-up words that share what the trace shares, the same bytes everywhere."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from costplan.replay.bodies import Style, write_script
from costplan.replay.schedule import closed
from costplan.replay.script import Script
from costplan.replay.synth import as_text, common_words, prompt_numbers, single_tokens
from costplan.replay.traffic import PROMPT_BLOCK, Traffic, read_traffic, request_of
from costplan.serving.workload import Workload
from costplan.trace import Call, Message

ROOT = Path(__file__).resolve().parents[2]
TINY, MOONCAKE = str(ROOT / "traces/tiny.jsonl"), str(ROOT / "traces/mooncake_conversation_excerpt.jsonl")
LOG = Style(model="m", endpoint="chat", prompts="log", vllm=True, salt="s1")
IDS = Style(model="m", endpoint="completions", prompts="synthetic", vllm=True, salt="s1", vocabulary=tuple(range(512)))
WORDS = Style(model="m", endpoint="chat", prompts="synthetic", vllm=False, salt="s1")
DIGEST = """
import hashlib, sys
from pathlib import Path
from costplan.replay.bodies import Style, write_script
from costplan.replay.schedule import closed
from costplan.replay.traffic import read_traffic
import numpy as np
trace, folder, salt = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
traffic = read_traffic([trace], folder, text=True)
kinds = ("log", "synthetic") if (traffic.text_start >= 0).all() else ("synthetic",)
for prompts in kinds:
    for vocabulary in ((), tuple(range(512))):
        style = Style(model="m", endpoint="chat" if prompts == "log" or not vocabulary else "completions",
                      prompts=prompts, vllm=bool(vocabulary), salt=salt, vocabulary=vocabulary)
        path = folder / "bodies"
        write_script(traffic, closed(np.arange(len(traffic.row))), style, path)
        print(hashlib.sha256(path.read_bytes().replace(salt.encode(), b"SALT")).hexdigest())
"""


def bodies(script: Script) -> list[dict[str, Any]]:
    data = script.bodies.read_bytes()
    return [json.loads(data[start:end]) for start, end in pairwise(script.offsets.tolist())]


def script_of(traffic: Traffic, style: Style, folder: Path) -> Script:
    return write_script(traffic, closed(np.arange(len(traffic.row))), style, folder / "bodies")


@pytest.mark.parametrize("trace", [TINY, MOONCAKE], ids=["log", "hashes"])
def test_two_processes_write_the_same_bytes_but_for_the_salt(trace: str, tmp_path: Path):
    found: list[str] = []
    for seed, salt in (("1", "aaaa"), ("2", "bbbb")):
        folder = tmp_path / salt
        folder.mkdir()
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        ran = subprocess.run(
            [sys.executable, "-c", DIGEST, trace, str(folder), salt],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        found.append(ran.stdout)
    assert found[0] == found[1] and len(found[0].split()) == (4 if trace == TINY else 2)


def test_the_tokens_of_a_block_are_the_same_on_every_machine():
    """Pinned: whoever changes this makes runs of two versions of costplan incomparable."""
    one = Workload(
        arrival_s=np.zeros(1), input_tokens=np.array([18], np.int32), output_tokens=np.ones(1, np.int32),
        shared_offsets=np.array([0, 1]), shared_ids=np.array([3], np.int32),
    )  # fmt: skip
    numbers = prompt_numbers(one, 0, 7).tolist()
    assert len(numbers) == 18 and numbers[:2] == [3406530004, 1396453828]
    assert numbers[16:] == [2663927644, 1964945346]
    assert prompt_numbers(one, 0, 8).tolist()[:16] == numbers[:16]
    assert len(set(common_words())) == 512


def test_a_logged_request_keeps_its_messages_and_gets_the_run_s_fields(tmp_path: Path):
    traffic = read_traffic([TINY], tmp_path, text=True)
    assert traffic.trace.left_out == {"failed calls": 1}
    found = bodies(script_of(traffic, LOG, tmp_path))
    original = json.loads(Path(TINY).read_text("utf-8").splitlines()[0])
    first = found[0]
    assert first["messages"] == original["request"]["messages"]
    tokens = original["response"]["usage"]["completion_tokens"]
    assert (first["max_tokens"], first["min_tokens"], first["ignore_eos"]) == (tokens, tokens, True)
    assert (first["model"], first["temperature"], first["stream"]) == ("m", 0.0, True)
    assert first["stream_options"] == {"include_usage": True} and first["cache_salt"] == "s1"


def test_answers_that_are_kept_have_their_own_length_and_other_servers_get_no_field_of_vllm(tmp_path: Path):
    traffic = read_traffic([TINY], tmp_path, text=True)
    free = Style(model="m", endpoint="chat", prompts="log", vllm=True, salt="x", forced=False)
    assert all(
        "ignore_eos" not in each and "min_tokens" not in each for each in bodies(script_of(traffic, free, tmp_path))
    )
    other = Style(model="m", endpoint="chat", prompts="log", vllm=False, salt="x")
    for each in bodies(script_of(traffic, other, tmp_path)):
        assert {"ignore_eos", "min_tokens", "cache_salt"} & set(each) == set()
        assert each["messages"][0]["content"].startswith("run x\n")


def test_tools_go_along_and_those_of_another_vendor_become_functions():
    schema = {"type": "object", "properties": {"q": {"type": "string"}}}
    function = {"type": "function", "function": {"name": "f", "parameters": schema}}
    call = {"id": "call_9", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    logged = Call(
        messages=[
            Message(role="user", content=[{"type": "text", "text": "hi"}]),
            Message(role="assistant", content=None, tool_calls=[call]),
            Message(role="tool", content=[{"type": "tool_result", "content": "42"}]),
        ],
        tools=[function, {"name": "g", "description": "d", "input_schema": schema}],
    )
    found = request_of(logged)
    assert found["tools"][0] == function
    assert found["tools"][1]["function"] == {"name": "g", "description": "d", "parameters": schema}
    assert found["messages"][0]["content"] == [{"type": "text", "text": "hi"}]
    assert found["messages"][1]["tool_calls"] == [call]
    assert found["messages"][2] == {"role": "tool", "content": "42", "tool_call_id": "call_9"}


def test_made_up_prompts_have_the_exact_length_and_share_exactly_the_blocks_of_the_trace(tmp_path: Path):
    traffic = read_traffic([MOONCAKE], tmp_path, text=True)
    work = traffic.trace.workload
    found = bodies(script_of(traffic, IDS, tmp_path))
    assert [len(each["prompt"]) for each in found] == work.input_tokens.tolist()
    assert [each["max_tokens"] for each in found] == work.output_tokens.tolist()
    tree: dict[tuple[int, bytes], int] = {}
    ids: set[int] = set()
    hits = expected = 0
    for request, each in enumerate(found):
        blocks = int(work.input_tokens[request]) // PROMPT_BLOCK
        shared = work.shared_ids[work.shared_offsets[request] : work.shared_offsets[request + 1]].tolist()[:blocks]
        leading = [number in ids for number in shared]
        expected += leading.index(False) if False in leading else len(leading)
        ids.update(shared)
        prompt, node = np.array(each["prompt"], np.int64), -1
        for start in range(0, blocks * PROMPT_BLOCK, PROMPT_BLOCK):
            step = node, prompt[start : start + PROMPT_BLOCK].tobytes()
            hits += step in tree
            node = tree.setdefault(step, len(tree))
    assert hits == expected > 1000


def test_a_window_of_a_trace_asks_what_the_whole_trace_asks_there(tmp_path: Path):
    traffic = read_traffic([MOONCAKE], tmp_path, text=False)
    whole = bodies(script_of(traffic, IDS, tmp_path))
    part = write_script(traffic, closed(np.arange(50, 60)), IDS, tmp_path / "part")
    assert bodies(part) == whole[50:60]


def test_words_make_up_for_what_the_server_adds(tmp_path: Path):
    traffic = read_traffic([MOONCAKE], tmp_path, text=False)
    style = Style(model="m", endpoint="chat", prompts="synthetic", vllm=False, salt="s1", overhead_tokens=9)
    text = bodies(script_of(traffic, style, tmp_path))[0]["messages"][0]["content"]
    salt, _, words = text.partition("\n")
    assert salt == "run s1" and len(words.split()) == int(traffic.trace.workload.input_tokens[0]) - 9
    assert words == as_text(prompt_numbers(traffic.trace.workload, 0, int(traffic.row[0]))[:-9], common_words())


def test_words_that_are_several_tokens_are_found_by_halves():
    asked: list[str] = []

    def tokenize(text: str) -> list[int]:
        asked.append(text)
        return [k for word in text.split() for k in ([1, 2] if word.startswith("x") else [len(word)])]

    assert single_tokens(["aa", "xb", "ccc", "d", "xe"], tokenize) == [2, 3, 1]
    assert all(text.startswith(" ") for text in asked)
