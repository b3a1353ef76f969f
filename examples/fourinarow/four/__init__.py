"""Four in a row: a game whose matches outlive connections and backends."""
