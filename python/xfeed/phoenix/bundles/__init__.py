"""Bundles: models on disk, written once, checked whenever they are read."""
