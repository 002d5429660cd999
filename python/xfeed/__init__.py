"""The For You feed that anyone can install, run, read and trust."""
