"""The operator: keeps in Kubernetes what a NanoCluster resource describes.

``resources`` and ``conditions`` say what there should be and how it stands, ``plan``
what to do about the difference; all three are pure.  ``kube`` talks to the API
server, ``reconcile`` and ``controller`` bring the parts together, ``handlers``
connects kopf's watches, and ``python -m nano_operator`` starts it all.
"""

from __future__ import annotations

__all__: list[str] = []
