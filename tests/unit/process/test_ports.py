"""Ports: the one that was asked for, or the next that is free."""

import contextlib
import socket

import pytest

from rota.process import ports
from rota.process.ports import EndpointError, listen


def test_any_free_port_is_found_for_0() -> None:
    with listen("127.0.0.1", 0) as one, listen("127.0.0.1", 0) as other:
        assert one.getsockname()[1] != other.getsockname()[1]


def test_taken_ports_are_passed_over() -> None:
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(listen("127.0.0.1", 0)).getsockname()[1]
        got = [stack.enter_context(listen("127.0.0.1", first)).getsockname()[1] for _ in range(5)]
    assert got == sorted(set(got))
    assert got[0] > first


def test_where_all_in_reach_are_taken_any_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "PORTS", 1)
    with listen("127.0.0.1", 0) as taken, listen("127.0.0.1", taken.getsockname()[1]) as found:
        assert found.getsockname()[1] != taken.getsockname()[1]


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_a_host_that_is_not_ours_is_an_error_that_names_it(host: str) -> None:
    with pytest.raises(EndpointError, match=host):
        listen(host, 0)


def test_an_ipv6_address_is_as_good() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        sock = listen("::1", 0)
    except EndpointError:
        pytest.skip("this machine has no IPv6 address")
    with sock:
        assert sock.family == socket.AF_INET6
