"""The messages between nodes, generated from ``proto/``; never edit them here."""
