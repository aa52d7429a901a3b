"""Exports for serving: the signatures, how they are published, and how NumPy arrays go through."""
