"""Mean and variance as they come, one value at a time (Welford, Technometrics 4, 1962)."""

from dataclasses import dataclass
from math import inf, sqrt


@dataclass(frozen=True, slots=True)
class Moments:
    """Of ``count`` values; ``squares`` is the sum of squared distances from their mean."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def told(self, value: float) -> "Moments":
        """With one more value.

        >>> Moments().told(1.0).told(2.0).told(6.0)
        Moments(count=3, mean=3.0, squares=14.0)
        """
        count, away = self.count + 1, value - self.mean
        mean = self.mean + away / count
        return Moments(count, mean, self.squares + away * (value - mean))

    @property
    def standard_error(self) -> float:
        """Of the mean; unknown, that is infinite, below two values."""
        if self.count < 2:
            return inf
        return sqrt(self.squares / (self.count - 1) / self.count)


def beyond(one: Moments, other: Moments) -> float:
    """By how many standard errors of the difference the first mean is above the second.

    0 where either is unknown.

    >>> beyond(Moments(50, 1.2, 50.0), Moments(50, 0.2, 50.0)) > 4
    True
    """
    error = sqrt(one.standard_error**2 + other.standard_error**2)
    if error == 0:
        return inf if one.mean > other.mean else 0.0
    return (one.mean - other.mean) / error if error < inf else 0.0
