"""The human store: projects, people, leased items and append-only judgements, in SQLite or PostgreSQL."""
