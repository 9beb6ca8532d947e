from ipaddress import ip_address

import pytest

from rota.errors import FetchRefused
from rota.model.webhooks.destinations import Allowed, check_url, is_public


def test_a_list_of_what_is_allowed_has_networks_and_names() -> None:
    allowed = Allowed.parse(" 10.1.0.0/16,fd00::/8  Hooks.Internal, *.svc.local 192.168.0.9")
    assert [str(one) for one in allowed.networks] == ["10.1.0.0/16", "fd00::/8", "192.168.0.9/32"]
    assert allowed.has_name("hooks.internal.")
    assert allowed.has_name("A.b.svc.local")
    assert not any(map(allowed.has_name, ("svc.local", "xhooks.internal", "a.hooks.internal", "")))
    assert allowed.has_address(ip_address("::ffff:10.1.2.3"))
    assert not any(allowed.has_address(ip_address(one)) for one in ("10.2.0.1", "fe80::1", "192.168.0.8"))
    assert not Allowed.parse("")


@pytest.mark.parametrize(
    "text", ["10.0.0.1/8", "10.0.0", "300.1.1.1", "a b.c!", "http://x", "*", "*.*.x", "a..b"]
)
def test_another_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither a network"):
        Allowed.parse(text)


def test_what_cannot_be_fetched_is_refused_before_its_host_is_looked_up() -> None:
    for url in (
        "https://example.com/hook",
        "https://example.com",
        "https://1.1.1.1:80/",
        "https://[2606:4700::1]/",
    ):
        check_url(url)
    for url in (
        "http://example.com/",
        "https://example.com:8443/",
        "https://10.0.0.1/",
        "https://a@b/",
        "ftp://x/",
    ):
        with pytest.raises(FetchRefused):
            check_url(url)
    inside = Allowed.parse("hooks.internal 10.0.0.0/8")
    # With a network, where a name lies decides, which is not known here.
    for url in ("http://hooks.internal:8080/", "http://10.0.0.1:9/", "http://other.internal/"):
        check_url(url, inside)
    with pytest.raises(FetchRefused, match="no public address"):
        check_url("http://192.168.0.1/", inside)


def test_the_edges_of_what_is_public() -> None:
    inside = (
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "1.0.0.0",
    )
    assert all(
        is_public(ip_address(one))
        for one in (*inside, "223.255.255.255", "2001:200::", "2001:0:4136:e378:8000:63bf:f7f7:f7f7")
    )
    outside = ("10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "172.16.0.0", "172.31.255.255")
    assert not any(
        is_public(ip_address(one)) for one in (*outside, "224.0.0.0", "2001:1ff:ffff::", "1fff::", "4000::")
    )
