"""The models: a transformer that ranks, two towers that retrieve, their training and bundles.

Every module below here may load torch, so nothing outside imports one at module level.
"""
