"""``top``: how the nodes of a cluster fare, again and again, from their metrics.

``nanoctl top`` asks the nodes of this machine, ``kubectl nano top`` those of pods; what
becomes of the answers is the same, and here: :mod:`~nano.cli.top.scrapes` reads them,
:mod:`~nano.cli.top.figures` makes figures of two, :mod:`~nano.cli.top.words` puts those
into words, and :mod:`~nano.cli.top.live` shows them.
"""
