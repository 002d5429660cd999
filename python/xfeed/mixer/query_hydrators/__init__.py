"""One query hydrator per file."""
