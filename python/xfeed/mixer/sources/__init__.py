"""One source per file."""
