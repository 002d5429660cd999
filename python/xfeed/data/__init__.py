"""Synthetic communities: deterministic streams of events to try, teach and test with."""

from xfeed.data.community import Community, community
from xfeed.data.config import CommunityConfig

__all__ = ["Community", "CommunityConfig", "community"]
