"""Ports: free ones are free and given once, fixed ones follow from the base."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2c.stack.errors import StackError
from o2c.stack.ports import LOOPBACK, OFFSETS, SERVICES, fixed_ports, free_port, is_free


def test_free_ports_differ_and_lie_below_those_of_outgoing_connections() -> None:
    ports = [free_port() for _ in range(200)]
    assert len(set(ports)) == 200
    assert all(10_000 <= port < 65_536 for port in ports)
    with socket.socket() as outgoing:
        outgoing.bind((LOOPBACK, 0))
        assert max(ports) < 32_768 or max(ports) < outgoing.getsockname()[1]


def test_a_port_that_is_listened_on_is_not_free() -> None:
    port = free_port()
    assert is_free(port)
    with socket.create_server((LOOPBACK, port)):
        assert not is_free(port)


def test_the_documented_offsets() -> None:
    ports = fixed_ports(7000)
    assert (ports["postgres"], ports["broker"], ports["controller"]) == (7000, 7001, 7002)
    assert [ports[name] for name in SERVICES] == [7010, 7011, 7012, 7013, 7014, 7015]


@given(st.integers())
def test_a_base_whose_ports_do_not_exist_is_refused(base: int) -> None:
    fits = 1 <= base <= 65_535 - max(OFFSETS.values())
    try:
        ports = fixed_ports(base)
    except StackError:
        assert not fits
    else:
        assert fits
        assert len(set(ports.values())) == len(OFFSETS)


def test_the_last_base_that_fits() -> None:
    assert fixed_ports(65_520)["analytics"] == 65_535
    with pytest.raises(StackError):
        fixed_ports(65_521)
