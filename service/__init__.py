"""Batchlens: every augmented batch has a URL."""

__version__ = "0.1.0"
