"""Data: sources (published, drawn or the user's own), download, and the order of batches."""
