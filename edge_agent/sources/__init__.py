"""Where readings come from: each source a small module behind `sources.source.Source`."""
