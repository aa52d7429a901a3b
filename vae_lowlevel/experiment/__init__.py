"""A run from config to export."""
