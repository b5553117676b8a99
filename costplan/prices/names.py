"""Turns a logged provider and model name into names to look up; knows no price and never asks a price table.

Who bills a row is decided in this order: the logged provider, a gateway prefix in the model name (`groq/...`,
`bedrock/...`), the form of the name (a Bedrock id, a family only its maker sells, such as `claude-...`). Names of open
weights (`meta-llama/...`, `Qwen/...`, `gpt-oss-...`) say nothing about who serves them, so without a known provider
they stay unpriced rather than get some hoster's price. Fine-tuned models never fall back to their base model.
"""

import re
from dataclasses import dataclass

_PROVIDERS = {
    "openai": "openai openai-text text-completion-openai openai-responses oai",
    "azure": "azure azure-ai azure-openai azure-text azure.ai.openai azure.ai.inference az.ai.openai az.ai.inference",
    "aws": "aws bedrock aws.bedrock aws-bedrock bedrock-converse bedrock-mantle amazon-bedrock amazon amazon-nova",
    "google": "google gemini vertex vertex-ai vertex-ai-beta vertexai google-vertex google-vertexai google-genai "
    "google-ai-studio google-gla gcp.vertex-ai gcp.gemini gcp.gen-ai google-ai",
    "anthropic": "anthropic anthropic-text claude",
    "x-ai": "x-ai xai grok",
    "mistral": "mistral mistral-ai mistralai codestral text-completion-codestral",
    "groq": "groq groqcloud",
    "cohere": "cohere cohere-chat",
    "together": "together together-ai togetherai",
    "fireworks": "fireworks fireworks-ai fireworks-ai-embedding-models",
    "perplexity": "perplexity perplexity-ai",
    "moonshotai": "moonshotai moonshot moonshot-ai",
    "voyageai": "voyageai voyage",
    "novita": "novita novita-ai",
    "zai": "zai z-ai",
}
_SAME_NAME = (  # further genai-prices ids, logged as they are
    "deepseek openrouter github-copilot databricks cloudflare cerebras minimax arcee avian baseten cursor doubleword "
    "elevenlabs meta modal ovhcloud quicksilverpro typesafe zhipuai huggingface_cerebras huggingface_fireworks-ai "
    "huggingface_groq huggingface_hyperbolic huggingface_nebius huggingface_novita huggingface_nscale "
    "huggingface_ovhcloud huggingface_publicai huggingface_sambanova huggingface_together"
)
_PROVIDER_OF = {alias: provider for provider, aliases in _PROVIDERS.items() for alias in aliases.split()} | {
    provider.replace("_", "-"): provider for provider in _SAME_NAME.split()
}

# As a prefix of a model name these are (also) Hugging Face organisations of open weights, not a seller.
_ORGANISATIONS = frozenset(("mistralai", "moonshotai", "meta", "minimax", "databricks", "zai", "cerebras", "amazon"))

# Engines and gateways that serve whatever the user loaded: a name behind them has no list price.
_SELF_HOSTED = re.compile(
    r"^(hosted-)?(vllm|ollama(-chat)?|lm-?studio|llamafile|llama[-.]?cpp|sglang|tgi|huggingface|xinference|triton|local.*"
    r"|self-?hosted|sagemaker(-chat)?|petals|docker-model-runner|lemonade|oobabooga)$"
)

_FINE_TUNED = re.compile(
    r"(^|[/.:])ft[:-]|\.ft-|^tunedmodels/|:ft-|/tunedmodels/|(^|/)(provisioned|custom|imported)-model"
)
_BEDROCK = re.compile(
    r"^((us|eu|apac|global|jp|au|ca|in|us-gov)\.)?(anthropic|amazon|meta|mistral|cohere|ai21|deepseek|qwen|openai|stability"
    r"|writer|nvidia|google|minimax|moonshotai|moonshot|zai|twelvelabs|luma)\.[a-z]"
)
_OPEN_WEIGHTS = re.compile(r"^(gpt-oss|gpt-?2|gpt-neo|gpt-j|gemma|grok-1$|whisper-(large|medium|small|base|tiny))")
_MAKERS = (
    ("anthropic", re.compile(r"^claude-")),
    (
        "openai",
        re.compile(r"^(gpt-|chatgpt-|o[134](-|$)|text-embedding-(3|ada)|text-davinci|davinci-|babbage-|codex-|tts-1)"),
    ),
    ("openai", re.compile(r"^(whisper-1$|computer-use|dall-e|omni-moderation)")),
    ("google", re.compile(r"^(gemini-|text-embedding-00\d|learnlm)")),
    ("x-ai", re.compile(r"^grok-")),
    ("deepseek", re.compile(r"^deepseek-(chat|reasoner|flash)$")),
    ("cohere", re.compile(r"^command(-|$)")),
    ("perplexity", re.compile(r"^sonar(-|$)")),
    ("voyageai", re.compile(r"^voyage-")),
    # Mistral's API names end in -latest or a release month; its open weights add size and "Instruct" instead.
    ("mistral", re.compile(r"^(?!.*(instruct|base))[a-z]*(mi|code|dev|magi|mini|pix|vox)stral-.*(latest|\d{4})$")),
    ("mistral", re.compile(r"^(mistral-embed|open-mi[sx]tral-)")),
    ("fireworks", re.compile(r"^accounts/fireworks/models/")),
    ("cloudflare", re.compile(r"^@cf/")),
    ("databricks", re.compile(r"^databricks-")),
)

