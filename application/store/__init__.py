"""The one log: append-only, gapless, in commit order, on PostgreSQL and SQLite alike."""
