"""The models: inputs become tokens, tokens pass the transformer, heads read the result."""
