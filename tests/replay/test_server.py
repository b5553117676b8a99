"""What servers say of themselves, by servers of the standard library that say it."""

import json
import socket
import threading
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from costplan.errors import CostplanError, UsageError
from costplan.replay.server import api_root, describe, get, is_local, scrape
from hypothesis import given
from hypothesis import strategies as st
from tests.replay.engine import METRICS

VLLM = {
    "/v1/models": json.dumps({"data": [{"id": "m", "owned_by": "vllm", "max_model_len": 4096}]}),
    "/version": '{"version": "0.32.0"}',
    "/metrics": METRICS % 1,
}
Start = Callable[..., "Site"]


class Site(ThreadingHTTPServer):
    """Answers from a table of paths; remembers who asked what with which key."""

    def __init__(self, pages: dict[str, Any], status: int) -> None:
        self.pages, self.status = pages, status
        self.seen: list[tuple[str, str | None]] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers["Authorization"]))
        page = self.server.pages.get(self.path)
        if page and page.startswith("http"):
            self.send_response(302)
            self.send_header("Location", page)
            self.end_headers()
            return
        self.send_response(404 if page is None else self.server.status)
        self.end_headers()
        self.wfile.write((page or "").encode())

    def log_message(self, *_given: Any) -> None: ...


@pytest.fixture
def start() -> Generator[Start]:
    sites: list[Site] = []

    def run(pages: dict[str, Any], status: int = 200) -> Site:
        site = Site(pages, status)
        threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01}).start()
        sites.append(site)
        return site

    yield run
    for site in sites:
        site.shutdown()
        site.server_close()


def models(*names: str) -> dict[str, str]:
    return {"/v1/models": json.dumps({"data": [{"id": name} for name in names]})}


def test_vllm_says_its_version_and_its_cache(start: Start):
    facts = describe(start(VLLM).url)
    assert (facts.kind, facts.version, facts.model, facts.max_model_len) == ("vllm", "0.32.0", "m", 4096)
    assert (facts.block_size, facts.kv_blocks) == (128, 728)


def test_a_server_of_another_kind_is_asked_for_its_models_alone(start: Start):
    site = start(models("a", "b"))
    facts = describe(site.url, "b")
    assert (facts.kind, facts.model, facts.version, facts.block_size) == ("openai-compatible", "b", None, None)
    assert [path for path, _ in site.seen] == ["/v1/models"]


def test_vllm_without_metrics_or_version_is_still_vllm(start: Start):
    facts = describe(start({"/v1/models": VLLM["/v1/models"]}).url)
    assert (facts.kind, facts.version, facts.block_size) == ("vllm", None, None)


def test_the_key_goes_to_the_api_and_nowhere_else(start: Start):
    site = start(VLLM)
    describe(site.url, api_key="secret")
    assert site.seen == [("/v1/models", "Bearer secret"), ("/metrics", None), ("/version", None)]


def test_a_redirect_is_not_followed(start: Start):
    other = start(VLLM)
    site = start({"/v1/models": f"{other.url}/models"})
    with pytest.raises(CostplanError, match="HTTP 302"):
        describe(site.url, api_key="secret")
    assert other.seen == []


def test_a_wrong_name_is_told_with_the_names_there_are(start: Start):
    with pytest.raises(CostplanError, match="does not serve 'llama-8'") as caught:
        describe(start(models("llama-8b", "qwen")).url, "llama-8")
    assert caught.value.hint == "--model llama-8b"
    with pytest.raises(CostplanError) as caught:
        describe(start(models("llama-8b", "qwen")).url, "zzz")
    assert caught.value.hint == "--model llama-8b or --model qwen"


def test_of_several_models_one_has_to_be_named(start: Start):
    with pytest.raises(UsageError, match="serves 2 models"):
        describe(start(models("a", "b")).url)


@pytest.mark.parametrize("key", [None, "secret"])
def test_a_refused_key_is_told_without_the_key(key: str | None, start: Start):
    with pytest.raises(CostplanError, match="HTTP 401") as caught:
        describe(start(models("m"), status=401).url, api_key=key)
    assert "OPENAI_API_KEY" in caught.value.hint and "secret" not in repr(caught.value)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_told_from_a_wrong_address(status: int, start: Start):
    with pytest.raises(CostplanError, match=f"not ready .HTTP {status}"):
        describe(start(models("m"), status=status).url)


@pytest.mark.parametrize("page", ["", "<html>", "[]", '{"data": {}}', '{"data": [3, {"id": 4}]}', "null"])
def test_what_is_no_list_of_models_is_no_such_server(page: str, start: Start):
    with pytest.raises(CostplanError, match="not an OpenAI-compatible server"):
        describe(start({"/v1/models": page}).url)


def test_a_name_cannot_write_on_the_terminal(start: Start):
    with pytest.raises(CostplanError) as caught:
        describe(start(models("a\x1b[31m\n", "b")).url, "c")
    assert caught.value.hint.isprintable()


def test_a_server_that_is_down_is_told_with_what_to_do():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(CostplanError, match="connection refused") as caught:
        describe(f"http://127.0.0.1:{port}")
    assert "--serve" in caught.value.hint
    assert scrape(f"http://127.0.0.1:{port}") is None


def test_a_page_without_metrics_of_vllm_is_no_scrape(start: Start):
    assert scrape(start({"/metrics": "up 1\n"}).url) is None
    assert get(start({}).url).status == 404


@pytest.mark.parametrize(
    ("pasted", "root"),
    [
        ("http://h:8000", "http://h:8000/v1"),
        ("http://h:8000/", "http://h:8000/v1"),
        ("http://h:8000/v1/", "http://h:8000/v1"),
        ("http://h:8000/v1/chat/completions", "http://h:8000/v1"),
        ("https://h/api/v1/completions", "https://h/api/v1"),
        (" https://[::1]:1/openai/v1 ", "https://[::1]:1/openai/v1"),
    ],
)
def test_an_address_is_taken_in_all_the_ways_it_is_pasted(pasted: str, root: str):
    assert api_root(pasted) == root


@pytest.mark.parametrize("text", ["", "h:8000", "ftp://h", "http://", "http://h:x", "http://[", "http://h:0"])
def test_what_is_no_address_is_told(text: str):
    with pytest.raises(UsageError, match="not the address of a server"):
        api_root(text)


@pytest.mark.parametrize("text", ["https://user:secret@h/v1", "https://h/v1?key=secret"])
def test_a_key_in_an_address_is_refused_and_not_repeated(text: str):
    with pytest.raises(UsageError) as caught:
        api_root(text)
    assert "secret" not in repr(caught.value)


@given(st.text())
def test_any_text_is_an_address_or_a_mistake(text: str):
    try:
        assert api_root(text).startswith("http")
    except UsageError as mistake:
        assert mistake.hint


def test_a_server_on_this_machine_is_known_by_its_address():
    assert [is_local(f"http://{host}:1/v1") for host in ("127.0.0.1", "localhost", "[::1]", "10.0.0.1", "h")] == [
        True, True, True, False, False,
    ]  # fmt: skip
