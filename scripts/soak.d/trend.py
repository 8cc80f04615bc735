"""Straight lines through samples, and how sure they are."""
from dataclasses import dataclass

# Samples next to each other are no independent witnesses; means of longer stretches nearly are.
STRETCHES = 12
# Of Student's distribution with STRETCHES - 2 degrees of freedom: 95 % lie within.
T_95 = 2.228


@dataclass(frozen=True)
class Slope:
    """Growth in a second, and by how much it may be wrong (95 % of the time by less)."""

    value: float
    error: float

    def minus(self, other):
        return Slope(self.value - other.value, (self.error**2 + other.error**2) ** 0.5)


def means(values):
    """Of STRETCHES equal stretches."""
    size = len(values) / STRETCHES
    parts = (values[round(i * size) : round((i + 1) * size)] for i in range(STRETCHES))
    return [sum(part) / len(part) for part in parts]


def slope(seconds, values):
    """Least squares through the means."""
    x, y = means(seconds), means(values)
    x_mean, y_mean = sum(x) / STRETCHES, sum(y) / STRETCHES
    spread = sum((at - x_mean) ** 2 for at in x)
    value = sum((at - x_mean) * (what - y_mean) for at, what in zip(x, y)) / spread
    rest = sum((what - y_mean - value * (at - x_mean)) ** 2 for at, what in zip(x, y))
    return Slope(value, T_95 * (rest / (STRETCHES - 2) / spread) ** 0.5)
