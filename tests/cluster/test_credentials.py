"""A node's certificate: what it must be, and how a new one is taken up."""

from __future__ import annotations

import logging
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from nano.cluster.credentials import Credentials, node_name, role_uri
from nano.errors import UsageError
from nano.runtime.certificates import LOOK_AFTER

from .certificates import CLUSTER, Authority, Secret

AUTHORITY = Authority()
STRANGER = Authority()


@pytest.fixture
def secret(tmp_path: Path) -> Secret:
    return Secret(tmp_path / "tls", AUTHORITY, "backend")


def test_a_cluster_has_one_name_and_each_role_a_uri() -> None:
    assert node_name("games/chat") == "node.chat.games"
    assert role_uri("games/chat", "master") == "nano://node.chat.games/master"


def test_a_good_certificate_is_taken(secret: Secret) -> None:
    credentials = secret.credentials()
    assert credentials.name == "node.demo.default"
    assert credentials.generation == 0
    assert 0 < credentials.term.ends - time.time() < 2 * 86_400
    life = timedelta(days=31)  # it began a month ago, and has a day to go
    assert credentials.term.ends - credentials.term.begins == life.total_seconds()


def test_only_a_master_has_to_name_its_role(tmp_path: Path) -> None:
    nameless = Secret(tmp_path / "tls", AUTHORITY)
    for role in ("gate", "backend"):
        Credentials(CLUSTER, role, nameless.files)
    with pytest.raises(UsageError, match=r"no URI nano://node\.demo\.default/master"):
        Credentials(CLUSTER, "master", nameless.files)


def test_several_authorities_may_be_believed(secret: Secret) -> None:
    secret.believe(STRANGER, AUTHORITY)
    secret.credentials()


WRONG = {
    "another cluster's": (
        AUTHORITY.issue("default/other"),
        AUTHORITY.pem,
        r"it is for node\.other\.default, and .* by node\.demo\.default",
    ),
    "a wildcard": (
        AUTHORITY.issue(names=[x509.DNSName("*.demo.default")]),
        AUTHORITY.pem,
        r"it is for \*.demo.default, and",
    ),
    "without a name": (
        AUTHORITY.issue(names=[x509.RFC822Name("a@b.c")]),
        AUTHORITY.pem,
        "it is for no DNS name",
    ),
    "a stranger's": (
        STRANGER.issue(),
        AUTHORITY.pem,
        "unable to get local issuer certificate",
    ),
    "expired": (AUTHORITY.issue(days=-1), AUTHORITY.pem, "certificate has expired"),
    "for servers only": (
        AUTHORITY.issue(usages=[ExtendedKeyUsageOID.SERVER_AUTH]),
        AUTHORITY.pem,
        "unsuit",
    ),
    "for clients only": (
        AUTHORITY.issue(usages=[ExtendedKeyUsageOID.CLIENT_AUTH]),
        AUTHORITY.pem,
        "unsuit",
    ),
    "no certificate": ((b"hello", AUTHORITY.issue()[1]), AUTHORITY.pem, "no good PEM"),
    "another one's key": (
        (AUTHORITY.issue()[0], AUTHORITY.issue()[1]),
        AUTHORITY.pem,
        "the key belongs to another certificate",
    ),
    "nobody is believed": (AUTHORITY.issue(), b"", "no good PEM|NO_CERTIFICATE"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_bad_certificate_is_the_users_error_and_named(
    secret: Secret, what: str
) -> None:
    pair, authorities, message = WRONG[what]
    secret.put(*pair, authorities)
    with pytest.raises(UsageError, match=message) as caught:
        secret.credentials()
    for file in (secret.files.cert, secret.files.key, secret.files.authorities):
        assert str(file) in str(caught.value)


def test_a_file_that_is_missing_is_the_users_error(secret: Secret) -> None:
    secret.files.authorities.unlink()
    with pytest.raises(UsageError, match="No such file"):
        secret.credentials()


def test_new_files_are_taken_up_when_it_is_time_to_look(secret: Secret) -> None:
    counts = Counter[str]()
    credentials = Credentials(CLUSTER, "backend", secret.files, counts)
    credentials.tick(100.0)
    secret.issue(AUTHORITY)
    credentials.tick(100.0 + LOOK_AFTER / 2)
    assert credentials.generation == 0
    credentials.tick(100.0 + LOOK_AFTER)
    credentials.tick(100.0 + 2 * LOOK_AFTER)
    assert credentials.generation == 1
    secret.believe(AUTHORITY, STRANGER)
    credentials.tick(100.0 + 3 * LOOK_AFTER)
    assert credentials.generation == 2
    assert counts == {"taken": 2}


def test_bad_files_are_reported_once_and_change_nothing(
    secret: Secret, caplog: pytest.LogCaptureFixture
) -> None:
    counts = Counter[str]()
    credentials = Credentials(CLUSTER, "backend", secret.files, counts)
    secret.put(*STRANGER.issue(), AUTHORITY.pem)
    for _ in range(3):
        credentials.refresh()
    assert credentials.generation == 0
    assert counts == {"refused": 1}
    (line,) = (it for it in caplog.records if it.levelno == logging.ERROR)
    assert "keeps its certificate" in line.getMessage()
    assert "unable to get local issuer certificate" in line.getMessage()
    secret.issue(AUTHORITY)
    credentials.refresh()
    assert credentials.generation == 1
    assert counts == {"refused": 1, "taken": 1}
