"""The `xfeed` command line: one file per command."""

from xfeed.cli.app import app, main

__all__ = ["app", "main"]
