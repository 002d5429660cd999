"""Hash families: how an id finds its rows in an embedding table.

Each kind of id has its own functions and table; every function gives one row, and the rows of
one id stand side by side. The arithmetic lives in the Rust core; here are only the constants.
"""

from __future__ import annotations  # the shapes of models can be read without the Rust core

from dataclasses import dataclass

from xfeed import _core
from xfeed.errors import ConfigError


@dataclass(frozen=True, slots=True)
class HashConfig:
    """The hash functions of one kind of id and the size of its table.

    Attributes:
        scales: multiplier of each function.
        biases: summand of each function, as many as `scales`.
        modulus: modulus after wrapping arithmetic.
        n_rows: rows of the table; row 0 is padding.
    """

    scales: tuple[int, ...]
    biases: tuple[int, ...]
    modulus: int
    n_rows: int

    def __post_init__(self) -> None:
        if not self.scales or len(self.scales) != len(self.biases):
            raise ConfigError(
                f"a hash needs as many biases as scales, got `{len(self.biases)}` and "
                f"`{len(self.scales)}`",
                code="bad_hash",
            )
        if self.modulus < 1 or self.n_rows < 2:
            raise ConfigError(
                f"a hash needs a modulus of at least 1 and 2 rows, got `{self.modulus}` and "
                f"`{self.n_rows}`",
                code="bad_hash",
            )

    @property
    def n_functions(self) -> int:
        """Number of rows that one id owns."""
        return len(self.scales)


def hash_family(hashed: HashConfig) -> _core.HashFamily:
    """The Rust core's form of a hash configuration."""
    return _core.HashFamily(list(hashed.scales), list(hashed.biases), hashed.modulus)


def user_hash(n_rows: int) -> HashConfig:
    """Published hash constants of viewers (August 2026 configuration)."""
    return HashConfig((196742702, 1852108266), (1935840681, 167407236), 2859568897, n_rows)


def item_hash(n_rows: int) -> HashConfig:
    """Published hash constants of posts (August 2026 configuration)."""
    return HashConfig((2161410491, 1754358832), (1935840681, 167407236), 2361375383, n_rows)


def author_hash(n_rows: int) -> HashConfig:
    """Published hash constants of authors (August 2026 configuration)."""
    return HashConfig((371965780, 328930218), (139686260, 37755056), 631860353, n_rows)


def address_hash(n_rows: int) -> HashConfig:
    """Published hash constants of network addresses (August 2026 configuration)."""
    return HashConfig((529482163, 1327604891), (742961053, 318205477), 1073741789, n_rows)


def language_hash(n_rows: int) -> HashConfig:
    """Hash constants of languages (xfeed's own)."""
    return HashConfig((1190494759, 2147001325), (613566757, 1431655765), 4294967291, n_rows)


def topic_hash(n_rows: int) -> HashConfig:
    """Hash constants of topics (xfeed's own)."""
    return HashConfig((1640531527, 2246822519), (374761393, 668265263), 4294967279, n_rows)
