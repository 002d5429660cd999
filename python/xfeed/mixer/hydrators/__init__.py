"""One hydrator per file."""
