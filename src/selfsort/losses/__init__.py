"""Losses: pure functions of tensors that return scalars by name."""