# Path parts that name a route or a region and not a model.
_ROUTE = re.compile(
    r"^(models|converse|invoke|converse_like|publishers|anthropic|google|openai|meta|mistralai|global|global-standard"
    r"|regional|eu|us|standard|(us|eu|ap|ca|sa|me|af)(-gov)?-[a-z]+-\d|[\w-]+\.foundation-model)$"
)
_VERTEX_PATH = re.compile(r"^projects/[^/]+/locations/[^/]+/")

# Words that do not make it another model: releases, regions, vendors and routes.
_HARMLESS = re.compile(
    r"^(latest|preview|exp|beta|instruct|chat|it|v|default|regional|us|eu|apac|global|jp|au|ca|in|anthropic|amazon|meta"
    r"|mistral|cohere|openai|google|deepseek|qwen|ai|models|accounts|fireworks|maas|high|low|medium|thinking|free|a)$"
)


@dataclass(frozen=True, slots=True)
class Lookup:
    """Names of one seller to try in order; `note` says what had to be assumed to get here."""

    provider: str
    refs: tuple[str, ...]
    note: str = ""


def provider_id(logged: str) -> str:
    """The genai-prices id of a provider as logs spell it, "" when it is not known."""
    name = re.sub(r"[\s_]+", "-", logged.strip().lower())
    if name.startswith(("vertex-ai-", "azure-", "bedrock-")):
        name = name.split("-")[0] if not name.startswith("vertex") else "vertex-ai"
    return _PROVIDER_OF.get(name, "")


def lookups(provider: str, model: str) -> list[Lookup] | str:
    """Whom to ask for which names, best first; or, as text, why the row has no list price."""
    name = model.strip().lower()
    if not name:
        return "no model name"
    if _FINE_TUNED.search(name):
        return "fine-tuned model: never priced as its base model, give its price with --prices"
    if name.startswith("arn:"):
        return "ARN: give the model behind it as an alias with --prices"
    seller = provider_id(provider)
    engine = re.sub(r"[\s_]+", "-", provider.strip().lower())
    if not seller and _SELF_HOSTED.match(engine):
        return f"served by '{provider}': no list price, give one with --prices"
    found: list[Lookup] = []
    if seller and not (seller in ("openai", "google") and _OPEN_WEIGHTS.match(name.rpartition("/")[2])):
        found.append(Lookup(seller, _without_routes(seller, name)))
    by_name = _by_name(name)
    if by_name is not None and by_name.provider != seller:
        note = (
            f"provider '{provider}' has no price for it, price of {by_name.provider} used" if provider.strip() else ""
        )
        found.append(Lookup(by_name.provider, by_name.refs, note))
    return found or "the name does not say who serves it: set the provider or give a price with --prices"


def vouches(ref: str, model_id: str) -> bool:
    """Whether a match by prefix or substring is the model asked for: both names must consist of the same words, apart
    from release dates, version numbers, regions and words such as `latest`. So `gpt-4o-clone` is not `gpt-4o`."""
    asked, listed = set(re.findall(r"[a-z]+", ref.lower())), set(re.findall(r"[a-z]+", model_id.lower()))
    return bool(asked & listed) and all(_HARMLESS.match(word) for word in asked ^ listed)


def _by_name(name: str) -> Lookup | None:
    head, _, rest = name.partition("/")
    if rest and head in ("litellm", "litellm_proxy"):
        return _by_name(rest)
    seller = provider_id(head) if rest and head not in _ORGANISATIONS else ""
    if seller and not (seller in ("openai", "google") and _OPEN_WEIGHTS.match(rest.rpartition("/")[2])):
        return Lookup(seller, _without_routes(seller, rest))
    if _BEDROCK.match(name):
        return Lookup("aws", (name,))
    bare = _VERTEX_PATH.sub("", name)
    while (parts := bare.partition("/"))[1] and _ROUTE.match(parts[0]) and not bare.startswith("accounts/"):
        bare = parts[2]
    if not _OPEN_WEIGHTS.match(bare):
        for maker, pattern in _MAKERS:
            if pattern.match(bare):
                return Lookup(maker, _without_routes(maker, bare))
    return None


def _without_routes(seller: str, name: str) -> tuple[str, ...]:
    """The name as given, then with prefixes that name the seller, a route or a region taken off one by one."""
    refs = [name]
    rest = _VERTEX_PATH.sub("", name)
    while True:
        head, slash, tail = rest.partition("/")
        if not slash or not (_PROVIDER_OF.get(head.replace("_", "-")) == seller or _ROUTE.match(head)):
            break
        rest = tail
        refs.append(rest)
    if seller == "fireworks" and not rest.startswith("accounts/"):
        refs.append(f"accounts/fireworks/models/{rest}")
    if seller == "azure":
        refs.append(rest.replace("gpt-35", "gpt-3.5"))
    if seller == "aws" and (regional := _BEDROCK.match(rest)) and regional[1]:
        refs.append(rest[len(regional[1]) :])
    if seller == "openrouter" and ":" in rest and not rest.endswith(":free"):
        refs.append(rest.partition(":")[0])
    return tuple(dict.fromkeys(refs))
