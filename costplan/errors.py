"""Everything costplan raises on purpose; anything else that escapes is a bug and keeps its traceback.

CostplanError          one `error:` line and one `hint:` line, exit code 1
├── UsageError         the command line or a settings file is wrong, exit code 2
└── GateFailed         done, but a gate the user set is not met, exit code 3
"""


class CostplanError(Exception):
    """A mistake or an obstacle the user can act on.

    Args:
        message: what happened and where (`logs.jsonl:418`), one line, no log text.
        hint: what to type or change next, one line.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:  # survives the trip back from a worker process
        return (_rebuild, (type(self), self.message, self.hint))


class UsageError(CostplanError):
    """The request itself is wrong: an unknown option value, a malformed `--map`."""

    exit_code = 2


class GateFailed(CostplanError):
    """The work is done and written, but a gate set by the user does not hold."""

    exit_code = 3


def _rebuild(kind: type[CostplanError], message: str, hint: str) -> CostplanError:
    return kind(message, hint=hint)
