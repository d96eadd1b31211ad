"""Proxies lead out of a machine; what is on it is reached past them."""

import os

import pytest

from lift import Client
from lift.proxies import is_here, pass_by

NOBODY = "http://127.0.0.1:9"  # a proxy that is not there


@pytest.fixture
def environment(monkeypatch):
    """One without proxies, which a test may change."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize(
    ("given", "listed"),
    [
        ({}, None),
        ({"HTTP_PROXY": NOBODY}, "localhost,127.0.0.1,::1"),
        ({"https_proxy": NOBODY, "NO_PROXY": "corp"}, "corp,localhost,127.0.0.1,::1"),
        ({"HTTP_PROXY": NOBODY, "NO_PROXY": "corp", "no_proxy": "lab"}, "lab,localhost,127.0.0.1,::1"),
    ],
)
def test_this_machine_is_added_to_what_proxies_are_not_for(environment, given, listed):
    for name, value in given.items():
        environment.setenv(name, value)
    for name in ("NO_PROXY", "no_proxy"):
        environment.setenv(name, os.environ.get(name, ""))  # so that what is set is undone
        if name not in given:
            del os.environ[name]
    pass_by()
    pass_by()  # as in a process that another one of ours has started
    assert (os.environ.get("no_proxy"), os.environ.get("NO_PROXY")) == (listed, listed)


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("127.0.0.1:7433", True),
        ("127.8.0.1:7433", True),
        ("[::1]:7433", True),
        ("localhost:7433", True),
        ("10.0.0.1:7433", False),
        ("lift.example:7433", False),
        ("localhost.example:7433", False),
    ],
)
def test_addresses_of_this_machine(address, here):
    assert is_here(address) is here


def test_a_client_reaches_a_gateway_of_its_machine_past_a_proxy(environment, gateway):
    environment.setenv("http_proxy", NOBODY)
    with Client(gateway.address, gateway.key) as client:
        assert list(client.documents.list()) == []
