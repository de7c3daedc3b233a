"""Which database is home: what counts as the same host, and what is said of a difference."""

import pytest

from listener.store.home import Home, differences, normal_host

HOME = Home("shop", "7100", "db.example.com")


@pytest.mark.parametrize(
    "host", ["", " ", "localhost", "LocalHost", "127.0.0.1", "127.1.2.3", "::1", "/run/postgresql", "@socket"]
)
def test_every_name_of_this_machine_is_one_host(host: str) -> None:
    assert normal_host(host) == "localhost"


@pytest.mark.parametrize(
    ("host", "normal"),
    [
        ("DB.Example.com", "db.example.com"),
        ("10.0.0.7", "10.0.0.7"),
        ("a.example.com,B.example.com", "a.example.com,b.example.com"),
        ("127.0.0.1,db.example.com", "127.0.0.1,db.example.com"),
    ],
)
def test_any_other_host_stays_as_written_but_for_its_case(host: str, normal: str) -> None:
    assert normal_host(host) == normal


@pytest.mark.parametrize("remembered", [None, list(HOME), ["shop", "", "db.example.com"]])
def test_home_differs_in_nothing_nor_does_what_is_not_known(remembered: list[str] | None) -> None:
    assert differences(HOME, remembered) == ""
    assert differences(HOME._replace(system_identifier=""), list(HOME)) == ""


@pytest.mark.parametrize(
    ("here", "said"),
    [
        (HOME._replace(database="copy"), "the database is copy, it was shop"),
        (HOME._replace(host="localhost"), "the host is localhost, it was db.example.com"),
        (HOME._replace(system_identifier="7200"), "the cluster is 7200, it was 7100"),
        (Home("copy", "7100", "localhost"), "the database is copy, it was shop; the host is localhost, it was"),
    ],
)
def test_each_difference_is_named(here: Home, said: str) -> None:
    assert differences(here, list(HOME)).startswith(said)
