"""The texts of charts."""

from __future__ import annotations

import pytest

from monitors.pages.charts.text import ChartText


@pytest.mark.parametrize(
    ("low", "mean", "high", "shown"),
    [
        (32, 56.355713, 221, "56.36"),
        (0.001, 0.00123456, 0.002, "0.001235"),
        (100_000, 123_456.71, 200_000, "123,457"),
        (56.355713, 56.355713, 56.355713, "56.3557"),
        (-3, -2.5, -2, "−2.5"),
    ],
)
def test_the_mean_of_values_has_no_digits_that_mean_nothing(low, mean, high, shown):
    assert ChartText().of_values(3, low, mean, high).startswith(f"mean {shown}, min ")
