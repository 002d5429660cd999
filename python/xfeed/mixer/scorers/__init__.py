"""One scorer per file."""
