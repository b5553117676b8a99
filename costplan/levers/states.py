"""The state that a set of levers comes to, and its number; levers that include each other, or are absent, share states.

A cache for similar prompts answers respelled and literal repeats too; structural compression includes the lossless
one; routing every call includes routing the verified ones. So 2^11 sets have at most 576 states, mostly far fewer.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from costplan.levers import LADDER, N_SETS

(
    RESPONSE, RESPELLED, SEMANTIC, COMPRESSION, STRUCTURAL, VERIFIED, ROUTING, MARKED_PREFIX, AUTOMATIC_PREFIX,
    BATCH_MARKED, BATCH_REST,
) = range(len(LADDER))  # fmt: skip
PREFIXES = BATCHES = 4


class State(NamedTuple):
    """What a set of levers does to the traffic."""

    cache: int
    """0 = none, 1 = literal repeats, 2 = respelled ones too, 3 = similar ones too."""
    compression: int
    """0 = none, 1 = lossless, 2 = structural too."""
    routing: int
    """0 = none, 1 = verified call sites, 2 = all that a cheaper model is known for."""
    batch: int
    """Bits: 2 = marked calls in batches, 1 = others."""
    prefix: int
    """Bits: 1 = prefixes marked, 2 = automatic caches kept warm."""


@dataclass(frozen=True, slots=True)
class Levels:
    """How far the levers of a run go; what is beyond does nothing."""

    caches: int = 3
    compressions: int = 1
    routings: int = 1

    @property
    def states(self) -> int:
        return self.alone * PREFIXES

    @property
    def alone(self) -> int:
        """States of a request that shares no prefix."""
        return self.caches * self.compressions * self.routings * BATCHES

    def of(self, chosen: int) -> State:
        """The state of a set."""
        cache = 3 if chosen >> SEMANTIC & 1 and self.caches > 3 else chosen >> RESPONSE & 1
        cache = max(cache, 2 * (chosen >> RESPELLED & 1))
        compression = max(2 * (chosen >> STRUCTURAL & 1), chosen >> COMPRESSION & 1)
        routing = max(2 * (chosen >> ROUTING & 1), chosen >> VERIFIED & 1)
        return State(
            min(cache, self.caches - 1), min(compression, self.compressions - 1), min(routing, self.routings - 1),
            2 * (chosen >> BATCH_MARKED & 1) + (chosen >> BATCH_REST & 1), chosen >> MARKED_PREFIX & 3,
        )  # fmt: skip

    def number(self, state: State) -> int:
        """Which column a state has; those that differ in the prompt cache only lie side by side."""
        number = (state.cache * self.compressions + state.compression) * self.routings + state.routing
        return (number * BATCHES + state.batch) * PREFIXES + state.prefix

    def all(self) -> list[State]:
        """By number."""
        sizes = (self.caches, self.compressions, self.routings, BATCHES, PREFIXES)
        return [State(*place) for place in np.ndindex(*sizes)]

    def columns(self) -> NDArray[np.int64]:
        """(N_SETS,) the column of every set."""
        return np.array([self.number(self.of(chosen)) for chosen in range(N_SETS)])
