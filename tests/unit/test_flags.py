"""The flags: what rows mean, and that no row, however bad, changes what it should not."""

import re
import string
from dataclasses import asdict, fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from listener.flags import (
    READERS,
    Change,
    Flags,
    ManualPattern,
    OneOf,
    Refusal,
    Truth,
    Whole,
    as_texts,
    changes,
    parse_flags,
)

NAMES = [field.name for field in fields(Flags)]
RANGES = {name: reader for name, reader in READERS.items() if isinstance(reader, Whole)}


def read(*rows: tuple[str, str], in_force: Flags | None = None) -> tuple[Flags, tuple[Refusal, ...]]:
    return parse_flags(rows, in_force or Flags())


def test_every_flag_has_a_reader_and_its_default_is_a_value_that_the_reader_takes() -> None:
    assert list(READERS) == NAMES
    assert read(*as_texts(Flags()).items()) == (Flags(), ())


def test_the_defaults_are_the_documented_ones() -> None:
    assert asdict(Flags()) == {
        "fast_polling_enabled": True,
        "fast_polling_interval": 15,
        "sync_interval": 120,
        "notify_enabled": True,
        "api_calls_per_hour": 200,
        "upload_batch_size": 100,
        "max_upload_attempts": 5,
        "max_order_age_days": 14,
        "manual_order_pattern": "^10[0-9]{4}$",
        "idle_policy": "always_on",
        "idle_after": 300,
    }


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("fast_polling_interval", 1, 3600),
        ("sync_interval", 10, 86400),
        ("api_calls_per_hour", 1, 1000000),
        ("upload_batch_size", 1, 100),
        ("max_upload_attempts", 1, 100),
        ("max_order_age_days", 1, 3650),
        ("idle_after", 10, 86400),
    ],
)
def test_both_ends_of_a_range_are_in_it_and_their_neighbours_are_not(name: str, lowest: int, highest: int) -> None:
    for value in (lowest, highest):
        flags, refusals = read((name, str(value)))
        assert asdict(flags) == asdict(Flags()) | {name: value}
        assert refusals == ()
    for value in (lowest - 1, highest + 1):
        flags, (refusal,) = read((name, str(value)))
        assert flags == Flags()
        assert refusal.reason == (
            f"configuration_params {name} = '{value}': must be a whole number from {lowest} to {highest}"
        )


@pytest.mark.parametrize(
    "value", ["", " ", "x", "1.0", "+15", "-1", "1e2", "1_0", "0x10", "\u0661\u0665", "15s", "9" * 5000]
)
def test_only_plain_decimal_digits_are_a_whole_number(value: str) -> None:
    flags, (refusal,) = read(("fast_polling_interval", value))
    assert flags == Flags()
    assert refusal.value == value


@pytest.mark.parametrize(("value", "means"), [("false", False), ("FALSE", False), ("True", True), (" false\n", False)])
def test_a_truth_may_be_written_in_any_case_with_blanks_around(value: str, means: bool) -> None:
    assert read(("notify_enabled", value)) == (replace(Flags(), notify_enabled=means), ())


@pytest.mark.parametrize("value", ["", "yes", "no", "0", "1", "t", "f", "on", "off", "fals\u0435"])
def test_other_words_than_true_and_false_are_refused(value: str) -> None:
    flags, (refusal,) = read(("notify_enabled", value))
    assert flags.notify_enabled is True
    assert refusal.reason.endswith("must be true or false")


def test_blanks_around_a_number_are_tolerated() -> None:
    assert read(("sync_interval", " 180 "))[0].sync_interval == 180


@pytest.mark.parametrize("value", ["", "(", "x{99999999999}", "a" * 201, "(" * 201, "(?P<x>a)(?P<x>b)", r"\U99999999"])
def test_a_pattern_that_does_not_compile_or_is_empty_or_too_long_is_refused(value: str) -> None:
    flags, (refusal,) = read(("manual_order_pattern", value))
    assert flags == Flags()
    assert refusal.reason.endswith("must be a regular expression of 1 to 200 characters")


@pytest.mark.parametrize("value", ["a" * 200, "^MAN-", "[[a]", "^(10|20)[0-9]{4}$"])
def test_a_pattern_that_compiles_is_taken_as_written_without_a_warning(value: str) -> None:
    re.purge()  # a pattern in re's cache is not compiled again, and so warns once only
    assert read(("manual_order_pattern", value)) == (replace(Flags(), manual_order_pattern=value), ())


