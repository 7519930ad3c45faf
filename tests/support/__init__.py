"""What the tests stand on: a real Redis, a real PostgreSQL, a whole running Stepwell, a real browser."""
