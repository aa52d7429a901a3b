"""Images in TFRecord shards, read into memory or streamed from disk."""