def test_the_idle_policy_is_one_of_two_words() -> None:
    assert read(("idle_policy", "allow_sleep"))[0].idle_policy == "allow_sleep"
    assert "always_on or allow_sleep" in read(("idle_policy", "sometimes"))[1][0].reason


def test_a_bad_value_leaves_what_is_in_force_and_not_the_default() -> None:
    in_force = Flags(sync_interval=180)
    assert read(("sync_interval", "soon"), in_force=in_force)[0].sync_interval == 180


def test_an_absent_row_means_the_default_whatever_was_in_force() -> None:
    assert read(in_force=Flags(sync_interval=180)) == (Flags(), ())


def test_of_two_rows_of_one_name_the_last_counts_alone() -> None:
    assert read(("sync_interval", "rubbish"), ("sync_interval", "180")) == (Flags(sync_interval=180), ())
    flags, refusals = read(("sync_interval", "180"), ("sync_interval", "rubbish"), in_force=Flags(sync_interval=60))
    assert (flags.sync_interval, len(refusals)) == (60, 1)


def test_names_that_are_no_flags_are_ignored() -> None:
    assert read(("fast_poling_interval", "20"), ("", ""), ("__class__", "x")) == (Flags(), ())


def test_a_refusal_keeps_the_whole_value_and_its_sentence_a_piece_on_one_line() -> None:
    _, (refusal,) = read(("sync_interval", "x\n" * 500))
    assert refusal.value == "x\n" * 500
    assert "\n" not in refusal.reason
    assert len(refusal.reason) < 250


def test_changes_name_what_differs_as_the_table_would_say_it() -> None:
    new = Flags(fast_polling_enabled=False, sync_interval=180, upload_batch_size=1)
    assert changes(Flags(), new) == (
        Change("fast_polling_enabled", "true", "false"),
        Change("sync_interval", "120", "180"),
        Change("upload_batch_size", "100", "1"),
    )
    assert changes(new, new) == ()


def in_range(flags: Flags) -> bool:
    for name, reader in READERS.items():
        value = getattr(flags, name)
        match reader:
            case Whole():
                good = type(value) is int and reader.lowest <= value <= reader.highest
            case Truth():
                good = type(value) is bool
            case OneOf():
                good = value in reader.words
            case ManualPattern():
                good = 1 <= len(value) <= 200 and bool(re.compile(value))
            case _:
                good = False
        if not good:
            return False
    return True


some = settings(max_examples=50, deadline=None)

digits = st.integers(-10, 2_000_000).map(str)
words = st.sampled_from(["true", "False", "always_on", "allow_sleep", "", " "])
patterns = st.text(alphabet=string.printable, max_size=220)
values = st.one_of(digits, words, patterns, st.text(max_size=300))
rows = st.lists(st.tuples(st.one_of(st.sampled_from(NAMES), st.text(max_size=10)), values), max_size=25)
good_flags = st.builds(
    Flags,
    fast_polling_enabled=st.booleans(),
    notify_enabled=st.booleans(),
    idle_policy=st.sampled_from(["always_on", "allow_sleep"]),
    **{name: st.integers(reader.lowest, reader.highest) for name, reader in RANGES.items()},
)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of in_range's own compile
@some
@given(rows, good_flags)
def test_whatever_the_rows_say_reading_ends_with_flags_in_range(rows: list[tuple[str, str]], in_force: Flags) -> None:
    flags, refusals = parse_flags(rows, in_force)
    assert in_range(flags)
    for refusal in refusals:
        assert getattr(flags, refusal.parameter_name) == getattr(in_force, refusal.parameter_name)
        assert refusal.value == dict(rows)[refusal.parameter_name]


@some
@given(rows, good_flags)
def test_what_no_row_names_is_the_default_and_what_is_neither_absent_nor_refused_is_the_rows_value(
    rows: list[tuple[str, str]], in_force: Flags
) -> None:
    flags, refusals = parse_flags(rows, in_force)
    refused, last = {refusal.parameter_name for refusal in refusals}, dict(rows)
    for name in NAMES:
        if name not in last:
            assert getattr(flags, name) == getattr(Flags(), name)
        elif name not in refused:
            assert getattr(flags, name) == READERS[name].read(last[name].strip())


@some
@given(good_flags, good_flags)
def test_flags_survive_the_way_through_the_table_and_changes_are_what_leads_from_one_to_the_other(
    old: Flags, new: Flags
) -> None:
    assert parse_flags(as_texts(new).items(), old) == (new, ())
    moved = as_texts(old) | {change.parameter_name: change.new for change in changes(old, new)}
    assert parse_flags(moved.items(), Flags())[0] == new
