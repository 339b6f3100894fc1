"""How sure a mean over people is: the few people of a split are drawn again and again."""

from collections.abc import Callable, Sequence

import numpy as np

DRAWS = 1000


def interval(
    people: Sequence[str], rows: Sequence[Sequence[float]], statistic: Callable[[np.ndarray], float] | None = None
) -> list[float]:
    """95 % bootstrap interval (Efron 1979) over people, who are drawn whole: frames of one face are not independent.

    Args:
        people: whose each row is.
        rows: N rows of one or more numbers.
        statistic: of an array (n, numbers); the mean of the first number unless given.

    Returns:
        [low, high].
    """
    table = np.asarray(rows, dtype=np.float64)
    groups = [np.flatnonzero(np.asarray(people) == person) for person in sorted(set(people))]
    random = np.random.default_rng(0)
    statistic = statistic or (lambda drawn: float(drawn[:, 0].mean()))
    drawn = [
        statistic(table[np.concatenate([groups[index] for index in random.integers(len(groups), size=len(groups))])])
        for _ in range(DRAWS)
    ]
    return [float(value) for value in np.quantile(drawn, (0.025, 0.975))]


def each(rows: Sequence[object]) -> list[str]:
    """A name for every row: for an `interval` over pictures, in which everybody appears once."""
    return [str(index) for index in range(len(rows))]


def by_person(people: Sequence[str], rows: Sequence[Sequence[float]]) -> np.ndarray:
    """Means of everybody's rows (N, numbers), so that each person counts the same: (people, numbers)."""
    table, names = np.asarray(rows, dtype=np.float64), np.asarray(people)
    return np.stack([table[names == person].mean(0) for person in sorted(set(people))])


def reduction(table: np.ndarray) -> float:
    """1 - mean of the first column / mean of the second: by how much an error fell below another."""
    return 1 - float(table[:, 0].mean() / table[:, 1].mean())


def geometric_mean(table: np.ndarray) -> float:
    """Of ratios, so that half and double weigh the same."""
    return float(np.exp(np.log(np.maximum(table[:, 0], 1e-9)).mean()))
