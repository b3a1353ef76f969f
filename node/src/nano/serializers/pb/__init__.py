"""The body of an error, generated from ``proto/``; never edit it here."""
