"""Data: sources (published IDX files, drawn shapes), download, and the order of batches."""
