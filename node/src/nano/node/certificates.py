"""Where a node finds its certificates, by what the manifest says of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nano.cluster.credentials import CertificateFiles, Credentials
from nano.cluster.strangers import Strangers
from nano.errors import UsageError
from nano.metrics import Gauge, Metrics
from nano.node.options import NodeOptions, Role
from nano.runtime.certificates import Term

__all__ = ["cluster_credentials", "secret_folder", "tell_term"]


def secret_folder(options: NodeOptions, secret: str, owner: str) -> Path:
    """Return the folder that a Secret is in.

    Args:
        options: Of the node.
        secret: Its name.
        owner: Whose certificate is in it, for the error.

    Raises:
        UsageError: The node was not told where Secrets are.
    """
    if options.tls_dir:
        return Path(options.tls_dir, secret).absolute()
    message = (
        f"{owner} has its certificate in the Secret {secret}, which there is in "
        f"Kubernetes only; name a folder with {secret}/tls.crt and tls.key in it by "
        "--tls-dir"
    )
    raise UsageError(message)


def cluster_credentials(
    options: NodeOptions, cluster: str, metrics: Metrics, strangers: Strangers
) -> Credentials | None:
    """Return what the node shows the others; ``None`` if the cluster port is plain.

    Args:
        options: Of the node.
        cluster: ``namespace/name``.
        metrics: Where new certificates are counted, and the end of this one told.
        strangers: Where nodes are counted that are not believed.

    Raises:
        UsageError: The certificate cannot be used.
    """
    tls = options.manifest.spec.cluster_tls
    if tls is None:
        return None
    tls = tls.named(options.manifest.metadata.name)
    if tls.secret_name:
        own = tls.master_secret_name if options.role is Role.MASTER else ""
        folder = secret_folder(options, own or tls.secret_name, "the cluster port")
        files = CertificateFiles(
            folder / "tls.crt", folder / "tls.key", folder / "ca.crt"
        )
    else:
        here = Path(options.app_dir)
        files = CertificateFiles(
            here / tls.cert_file, here / tls.key_file, here / tls.ca_file
        )
    counts = metrics.cluster_certificates
    made = Credentials(cluster, options.role.value, files, counts, strangers)
    tell_term(metrics, "cluster", lambda: made.term)
    return made


def tell_term(metrics: Metrics, listener: str, term: Callable[[], Term | None]) -> None:
    """Have *metrics* tell when the certificate of *listener* holds."""
    ends = (
        "When the certificate ends, in seconds since 1970, by listener; that of the "
        "cluster port under that name."
    )
    life = "For how many seconds this certificate is valid in all."

    def gauges() -> list[Gauge]:
        labels, known = {"listener": listener}, term()
        if known is None:
            return []
        return [
            ("nano_certificate_expiry_seconds", ends, labels, known.ends),
            ("nano_certificate_life_seconds", life, labels, known.ends - known.begins),
        ]

    metrics.gauges.append(gauges)
