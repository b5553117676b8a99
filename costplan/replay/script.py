"""What a run will send: bodies on disk and, for each request, when it is due; knows no socket and no clock."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from costplan.units import SECONDS_PER_HOUR


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Script:
    """n requests in the order in which they are due."""

    bodies: Path
    """All request bodies, one after the other, without HTTP headers; mapped into memory, never read whole."""
    offsets: NDArray[np.int64]
    """(n + 1,): body i is bodies[offsets[i]:offsets[i + 1]]."""
    due_s: NDArray[np.float64]
    """(n,) seconds after the start of the run, not decreasing; not used in a closed loop."""
    previous: NDArray[np.int64]
    """(n,) row of the request of the same session whose answer has to be there first; -1 = none."""
    think_s: NDArray[np.float64]
    """(n,) from the end of that answer to this request, which is then due; 0 where there is none before."""
    input_tokens: NDArray[np.int32]
    """(n,) that the trace says; -1 = not known. Likewise `output_tokens`."""
    output_tokens: NDArray[np.int32]

    @property
    def requests(self) -> int:
        return len(self.due_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where requests go."""

    url: str
    """`http://host:port/v1/completions`: scheme, host, port and the whole path."""
    headers: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    """On every request; the key of the API is in here and in no message, report or process list."""

    @property
    def key(self) -> str:
        """What no record may show."""
        found = {name.lower(): value for name, value in self.headers.items()}
        return found.get("authorization", "").removeprefix("Bearer ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How the script is played."""

    concurrency: int = 0
    """0 = open loop: requests go out when they are due. N = closed loop: the next one when one of N is done."""
    timeout_s: float = float(SECONDS_PER_HOUR)
    """From the send to the last byte; then the request has failed."""
    stall_s: float = 120.0
    """Without a further byte of the answer for so long, the request has failed; its beginning may take five times that
    long."""
    max_failures: int | None = None
    """The run stops after so many; the rest is unsent."""
    processes: int = 0
    """0 = as many as the load asks for (one, until a core would be over 60 % busy)."""
    collect: bool = False
    """Keep the text of the answers."""
