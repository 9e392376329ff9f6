import socket

import pytest

from dataplane.contract.address import Address, PortInUseError
from dataplane.contract.errors import OperatorError


@pytest.mark.parametrize("text", ["127.0.0.1:8080", "localhost:0", "[::1]:65535"])
def test_an_address_reads_as_it_is_written(text: str) -> None:
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize("text", ["", "8080", ":8080", "host:", "host:65536", "host:-1", "::1:80"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        Address.parse(text)


def test_a_wildcard_is_called_on_loopback() -> None:
    assert Address.parse("0.0.0.0:80").url == "http://127.0.0.1:80"
    assert Address.parse("[::]:80").url == "http://[::1]:80"
    assert Address.parse("gateway:80").url == "http://gateway:80"


def test_a_port_in_use_is_named_with_its_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError) as refused:
            Address("127.0.0.1", port).check_free("control.listen")
    assert str(refused.value) == (
        f"port {port} on 127.0.0.1 is in use: "
        "stop the other program or set control.listen in penstock.yaml"
    )


def test_a_free_port_is_free() -> None:
    Address("127.0.0.1", 0).check_free()


def test_a_host_of_another_machine_is_refused() -> None:
    with pytest.raises(OperatorError, match=r"cannot listen on 192\.0\.2\.1:80: .*; set listen"):
        Address("192.0.2.1", 80).check_free()
