"""What a server says of itself over HTTP: models, version, cache, metrics; knows not how to load or to start one."""

import difflib
import http.client
import ipaddress
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

from costplan.errors import CostplanError, UsageError
from costplan.replay.metrics import Scrape, parse_metrics
from costplan.results.measurement import ServerFacts

KEY_VARIABLE = "OPENAI_API_KEY"
"""The environment variable that holds the key of the API; there is no flag for it, since process lists show flags."""
_ENDPOINTS = ("/chat/completions", "/completions", "/models")
_SHOWN = 5
"""Names of models in a hint."""


class _Model(msgspec.Struct):
    id: str
    owned_by: str | None = None
    max_model_len: int | None = None


class _Listing(msgspec.Struct):
    data: list[_Model]


class _Version(msgspec.Struct):
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Of a server; redirects are not followed, since the key would go with them."""

    status: int
    text: str


def describe(
    url: str, model: str | None = None, api_key: str | None = None, key_variable: str = KEY_VARIABLE
) -> ServerFacts:
    """The facts of the server at `http://host:port/v1` (or any path below it).

    `model` None = the only one served; `key_variable` is where the user keeps the key. Raises CostplanError when the
    server is down, wants another key or does not serve the model.
    """
    api = api_root(url)
    found = _choose(api, _models(api, api_key, key_variable), model)
    if found.owned_by != "vllm":
        return ServerFacts(url=api, kind="openai-compatible", model=found.id, max_model_len=found.max_model_len)
    metrics = scrape(url)
    cache = metrics.info.get("cache_config_info", {}) if metrics else {}
    return ServerFacts(
        url=api, kind="vllm", version=_version(api), model=found.id, max_model_len=found.max_model_len,
        block_size=_whole(cache.get("block_size")), kv_blocks=_whole(cache.get("num_gpu_blocks")),
    )  # fmt: skip


def api_root(url: str) -> str:
    """`http://host:port/v1` for what people paste: with or without the slash at the end, the /v1 or the endpoint."""
    try:
        parts = urlsplit(url.strip())
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a bracket without its pair
        parts, known = urlsplit(""), False
    if parts.username or parts.password or parts.query:
        raise UsageError("--url with a key in it would end up in reports", hint=f"export {KEY_VARIABLE}=...")
    if not known:
        raise UsageError(f"not the address of a server: {url!r}", hint="--url http://127.0.0.1:8000/v1")
    path = parts.path.rstrip("/")
    for endpoint in _ENDPOINTS:
        path = path.removesuffix(endpoint)
    return f"{parts.scheme}://{parts.netloc}{path or '/v1'}"


def is_local(url: str) -> bool:
    """The server runs on this machine, so that its GPUs are those one sees here."""
    return is_here(urlsplit(url).hostname or "")


def is_here(host: str) -> bool:
    """This machine, by the name or number of its loopback."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def fetch(
    url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None, timeout_s: float = 30.0
) -> Answer:
    """The answer to a GET, or to a POST of the body, whatever its status.

    Raises OSError or http.client.HTTPException when there is no answer at all.
    """
    request = urllib.request.Request(url, body, {"User-Agent": "costplan", **(headers or {})})
    handlers: list[Any] = [_NoRedirect, *([urllib.request.ProxyHandler({})] if is_local(url) else [])]
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=timeout_s) as response:
            return Answer(status=response.status, text=response.read().decode("utf-8", "replace"))
    except urllib.error.HTTPError as refused:
        with refused:
            return Answer(status=refused.code, text=refused.read().decode("utf-8", "replace"))


def scrape(url: str, timeout_s: float = 10.0) -> Scrape | None:
    """The metrics of a vLLM server, now; None where there are none. Without the key: vLLM asks for none there."""
    try:
        answer = fetch(f"{_host_root(api_root(url))}/metrics", timeout_s=timeout_s)
    except (OSError, http.client.HTTPException):
        return None
    found = parse_metrics(answer.text)
    return found if answer.status == 200 and found.counters else None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any, **_named: Any) -> None:
        return None


def _host_root(api: str) -> str:
    """vLLM serves /metrics and /version beside /v1."""
    return api.removesuffix("/v1")


def _models(api: str, api_key: str | None, key_variable: str) -> list[_Model]:
    """The entries of /v1/models."""
    try:
        answer = fetch(f"{api}/models", {"Authorization": f"Bearer {api_key}"} if api_key else {})
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        said = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        raise CostplanError(
            f"no answer from {api}: {said.lower()}", hint="start the server, or let costplan do it: --serve MODEL"
        ) from None
    if answer.status in (401, 403):
        what = "does not accept the key" if api_key else "wants a key"
        raise CostplanError(f"{api} {what} (HTTP {answer.status})", hint=f"export {key_variable}=...")
    if answer.status == 429 or answer.status >= 500:
        raise CostplanError(f"{api} is not ready (HTTP {answer.status})", hint="try again when it has less to do")
    with suppress(msgspec.DecodeError):
        if answer.status == 200 and (models := msgspec.json.decode(answer.text, type=_Listing).data):
            return models
    raise CostplanError(
        f"{api}/models names no model (HTTP {answer.status}): not an OpenAI-compatible server",
        hint="--url takes the address that ends in /v1",
    )


def _choose(api: str, models: list[_Model], name: str | None) -> _Model:
    """The one that is meant."""
    found = models[0] if name is None and len(models) == 1 else next((m for m in models if m.id == name), None)
    if found:
        return found
    names = [model.id for model in models]
    near = difflib.get_close_matches(name or "", names, _SHOWN) or names[:_SHOWN]
    hint = " or ".join(f"--model {_safe(each)}" for each in near)
    if name is None:
        raise UsageError(f"{api} serves {len(names)} models, which is meant?", hint=hint)
    raise CostplanError(f"{api} does not serve {name!r}", hint=hint)


def _safe(name: str) -> str:
    """What a server calls itself cannot write on the terminal."""
    return name[:120] if name.isprintable() else ascii(name[:120])


def _version(api: str) -> str | None:
    with suppress(OSError, http.client.HTTPException, msgspec.DecodeError):
        return msgspec.json.decode(fetch(f"{_host_root(api)}/version").text, type=_Version).version
    return None


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
