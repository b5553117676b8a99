"""The decided policy as a configuration: LiteLLM proxy, vLLM semantic router, plain YAML; nothing is decided here.

Only what is verified is switched; what needs a test stands in a comment (LiteLLM, semantic router) or under `to_test`.
LiteLLM: a `model_name` per call site, which the application asks for (docs.litellm.ai/docs/proxy/configs). Semantic
router: a decision per call site by the request's metadata `call_site` (config version v0.3 of
github.com/vllm-project/semantic-router, config/config.yaml).
"""

import re
from pathlib import Path
from typing import Any

from costplan.errors import UsageError
from costplan.results.route import Route, RouteSite

FORMATS = ("litellm", "semantic-router", "yaml")
_HEAD = "# Written by costplan route: {headline}\n"
_PREFIX = {
    "openai": "openai", "anthropic": "anthropic", "google": "gemini", "mistral": "mistral", "deepseek": "deepseek",
    "x-ai": "xai", "groq": "groq", "cohere": "cohere_chat", "azure": "azure", "aws": "bedrock",
    "together": "together_ai", "fireworks": "fireworks_ai", "moonshotai": "moonshot", "openrouter": "openrouter",
    "perplexity": "perplexity", "cerebras": "cerebras",
}  # fmt: skip
"""Of a model in litellm, by the seller's genai-prices id."""


def export_files(wanted: tuple[str, Path], document: Route) -> list[tuple[Path, bytes]]:
    """One file. Raises UsageError for a format that is not known."""
    kind, path = wanted
    content = {"litellm": _litellm, "semantic-router": _semantic_router, "yaml": _plain}[kind](document)
    return [
        (path, (_HEAD.format(headline=_one_line(document.headline)) + _tests(kind, document) + _yaml(content)).encode())
    ]


def check_format(kind: str, policy: str | None) -> None:
    """Before the work: raises UsageError for what cannot be exported."""
    if kind not in FORMATS:
        raise UsageError(f"--export {kind}: no such format", hint=f"--export {' or '.join(FORMATS)} FILE")
    if policy not in (None, "site"):
        raise UsageError(
            f"--export with --policy {policy}: only call sites can be told apart by a gateway",
            hint="leave --policy out, or --policy site",
        )


def _one_line(text: str) -> str:
    return re.sub(r"[^ -~]+", " ", text)[:400]


def _tests(kind: str, document: Route) -> str:
    if kind == "yaml":
        return ""
    tests = [site for site in document.by_call_site if site.advice == "test"]
    return "".join(
        _one_line(f"# to test first: {s.call_site}: {s.candidate} for {s.model} ({s.why})") + "\n" for s in tests
    )


def _yaml(content: dict[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(content, sort_keys=False, allow_unicode=False)


def _model(site: RouteSite) -> tuple[str, str]:
    """(seller, model) that answers the site from now on."""
    if site.advice != "switch" or site.candidate is None:
        return site.provider, site.model
    return next((offer.provider, offer.model) for offer in site.offers if offer.model == site.candidate)


def _litellm(document: Route) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for site, name in _named(document):
        seller, model = _model(site)
        today = f"{_PREFIX.get(site.provider, site.provider)}/{site.model}"
        row: dict[str, Any] = {
            "model_name": name,
            "litellm_params": {
                "model": f"{_PREFIX.get(seller, seller)}/{model}", "api_key": f"os.environ/{_key(seller)}",
            },
        }  # fmt: skip
        rows.append(row)
        if site.advice == "switch":
            rows.append({
                "model_name": f"{name}-before", "litellm_params": {
                    "model": today, "api_key": f"os.environ/{_key(site.provider)}",
                },
            })  # fmt: skip
    switched = [name for site, name in _named(document) if site.advice == "switch"]
    fallbacks = [{name: [f"{name}-before"]} for name in switched]
    found: dict[str, Any] = {"model_list": rows}
    if fallbacks:
        found["router_settings"] = {"fallbacks": fallbacks, "context_window_fallbacks": fallbacks}
    return found


def _key(seller: str) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", seller.upper()) + "_API_KEY"


def _named(document: Route) -> list[tuple[RouteSite, str]]:
    """Call sites with a name each; several models at one site are told apart by the model."""
    uses = [site.call_site for site in document.by_call_site]
    return [
        (site, site.call_site if uses.count(site.call_site) == 1 else f"{site.call_site}/{site.model}")
        for site in document.by_call_site
    ]


def _semantic_router(document: Route) -> dict[str, Any]:
    models: dict[str, str] = {}
    for site in document.by_call_site:
        models |= {site.model: site.provider, _model(site)[1]: _model(site)[0]}
    switched = [(site, name) for site, name in _named(document) if site.advice == "switch"]
    default = max(document.by_call_site, key=lambda site: site.cost_usd).model
    return {
        "version": "v0.3",
        "providers": {
            "defaults": {"model": default},
            "models": [
                {"name": name, "provider_model_id": name, "backend_refs": [
                    {"name": seller, "provider": seller, "api_key_env": _key(seller), "weight": 100},
                ]} for name, seller in models.items()
            ],
        },
        "routing": {
            "modelCards": [{"name": name} for name in models],
            "signals": {"metadata": [
                {"name": _signal(at), "key": "call_site", "predicate": {"equals": site.call_site}}
                for at, (site, _) in enumerate(switched, 1)
            ]},
            "decisions": [
                {"name": f"route_{at:02d}", "description": name, "priority": 100, "rules": {
                    "operator": "AND", "conditions": [{"type": "metadata", "name": _signal(at)}],
                }, "modelRefs": [{"model": _model(site)[1], "use_reasoning": False}]}
                for at, (site, name) in enumerate(switched, 1)
            ],
        },
    }  # fmt: skip


def _signal(number: int) -> str:
    return f"call_site_{number:02d}"


def _plain(document: Route) -> dict[str, Any]:
    def row(site: RouteSite) -> dict[str, Any]:
        loss = site.loss_points
        return {
            "call_site": site.call_site, "from": f"{site.provider}/{site.model}", "to": "/".join(_target(site)),
            "saving_usd": site.saving_usd.value, "loss_points_at_most": loss.high, "why": site.why,
        }  # fmt: skip

    return {
        "routing": {
            "verdict": document.headline, "tier": document.tier, "max_loss_points": document.max_loss_points,
            "switch": [row(site) for site in document.by_call_site if site.advice == "switch"],
            "to_test": [row(site) for site in document.by_call_site if site.advice == "test"],
            "stay": [
                {"call_site": site.call_site, "model": f"{site.provider}/{site.model}"}
                for site in document.by_call_site if site.advice == "stay"
            ],
        }
    }  # fmt: skip


def _target(site: RouteSite) -> tuple[str, str]:
    return next((offer.provider, offer.model) for offer in site.offers if offer.model == site.candidate)
