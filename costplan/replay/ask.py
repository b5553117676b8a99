"""The few questions put to a server before the run: how it counts tokens, so that prompts get their exact length."""

import json
from collections.abc import Callable
from dataclasses import replace
from http.client import HTTPException
from typing import Any, Literal, cast
from urllib.parse import urlsplit, urlunsplit

from costplan.errors import CostplanError
from costplan.replay.bodies import Style, salted
from costplan.replay.server import fetch
from costplan.replay.synth import common_words, single_tokens

_PROBE_WORDS = 64
_WAIT_S = 120.0
Prompts = Literal["log", "synthetic"]
Endpoint = Literal["chat", "completions"]


def generation_url(url: str, endpoint: Endpoint) -> str:
    """`http://host:port/v1` -> the address that requests go to."""
    return url.rstrip("/") + ("/chat/completions" if endpoint == "chat" else "/completions")


def put(style: Style, url: str, key: str | None) -> Style:
    """The style with what this server says about tokens: ids of ordinary words, or what it adds to a text of words.

    Whatever it will not say is left as it is; the count of each prompt is checked against its usage after the run.
    """
    if style.prompts == "log":
        return style
    if style.endpoint == "completions" and style.vllm:
        try:
            found = single_tokens(common_words(), _tokenizer(url, style.model, key))
        except CostplanError:
            found = []
        if len(found) > _PROBE_WORDS:
            return replace(style, vocabulary=tuple(found))
    text = "".join(f" {word}" for word in common_words()[:_PROBE_WORDS])
    ask: dict[str, Any] = {"model": style.model, "max_tokens": 1, "temperature": 0}
    if style.endpoint == "chat":
        ask["messages"] = [{"role": "user", "content": salted(text, style)}]
    else:
        ask["prompt"] = salted(text, style)
    answer = post(generation_url(url, style.endpoint), key, ask)
    counted = cast(dict[str, Any], answer.get("usage") or {}).get("prompt_tokens")
    return replace(style, overhead_tokens=max(0, counted - _PROBE_WORDS)) if isinstance(counted, int) else style


def post(url: str, key: str | None, fields: dict[str, Any]) -> dict[str, Any]:
    """The JSON answer. Raises CostplanError; neither the key nor the server's text is part of the message."""
    try:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        answer = fetch(url, headers, json.dumps(fields).encode(), _WAIT_S)
        if answer.status != 200:
            what = "the key in the environment" if answer.status in (401, 403) else "--url, --model and --endpoint"
            raise CostplanError(f"{url}: the server answers HTTP {answer.status}", hint=f"check {what}")
        found = json.loads(answer.text)
    except (OSError, HTTPException, ValueError) as error:
        raise CostplanError(f"{url}: no answer ({type(error).__name__})", hint="is the server up?") from None
    return cast(dict[str, Any], found) if isinstance(found, dict) else {}


def _tokenizer(url: str, model: str, key: str | None) -> Callable[[str], list[int]]:
    parts = urlsplit(url)
    address = urlunsplit((parts.scheme, parts.netloc, "/tokenize", "", ""))

    def tokenize(text: str) -> list[int]:
        found = post(address, key, {"model": model, "prompt": text, "add_special_tokens": False}).get("tokens")
        if not isinstance(found, list):
            raise CostplanError(f"{address}: no tokens in the answer", hint="--endpoint chat")
        return cast(list[int], found)

    return tokenize
