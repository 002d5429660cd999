"""One selector per file."""
