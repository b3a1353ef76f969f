"""The only code that touches clients' sockets.

A :class:`~nano.transports.listener.Listener` accepts connections; each becomes a
:class:`~nano.transports.connection.ClientTransport`, which moves bytes between
the socket and :class:`nano.protocol.Connection` and is the home of one session.
Other nodes are none of this package's business.
"""
