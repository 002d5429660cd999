"""Facts about the viewer, as one token of the prefix.

Both forms read the same columns: `SummedViewer` adds one vector per fact, `ConcatViewer` puts
narrower vectors side by side and multiplies them with one matrix. An unknown fact is row 0 of
its table or the number zero.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from xfeed.phoenix.input_config import ViewerFeatures
from xfeed.phoenix.model.inputs import ViewerColumns, clipped_lookup

N_GENDERS = 3
"""Unknown and two."""

N_INFERRED_GENDERS = 2


def fourier(latitude: Tensor, longitude: Tensor, n_frequencies: int) -> Tensor:
    """(B, 4 * n) sines and cosines of both angles in octaves; one turn spans the globe.

    Args:
        latitude: (B,) degrees.
        longitude: (B,) degrees.
        n_frequencies: octaves.
    """
    octaves = 2.0 ** torch.arange(n_frequencies, dtype=latitude.dtype, device=latitude.device)
    north = (latitude * (math.pi / 90))[:, None] * octaves
    east = (longitude * (math.pi / 180))[:, None] * octaves
    return torch.cat((north.sin(), north.cos(), east.sin(), east.cos()), dim=-1)


def number(column: Tensor | None, like: Tensor) -> Tensor:
    """(B,) a column as numbers, zeros where it is missing."""
    return torch.zeros_like(like) if column is None else column.to(like.dtype)


def apps_of(viewer: ViewerColumns, n_apps: int, like: Tensor) -> Tensor:
    """(B, n_apps) flags of installed apps, none where they are missing."""
    if viewer.apps is None:
        return like.new_zeros(like.shape[0], n_apps)
    return viewer.apps.to(like.dtype)


class SummedViewer(nn.Module):
    """One vector of the model's width per fact, added up.

    Args:
        config: the facts that are read.
        width: width of the model (D).
    """

    def __init__(self, config: ViewerFeatures, width: int) -> None:
        super().__init__()
        self.config = config
        D = width
        if "country" in config.fields:
            self.country_table = nn.Parameter(torch.empty(config.n_countries, D))
        if "language" in config.fields:
            self.language_table = nn.Parameter(torch.empty(config.n_languages, D))
        if "location" in config.fields:
            self.location_projection = nn.Parameter(torch.empty(4 * config.n_frequencies, D))
        if "apps" in config.fields:
            self.apps_projection = nn.Parameter(torch.empty(config.n_apps, D))
        if "gender" in config.fields:
            self.gender_table = nn.Parameter(torch.empty(N_GENDERS, D))
            self.inferred_gender_table = nn.Parameter(torch.empty(N_INFERRED_GENDERS, D))
        if "age" in config.fields:
            self.age_bracket_table = nn.Parameter(torch.empty(config.n_age_brackets, D))
            self.age_vector = nn.Parameter(torch.zeros(D))

    def forward(self, viewer: ViewerColumns, like: Tensor) -> Tensor:
        """(B, D); `like` is any (B,) tensor of the dtype and device to compute with."""
        fields, shape = self.config.fields, like.shape
        token = like.new_zeros(1)
        if "country" in fields:
            token = token + clipped_lookup(self.country_table, viewer.country, shape)
        if "language" in fields:
            token = token + clipped_lookup(self.language_table, viewer.language, shape)
        if "location" in fields:
            place = number(viewer.latitude, like), number(viewer.longitude, like)
            token = token + fourier(*place, self.config.n_frequencies) @ self.location_projection
        if "apps" in fields:
            token = token + apps_of(viewer, self.config.n_apps, like) @ self.apps_projection
        if "gender" in fields:
            token = token + clipped_lookup(self.gender_table, viewer.gender, shape)
            inferred = clipped_lookup(self.inferred_gender_table, viewer.inferred_gender, shape)
            token = token + inferred * number(viewer.inferred_gender_score, like)[:, None]
        if "age" in fields:
            token = token + clipped_lookup(self.age_bracket_table, viewer.age_bracket, shape)
            years = number(viewer.age_years, like).clamp_min(0).log1p()
            token = token + years[:, None] * self.age_vector
        return token


class ConcatViewer(nn.Module):
    """Narrower vectors side by side, times one matrix.

    Args:
        config: the facts that are read and their widths.
        width: width of the result (W).
    """

    def __init__(self, config: ViewerFeatures, width: int) -> None:
        super().__init__()
        self.config = config
        n_parts = 0
        if "country" in config.fields:
            self.country_table = _matrix(config.n_countries, config.country_width)
            n_parts += config.country_width
        if "language" in config.fields:
            self.language_table = _matrix(config.n_languages, config.language_width)
            n_parts += config.language_width
        if "location" in config.fields:
            place = config.location_width
            self.location_in = _matrix(4 * config.n_frequencies, place)
            self.location_bias = nn.Parameter(torch.zeros(place))
            self.location_out = _matrix(place, place)
            n_parts += place
        if "apps" in config.fields:
            self.apps_projection = _matrix(config.n_apps, config.apps_width)
            n_parts += config.apps_width
        if "gender" in config.fields:
            self.gender_score = _matrix(1, config.gender_score_width)
            n_parts += 2 + config.gender_score_width
        if "age" in config.fields:
            self.age_bracket_table = _matrix(config.n_age_brackets, config.age_bracket_width)
            self.age_in = _matrix(1, config.age_hidden)
            self.age_out = _matrix(config.age_hidden, config.age_width)
            n_parts += config.age_bracket_width + config.age_width
        # published models pad up to a fixed width; the rows of the padding never matter
        self.projection = _matrix(max(config.padded_width, n_parts), width)
        self.n_parts = n_parts

    def forward(self, viewer: ViewerColumns, like: Tensor) -> Tensor:
        """(B, W); `like` is any (B,) tensor of the dtype and device to compute with."""
        fields, shape = self.config.fields, like.shape
        parts = []
        if "country" in fields:
            parts.append(clipped_lookup(self.country_table, viewer.country, shape))
        if "language" in fields:
            parts.append(clipped_lookup(self.language_table, viewer.language, shape))
        if "location" in fields:
            place = number(viewer.latitude, like), number(viewer.longitude, like)
            waves = fourier(*place, self.config.n_frequencies)
            hidden = _gelu(waves @ self.location_in + self.location_bias)
            parts.append(hidden @ self.location_out)
        if "apps" in fields:
            parts.append(apps_of(viewer, self.config.n_apps, like) @ self.apps_projection)
        if "gender" in fields:
            score = number(viewer.inferred_gender_score, like)[:, None]
            parts.append(number(viewer.gender, like)[:, None])
            parts.append(number(viewer.inferred_gender, like)[:, None])
            parts.append(score @ self.gender_score)
        if "age" in fields:
            parts.append(clipped_lookup(self.age_bracket_table, viewer.age_bracket, shape))
            years = number(viewer.age_years, like).clamp_min(0).log1p()[:, None]
            parts.append(_gelu(years @ self.age_in) @ self.age_out)
        return torch.cat(parts, dim=-1) @ self.projection[: self.n_parts]


def _matrix(n_rows: int, n_columns: int) -> nn.Parameter:
    """A parameter to be filled."""
    return nn.Parameter(torch.empty(n_rows, n_columns))


def _gelu(x: Tensor) -> Tensor:
    """The tanh form of GELU."""
    return functional.gelu(x, approximate="tanh")
