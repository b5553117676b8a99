"""Caches as the planted truth knows them: a table of what was stored when, and nothing else."""

from collections import OrderedDict
from collections.abc import Hashable

from costplan.generate.calls import Call, End
from costplan.profiles import CachePolicy


class Held:
    """Keys that live so long after they were stored or, with `refreshed`, last asked; times never fall."""

    def __init__(self, ttl_ms: float, *, refreshed: bool) -> None:
        self._ttl_ms, self._refreshed = ttl_ms, refreshed
        self._since: OrderedDict[Hashable, int] = OrderedDict()

    def has(self, key: Hashable, now_ms: int) -> bool:
        """Whether it is there; that alone changes nothing."""
        while self._since and now_ms - next(iter(self._since.values())) > self._ttl_ms:
            self._since.popitem(last=False)
        return key in self._since

    def ask(self, key: Hashable, now_ms: int) -> bool:
        """Whether it is there; stored if not."""
        found = self.has(key, now_ms)
        if not found or self._refreshed:
            self._since[key] = now_ms
            self._since.move_to_end(key)
        return found


class Prefixes:
    """What a provider could read instead of compute, by its rules, of prompts that come in order of time."""

    def __init__(self, policy: CachePolicy, model: str) -> None:
        self._least, self._step = policy.minimum_for(model), policy.step_tokens
        self._held = Held(1000 * policy.ttl_s, refreshed=True)

    def read(self, call: Call, ends: tuple[End, ...]) -> int:
        """Tokens up to the last of `ends` that is held; all of them are held from then on."""
        found = 0
        for end in ends:
            if self._held.ask(end.key, call.time_ms):
                found = end.tokens
        return found // self._step * self._step if found >= self._least else 0

    def peek(self, call: Call) -> int:
        """Tokens up to the last message whose end is held; what is held stays as it is."""
        found = max((end.tokens for end in call.ends if self._held.has(end.key, call.time_ms)), default=0)
        return found if found >= self._least else 0

    def long_enough(self, tokens: int) -> bool:
        return tokens >= self._least
