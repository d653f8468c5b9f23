"""Each demand that is measured from outside, broken once by a deliberately bad reader."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import outside
from guard import Broken
from outside import Watched

FAULTS = {
    "a wild read": r"signal 11 \(SIGSEGV\)",
    "killed": r"signal 9 \(SIGKILL\)",
    "aborted": r"signal 6 \(SIGABRT\)",
    "an end": "ended itself with code 3",
    "80 MB for one byte": r"resident memory grew by (79|80)\d{6} bytes for files of 1,",
    "a word on stdout": "it wrote b'a word",
    "a word on stderr, past Python": "it wrote b'a word",
    "a warning": "it wrote .*RuntimeWarning: a word",
    "other numbers": "wrong numbers: 'a'",
    "another shape": "wrong numbers: 'a'",
    "another row": "wrong numbers: 'a'",
    "numbers beyond the record": "'beyond' is outside of its record",
    "an error of Python": "ZeroDivisionError",
    "a process": "os.system",
    "a file outside": "opened /etc/passwd",
}
GOOD = ("the right numbers", "the right row", "60 MB that a file may cost")


@pytest.fixture(scope="module")
def process():
    with Watched("bad_readers") as one:
        yield one


@pytest.mark.parametrize("fault", FAULTS)
def test_a_reader_that_breaks_a_demand_is_caught(fault, process):
    with pytest.raises(Broken, match=FAULTS[fault]):
        process.answer(fault, 0, 0)


@pytest.mark.parametrize("reader", GOOD)
def test_a_reader_that_meets_every_demand_is_not_blamed(reader, process):
    # After the faults: a process that was ended has been started again.
    assert process.answer(reader, 0, 0) == "read"


def test_a_reader_that_hangs_is_caught(process, monkeypatch):
    monkeypatch.setattr(outside, "SECONDS", 0.3)
    with pytest.raises(Broken, match=r"no answer within 0\.3 seconds"):
        process.answer("a hang", 0, 0)
