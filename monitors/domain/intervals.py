"""The times between heartbeats, as a histogram small enough to keep for years: without a database.

Buckets are powers of 2 ** (1/16), so a quantile is off by at most 2.2 %, and histograms add up exactly. A
millisecond is the least. Written as "94:28 95:2", which is 28 intervals in bucket 94 and 2 in bucket 95.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

# Of the natural logarithm; the databases use the same.
SCALE = 16 / math.log(2)
LEAST = 0.001
# By how much a quantile may be wrong, as a share.
ERROR = 2 ** (1 / 32) - 1


def bucket_of(seconds: float) -> int:
    """Return the bucket of an interval."""
    return math.floor(math.log(max(seconds, LEAST)) * SCALE)


def read(text: str) -> Counter[int]:
    """Return the number of intervals in each bucket; of several histograms with spaces between, their sum."""
    counts: Counter[int] = Counter()
    for part in text.split():
        bucket, number = part.split(":")
        counts[int(bucket)] += int(number)
    return counts


def write(counts: Mapping[int, int]) -> str:
    """Return a histogram as text, "" for none."""
    return " ".join(f"{bucket}:{number}" for bucket, number in sorted(counts.items()) if number)


def quantile(counts: Mapping[int, int], share: float) -> float | None:
    """Return the interval in seconds that `share` (0 to 1) of them don't exceed; None if there are none."""
    rank = max(math.ceil(share * sum(counts.values())), 1)
    for bucket in sorted(counts):
        rank -= counts[bucket]
        if rank <= 0:
            return math.exp((bucket + 0.5) / SCALE)
    return None
