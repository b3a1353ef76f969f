"""Encrypted: nodes show each other certificates."""

from __future__ import annotations

from nano_operator.conditions.view import Verdict, View

__all__ = ["encrypted"]


def encrypted(view: View) -> Verdict:
    """True when the cluster port speaks mutual TLS with valid certificates."""
    return view.encryption
