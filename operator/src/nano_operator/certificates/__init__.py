"""Certificates of nodes: decided in a table, read and made by a library.

:mod:`.machine` decides and knows neither PEM nor Kubernetes; :mod:`.reading` tells it
what Secrets hold; :mod:`.making` makes keys and certificates.
"""
