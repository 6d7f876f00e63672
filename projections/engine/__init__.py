"""The engine: takes events in batches, keeps every read model exactly once, rebuilds them."""
