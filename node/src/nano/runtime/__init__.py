"""What runs inside a node: sessions, components and the way between them.

Nothing here knows a socket, a client protocol's bytes or another node.  A session
speaks to its client through a :class:`~nano.runtime.session.Home`, which is a
connection on a gate and a link on a backend; a message finds its handler through
:class:`~nano.runtime.dispatch.Dispatcher`, which takes local and remote routes alike.
"""
