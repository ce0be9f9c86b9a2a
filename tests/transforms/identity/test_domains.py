"""Registered domains by the public suffix list."""

import pytest

from transforms.identity.domains import with_registered

HOSTS = {
    "acme.com": "acme.com",
    "shop.acme.co.uk": "acme.co.uk",
    "a.b.c.acme.de": "acme.de",
    "co.uk": None,
    "com": None,
    "acme.myshopify.com": "acme.myshopify.com",
    "myshopify.com": None,
    "www.acme.kawasaki.jp": "www.acme.kawasaki.jp",
    "acme.nowhere": "acme.nowhere",
    "x.acme.nowhere": "acme.nowhere",
    "müller.de": "müller.de",
}


@pytest.fixture(scope="module")
def registered(rows):
    table = rows("accounts", *({"account_id": host, "domain": host} for host in HOSTS), {"account_id": "none"})
    result = with_registered(table, "domain").to_pyarrow().to_pylist()
    return {row["account_id"]: row["domain"] for row in result}


@pytest.mark.parametrize("host", HOSTS)
def test_is_what_was_registered_below_a_public_suffix(registered, host):
    assert registered[host] == HOSTS[host]


def test_no_row_is_lost_and_none_is_doubled(registered):
    assert len(registered) == len(HOSTS) + 1
    assert registered["none"] is None
