"""Losses, optimizers, training and evaluation."""
