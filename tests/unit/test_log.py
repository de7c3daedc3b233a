"""The log: one event one line, and no secret in any of them."""

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from listener.log import Handler, configure, escape

SECRET = "p@ss\"'wörd/1"  # noqa: S105 - invented
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00"

logger = logging.getLogger("shop.test")


@pytest.fixture(autouse=True)
def root_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers.copy(), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def logged(log_format: str, log: Callable[[], object], *secrets: str) -> str:
    stream = io.StringIO()
    logging.getLogger().handlers.clear()  # pytest's own, which raise for a log call that is wrong
    configure("INFO", log_format, stream, secrets)
    log()
    return stream.getvalue()


def test_a_session_that_was_lost_is_told_once_and_not_by_the_driver_too() -> None:
    driver = logging.getLogger("psycopg")
    assert logged("text", lambda: driver.warning("error ignored terminating a pipeline")) == ""
    assert "ERROR psycopg it is broken" in logged("text", lambda: driver.error("it is broken"))


def test_a_line_of_text_is_time_level_logger_message() -> None:
    line = logged("text", lambda: logger.info("%d orders", 3))
    assert re.fullmatch(rf"{STAMP} INFO shop\.test 3 orders\n", line)


def test_the_time_is_the_events_in_utc() -> None:
    record = logging.makeLogRecord(
        {"created": 1767323045.678, "name": "x", "levelno": 20, "levelname": "INFO", "msg": "m"}
    )
    assert logged("text", lambda: logging.getLogger().handle(record)) == "2026-01-02T03:04:05.678+00:00 INFO x m\n"


def test_a_line_of_json_has_stable_names_and_the_events_own_fields() -> None:
    at = SimpleNamespace()
    extra = {"event": "sent", "orders": 3, "keys": ("a", "b"), "rate": float("nan"), "of": {1: None}, "what": at}
    entry = json.loads(logged("json", lambda: logger.warning("sent %s", "it", extra=extra)))
    assert re.fullmatch(STAMP, entry.pop("time"))
    assert entry == {
        "level": "WARNING",
        "logger": "shop.test",
        "message": "sent it",
        "event": "sent",
        "orders": 3,
        "keys": ["a", "b"],
        "rate": "nan",
        "of": {"1": None},
        "what": "namespace()",
    }


def test_an_event_without_a_name_has_the_field_all_the_same() -> None:
    assert json.loads(logged("json", lambda: logger.info("x")))["event"] is None


def test_an_extra_cannot_take_the_place_of_a_stable_field() -> None:
    entry = json.loads(logged("json", lambda: logger.info("x", extra={"level": "ERROR", "time": 0, "logger": "y"})))
    assert (entry["level"], entry["logger"]) == ("INFO", "shop.test")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_comes_from_outside_cannot_break_or_forge_a_line(log_format: str) -> None:
    number = "1\n2026-01-02T03:04:05.678+00:00 ERROR root forged\r\x1b[2J\x00\x85\u2028\u202e\udcff"
    output = logged(log_format, lambda: logger.info("order %s", number))
    assert output.count("\n") == 1
    assert output.endswith("\n")
    assert output.removesuffix("\n").isprintable()


def test_escaping_leaves_what_can_be_printed_alone() -> None:
    assert escape("Zoë 東京 5 €") == "Zoë 東京 5 €"
    assert escape("a\tb\x7f\u2029") == r"a\tb\x7f\u2029"


def fail() -> None:
    try:
        raise ValueError("bad answer\n2026 ERROR forged")
    except ValueError:
        logger.exception("a step failed")


def test_a_traceback_follows_its_line_indented() -> None:
    first, *rest = logged("text", fail).splitlines()
    assert first.endswith(" ERROR shop.test a step failed")
    assert rest[0] == "    Traceback (most recent call last):"
    assert rest[-1] == "    2026 ERROR forged"
    assert all(line.startswith("    ") for line in rest)


def test_a_traceback_in_json_is_a_field_of_its_one_line() -> None:
    (line,) = logged("json", fail).splitlines()
    assert json.loads(line)["traceback"].endswith("ValueError: bad answer\n2026 ERROR forged")


def tell_everything() -> None:
    extra = {"url": f"postgresql://u:{SECRET}@h", "nested": [{SECRET: (SECRET,)}], "exc": ValueError(SECRET)}
    logger.info("with %s", SECRET, extra=extra)
    logger.info("as a repr: %r", {"password": SECRET, "it's": SECRET})
    logger.info("in a URL: %s", "postgresql://u:p%40ss%22%27w%C3%B6rd%2F1@h http://h/p%40ss%22%27w%C3%B6rd/1")
    logger.info("in JSON: %s", json.dumps([SECRET]))
    logger.info(SECRET)
    try:
        raise ValueError(SECRET)
    except ValueError:
        logger.exception("failed", stack_info=True)
    try:
        raise RuntimeError("later") from KeyError(SECRET)
    except RuntimeError:
        logger.exception("failed")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_secret_appears_nowhere(log_format: str) -> None:
    output = logged(log_format, tell_everything, SECRET)
    assert output.count("***") >= 8
    for piece in ("p@ss", "p%40ss", "rd/1", "rd%2F1"):
        assert piece not in output


def test_of_two_secrets_of_which_one_holds_the_other_nothing_is_left_over() -> None:
    assert logged("text", lambda: logger.info("secret-and-more"), "secret", "secret-and-more").endswith(" ***\n")


def test_an_empty_secret_masks_nothing() -> None:
    assert logged("text", lambda: logger.info("message"), "").endswith(" message\n")


def test_a_log_call_that_is_wrong_becomes_a_line_without_its_arguments() -> None:
    output = logged("text", lambda: logger.info("%d orders", SECRET), SECRET)
    assert re.fullmatch(rf"{STAMP} ERROR listener\.log a log call at .+test_log\.py:\d+ failed: TypeError\n", output)


def test_a_stream_that_is_gone_fails_no_caller_and_is_not_spoken_of(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    configure("INFO", "text", stream)
    stream.close()
    logger.info("nobody reads this")
    assert capsys.readouterr() == ("", "")


def test_levels_below_the_configured_one_are_left_out() -> None:
    assert logged("text", lambda: logger.debug("detail")) == ""


def test_configured_again_it_replaces_itself_and_leaves_other_handlers_alone() -> None:
    other = logging.NullHandler()
    logging.getLogger().addHandler(other)
    configure("INFO", "text", io.StringIO())
    configure("INFO", "json", io.StringIO())
    assert other in logging.getLogger().handlers
    assert sum(isinstance(handler, Handler) for handler in logging.getLogger().handlers) == 1


def test_without_a_stream_it_is_the_stderr_of_the_moment(capsys: pytest.CaptureFixture[str]) -> None:
    configure("INFO", "text")
    logger.info("here")
    captured = capsys.readouterr()
    assert captured.err.endswith(" here\n")
    assert captured.out == ""


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_line_has_an_end_whatever_is_in_it(log_format: str) -> None:
    def fail() -> None:
        try:
            raise ValueError("t" * 1_000_000)
        except ValueError:
            logger.exception("m" * 1_000_000, extra={"field": ["f" * 1_000_000]})

    output = logged(log_format, fail)
    assert len(output) < 50_000
    assert "(996000 more characters)" in output
