"""Quantiles of a stream of durations, in little memory however long the stream is."""

import math
from collections import Counter

__all__ = ["Quantiles"]

# Up to this many values are kept exactly. Beyond, each counts as the middle of its bucket, which is at most 0.5 % off.
_EXACT_VALUES = 1000
_BUCKET_RATIO = 1.01
_LOG_RATIO = math.log(_BUCKET_RATIO)
# Shorter values share one bucket: records have three decimals of a millisecond.
_SHORTEST = 0.001


class Quantiles:
    """The quantiles of a stream. Add values above 0, then ask."""

    def __init__(self) -> None:
        self.count = 0
        self.max = 0.0
        self._values: list[float] = []
        self._buckets: Counter[int] = Counter()

    def add(self, value: float) -> None:
        self.count += 1
        if value > self.max:
            self.max = value
        if self.count <= _EXACT_VALUES:
            self._values.append(value)
            return
        if self._values:
            self._buckets.update(map(_bucket, self._values))
            self._values.clear()
        self._buckets[_bucket(value)] += 1

    def quantile(self, share: float) -> float:
        """Return the least value that at least this share of all does not exceed: 2 for half of 1, 2, 3, 4; 0 if empty."""
        rank = max(1, math.ceil(share * self.count))
        if self._values:
            return sorted(self._values)[rank - 1]
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= rank:
                return min(self.max, _SHORTEST * math.pow(_BUCKET_RATIO, bucket - 0.5))
        return self.max


def _bucket(value: float) -> int:
    """Return the number of a value's bucket. Bucket n ends at _SHORTEST * _BUCKET_RATIO ** n."""
    return math.ceil(math.log(max(value, _SHORTEST) / _SHORTEST) / _LOG_RATIO)
