"""The published checkpoints and the published pipeline, in our terms."""
