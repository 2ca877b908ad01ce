import pytest
from hypothesis import given
from hypothesis import strategies as st

from ewallet import wire
from ewallet.errors import Malformed
from ewallet.formats import text


def reason_of(scanned):
    with pytest.raises(Malformed) as caught:
        text.decode(scanned)
    return caught.value.reason


@given(st.sampled_from(text.PREFIXES), st.binary(min_size=1, max_size=400))
def test_every_object_has_one_text(prefix, data):
    written = text.encode(prefix, data)
    assert text.decode(written) == (prefix, data)
    assert text.encode(*text.decode(written)) == written


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_one_line_end_of_a_hand_scanner_is_dropped(end):
    assert text.decode(text.encode("EWC", b"abc") + end) == ("EWC", b"abc")


@pytest.mark.parametrize("end", ["\n\n", "\n\r", " ", "\t", "="])
def test_anything_else_at_the_end_is_refused(end):
    assert reason_of(text.encode("EWC", b"abc") + end) == "code.not_canonical"


@pytest.mark.parametrize(
    ("scanned", "reason"),
    [
        ("", "code.unreadable"),
        ("EW", "code.unreadable"),
        ("EWC", "code.unreadable"),
        ("hello", "code.unreadable"),
        ("ewcMFRGG", "code.unreadable"),
        (" EWCMFRGG", "code.unreadable"),
        ("EWXMFRGG", "code.version_unknown"),
        ("EWCmfrgg", "code.not_canonical"),
        ("EWCMFRG1", "code.not_canonical"),
        ("EWCMFRGH", "code.not_canonical"),
        ("EWCA", "code.not_canonical"),
        ("EWCMFRGG===", "code.not_canonical"),
        ("EWCＭFRGG", "code.not_canonical"),
        ("EWC" + "A" * wire.MAX_TEXT, "code.too_long"),
        ("x" * (wire.MAX_TEXT + 1), "code.too_long"),
    ],
)
def test_what_is_not_exact_is_refused_with_its_reason(scanned, reason):
    assert reason_of(scanned) == reason


def test_writing_refuses_what_reading_would_refuse():
    with pytest.raises(ValueError, match="prefix"):
        text.encode("EWX", b"a")
    with pytest.raises(ValueError, match="content"):
        text.encode("EWC", b"")
    with pytest.raises(ValueError, match="limit"):
        text.encode("EWC", bytes(2600))
