"""How nodes find each other and talk: membership, nano's calls, links, routes.

The only package that speaks gRPC.  :mod:`nano.cluster.server` is the door: it
serves one node's cluster address and keeps its view of the others.
"""
