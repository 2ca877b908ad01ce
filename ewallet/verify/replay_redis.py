"""A replay guard that several gates share: one Redis primary.

The rule is that of `ewallet.verify.replay`. Whatever Redis does not confirm is `replay.unavailable`; what
was spent in an act whose answer got lost stays spent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import MissingExtra, Refused
from ewallet.moments import seconds
from ewallet.verify.replay import AHEAD, KEEP, SLACK, Spending, replayed, unavailable

try:
    from redis import Redis, RedisError
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError as missing:
    raise MissingExtra("redis", "a replay guard in Redis") from missing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_SCRIPT: Final = """
local now, keep, ahead, slack = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local horizon = math.max(tonumber(redis.call('HGET', KEYS[1], 'horizon') or '0'), now)
local founded = redis.call('HGET', KEYS[1], 'founded')
if not founded then
  founded = tostring(now + ahead + 1)
end
local since = tonumber(founded)
local answer = 'ok'
for i = 2, #KEYS do
  local at, gap, ends = tonumber(ARGV[i * 3 - 1]), tonumber(ARGV[i * 3]), tonumber(ARGV[i * 3 + 1])
  if at < since or (gap > 0 and at < horizon - keep) or (gap == 0 and ends <= horizon) then
    answer = 'unknown'
    break
  end
  local after = redis.call('GET', KEYS[i])
  if after and (after == 'never' or at < tonumber(after)) then
    answer = tostring(i - 2)
    break
  end
end
redis.call('HSET', KEYS[1], 'founded', founded, 'horizon', string.format('%d', horizon))
if answer ~= 'ok' then return answer end
for i = 2, #KEYS do
  local at, gap, ends = tonumber(ARGV[i * 3 - 1]), tonumber(ARGV[i * 3]), tonumber(ARGV[i * 3 + 1])
  local after, left = 'never', ends - now
  if gap > 0 then
    after, left = string.format('%d', at + gap), at + gap + keep - now
  end
  redis.call('SET', KEYS[i], after, 'EX', string.format('%d', math.max(left, 1) + slack))
end
return 'ok'
"""

TIMEOUT: Final = 1.0
"""Seconds to wait for Redis: a gate that waits longer is a closed gate."""


def connect(url: str, *, timeout: float = TIMEOUT) -> Any:
    """A client as a guard wants it: short timeouts, and no second try.

    A try whose answer got lost may have spent the code: the next code decides, not the same one again.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        timeout: seconds to wait.
    """
    return Redis.from_url(
        url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0)
    )


class RedisGuard:
    """In one Redis primary, for any number of gates; one script per presentation is the atomic act.

    A Redis that comes back empty (flushed, failed over to an empty replica) has no founding mark: from then
    on codes made before that moment, and entries of periods that had begun, are `replay.unavailable`.
    `found` says deliberately that nothing was accepted before.

    Args:
        client: a client of the package `redis`.
        name: name of this guard; gates that share it give the same.
        keep: seconds that it answers for.
        ahead: seconds that codes may lie in the future.
    """

    durable: Final = True
    level: Final = "shared"

    def __init__(self, client: Any, *, name: str, keep: int = KEEP, ahead: int = AHEAD) -> None:
        self._client = client
        self._script = client.register_script(_SCRIPT)
        # The braces keep all keys of one guard in one slot of a cluster.
        self._prefix = b"{" + name.encode() + b"}:"
        self._keep = keep
        self._ahead = ahead

    def found(self) -> None:
        """Marks the guard as complete from the beginning: nothing was accepted before."""
        try:
            self._client.hset(self._prefix + b"mark", mapping={"founded": 0, "horizon": 0})
        except RedisError as error:
            raise unavailable("the guard's Redis does not answer") from error

    def spend(self, spendings: Sequence[Spending], *, now: datetime) -> None:
        """See `ReplayGuard.spend`."""
        try:
            answer = self._ask(self._client, spendings, now)
        except RedisError as error:
            raise _silent() from error
        refused = _refusal(answer, spendings)
        if refused is not None:
            raise refused

    def spend_each(self, groups: Sequence[Sequence[Spending]], *, now: datetime) -> Sequence[Refused | None]:
        """See `GatheringGuard.spend_each`: one way to Redis and back."""
        try:
            with self._client.pipeline(transaction=False) as pipe:
                for group in groups:
                    self._ask(pipe, group, now)
                answers = pipe.execute(raise_on_error=False)
        except RedisError:
            return [_silent() for _ in groups]
        return [_refusal(*each) for each in zip(answers, groups, strict=True)]

    def _ask(self, client: Any, spendings: Sequence[Spending], now: datetime) -> Any:
        keys = [self._prefix + b"mark", *(self._prefix + item.what for item in spendings)]
        numbers = [seconds(now), self._keep, self._ahead, SLACK]
        for item in spendings:
            numbers += [item.at, item.gap, item.until]
        return self._script(keys=keys, args=numbers, client=client)


def _silent() -> Refused:
    return unavailable("the guard's Redis does not answer")


def _refusal(answer: Any, spendings: Sequence[Spending]) -> Refused | None:
    """What the script's answer means; anything but its own words is no acceptance."""
    if answer == b"ok":
        return None
    if answer == b"unknown":
        return unavailable("it could have been accepted before this guard began to remember")
    if isinstance(answer, bytes) and answer.isdigit() and int(answer) < len(spendings):
        return replayed(spendings[int(answer)])
    return _silent()
