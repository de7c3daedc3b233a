"""An order number's normal form, and the key that makes a repeated request harmless."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.orders import order_key, shipstation_key


@pytest.mark.parametrize(
    ("number", "key"),
    [
        ("700101", "700101"),
        ("  web-17a ", "WEB-17A"),
        ("\tx", "\tX"),  # Postgres' btrim takes blanks only
        ("straße", "STRAßE"),  # and its upper() never makes two letters of one
        ("é", "É"),
        ("", ""),
    ],
)
def test_a_number_has_one_normal_form(number: str, key: str) -> None:
    assert order_key(number) == key


def test_spellings_of_one_number_share_a_shipstation_key() -> None:
    assert shipstation_key(order_key(" web-1 ")) == shipstation_key(order_key("WEB-1")) == "listener-WEB-1"


def test_what_a_database_takes_for_two_numbers_has_two_keys() -> None:
    assert shipstation_key("é") != shipstation_key("É")


def test_each_new_order_for_a_number_has_a_key_of_its_own() -> None:
    assert [shipstation_key("700101", again) for again in (1, 2, 3)] == [
        "listener-700101",
        "listener-700101~2",
        "listener-700101~3",
    ]


def test_a_number_that_looks_like_a_second_key_does_not_get_it() -> None:
    assert shipstation_key("700101~2") != shipstation_key("700101", again=2)


def test_a_long_number_gets_a_short_key_that_is_always_the_same() -> None:
    assert shipstation_key("N" * 38) == "listener-" + "N" * 38
    assert shipstation_key("N" * 39) == "listener-a877319e3bc8f1e2c020a95030f20f8e"


@given(number=st.text(max_size=60), again=st.integers(1, 99))
def test_every_key_fits(number: str, again: int) -> None:
    assert len(shipstation_key(number, again)) <= 50


@given(st.lists(st.text(max_size=60), min_size=2, max_size=5))
def test_two_numbers_never_share_a_key(numbers: list[str]) -> None:
    assert len(set(map(shipstation_key, numbers))) == len(set(numbers))
