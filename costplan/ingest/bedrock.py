"""Amazon Bedrock's model invocation logs, from S3 or CloudWatch, of Converse and InvokeModel; knows no body moved away.

The counts beside the bodies are three that do not overlap: `inputTokenCount` leaves out cache reads and writes.
"""

from typing import Any

from costplan.ingest.fields import as_dict, as_int, as_list, as_text, dig, time_us
from costplan.ingest.gateway import labels_of
from costplan.ingest.loose import tier_of
from costplan.ingest.request import read_labels, read_request, soft_float
from costplan.ingest.response import read_error, read_response, set_usage, side_calls
from costplan.ingest.sse import assemble
from costplan.ingest.usage import Usage, usage_of
from costplan.trace import BadRecord, Call, NotACall

NAME = "bedrock"
RULE = (
    "inputTokenCount leaves out cache reads and writes, which are added; they stand under two names each and count "
    "once; unverified: errorCode and the paths of bodies that were moved to S3"
)

# https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html, "Errors"
_STATUS = {
    "ThrottlingException": 429, "ModelNotReadyException": 429, "ServiceQuotaExceededException": 400,
    "ValidationException": 400, "AccessDeniedException": 403, "ResourceNotFoundException": 404,
    "ModelTimeoutException": 408, "ModelErrorException": 424, "ModelStreamErrorException": 424,
    "InternalServerException": 500, "ServiceUnavailableException": 503,
}  # fmt: skip
_METRICS = "amazon-bedrock-invocationMetrics"


def matches(record: dict[str, Any]) -> bool:
    """`schemaType` is ModelInvocationLog."""
    return record.get("schemaType") == "ModelInvocationLog"


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """The call, with one more per sub-inference on another model; counting tokens and guardrails alone are no calls."""
    if not matches(record) and "modelId" not in record:
        raise BadRecord("no_invocation_log")  # --format bedrock on something else
    operation = as_text(record.get("operation")) or "InvokeModel"
    if not operation.startswith(("Converse", "InvokeModel")):
        return [NotACall("bedrock_" + ("count_tokens" if operation == "CountTokens" else "other_operation"))]
    asked, answered = as_dict(record.get("input")), as_dict(record.get("output"))
    call = Call(
        provider="aws",
        request_id=as_text(record.get("requestId")),
        time_us=time_us(record.get("timestamp")),
        user=as_text(dig(record, "identity", "arn")),
        stream="Stream" in operation,
        request_model=model_of(as_text(record.get("modelId")) or ""),
    )
    metadata = as_dict(record.get("requestMetadata"))
    read_labels(call, metadata)
    call.tags = call.tags or labels_of(metadata)
    request_id, model = call.request_id, call.request_model
    read_request(call, as_dict(asked.get("inputBodyJson")))
    body = _body(answered.get("outputBodyJson"))
    read_response(call, body)
    call.request_id, call.request_model = request_id, model
    if "embed" in model and not call.output_text:
        call.operation = "embeddings"
    elif "rerank" in model:
        call.operation = "rerank"
    if not model.startswith("arn:"):
        call.response_model = ""  # Anthropic's own name of the model; the bill follows Bedrock's
    tier: Any = body.get("serviceTier") or dig(asked.get("inputBodyJson"), "serviceTier")
    call.service_tier = tier_of(dig(tier, "type")) or call.service_tier
    metrics = as_dict(body.get(_METRICS))  # of a streamed InvokeModel: milliseconds
    call.ttft_s, taken = (_seconds(metrics.get(name)) for name in ("firstByteLatency", "invocationLatency"))
    call.duration_s = taken if call.duration_s is None else call.duration_s
    _usage(call, asked, answered, usage_of(body))
    if error := as_text(record.get("errorCode")):
        read_error(call, error, _STATUS.get(error))
        call.error_type = error if error.isidentifier() else call.error_type
        call.possibly_billed = bool(call.output_tokens)
    return [*side_calls(call, body)]


def model_of(model_id: str) -> str:
    """The model in an id or in the ARN of a model or a system's profile; the ARN of one's own profile stays one."""
    kind, slash, name = model_id.rpartition("/")
    named = slash and kind.rpartition(":")[2] in {"foundation-model", "inference-profile"}
    return name if named and model_id.startswith("arn:") else model_id


def _seconds(milliseconds: Any) -> float | None:
    number = soft_float(milliseconds)
    return None if number is None else number / 1000


def _usage(call: Call, asked: dict[str, Any], answered: dict[str, Any], body: Usage | None) -> None:
    """Counts beside the bodies first, since a streamed body may hold the output's start value only; the body tells
    cache writes of an hour, reasoning, and what older records do not count."""
    body = body or Usage()
    fresh, out = as_int(asked.get("inputTokenCount")), as_int(answered.get("outputTokenCount"))
    names = ("cacheReadInputTokenCount", "cacheWriteInputTokenCount")
    read, written = (as_int(asked.get(name)) for name in names)
    read = body.cache_read_tokens if read is None else read
    written = body.cache_write_tokens if written is None else written
    reported = body.cache_reported or any(name in asked for name in names)
    set_usage(
        call,
        Usage(
            body.input_tokens if fresh is None else fresh + read + written,
            body.output_tokens if out is None else out,
            read,
            written,
            min(body.cache_write_1h_tokens, written),
            body.reasoning_tokens,
            body.other_units,
            reported,
        ),
    )


def _body(value: Any) -> dict[str, Any]:
    """The response body, put together where it was logged as a list of stream chunks."""
    chunks = [as_dict(chunk) for chunk in as_list(value)]
    if not chunks:
        return as_dict(value)
    body, _ = assemble(chunks)
    texts: list[str] = []
    for chunk in chunks:
        parts = (
            dig(chunk, "contentBlockDelta", "delta", "text"), chunk.get("outputText"), chunk.get("generation"),
            *(dig(part, "text") for part in as_list(chunk.get("outputs"))),
        )  # fmt: skip
        texts += [part for part in parts if isinstance(part, str)]
        start = dig(chunk, "contentBlockStart", "start")
        body |= {key: value for key, value in as_dict(chunk.get("metadata")).items() if key in ("usage", "metrics")}
        if stop := dig(chunk, "messageStop", "stopReason"):
            body["stopReason"] = stop
        if dig(start, "toolUse"):
            body["content"] = [*as_list(body.get("content")), start]
        if _METRICS in chunk:
            body[_METRICS] = chunk[_METRICS]
    return body | ({"text": "".join(texts)} if texts else {})
