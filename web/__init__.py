"""Thin HTTP over use cases and queries: schema, route, error mapping, and nothing else."""
