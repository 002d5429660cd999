"""The one table of areas: which handler answers which cases."""

from collections.abc import Mapping
from typing import Final

from xfeed.conformance import filters, scorers, selectors, thunder
from xfeed.conformance.shape import Shape

AREAS: Final[Mapping[str, tuple[Shape, ...]]] = {
    "filter.age": filters.AGE,
    "filter.author_socialgraph": filters.SOCIAL_GRAPH,
    "filter.drop_duplicates": filters.DUPLICATES,
    "filter.muted_keyword": filters.MUTED_KEYWORDS,
    "filter.previously_seen": filters.PREVIOUSLY_SEEN,
    "filter.retweet_dedup": filters.REPOST_DUPLICATES,
    "scorer.author_diversity": scorers.DIVERSITY,
    "scorer.oon": scorers.OUT_OF_NETWORK,
    "scorer.order": scorers.ORDER,
    "scorer.sep2026": scorers.WEIGHTED,
    "scorer.weighted": scorers.WEIGHTED,
    "selector.top_k": selectors.TOP_K,
    "source.thunder": thunder.ANCESTORS,
    "thunder.caps": thunder.READ,
    "thunder.deletes": thunder.READ,
    "thunder.duplicates": thunder.READ,
    "thunder.kafka": thunder.RAW_CREATES,
    "thunder.out_of_order": thunder.READ,
    "thunder.rate_limit": thunder.RATE_LIMIT,
    "thunder.reply_rule": thunder.READ,
    "thunder.request_defaults": thunder.REQUEST_DEFAULTS,
    "thunder.retention": thunder.RETENTION,
    "thunder.scan_limit": thunder.READ,
    "thunder.sort": thunder.READ,
    "thunder.trim": thunder.TRIM,
    "thunder.video": thunder.READ,
}
"""Area to the shapes of input that it knows."""
