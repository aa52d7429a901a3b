"""Layers: `tf.Module`s whose variables exist after `__init__`; one a file."""
