from msgspec.structs import replace

from jobyard.demo.reading import Outcome, Reading
from jobyard.demo.totals import Totals, compare, sum_up

FILES = {
    name: Reading(path=name, sha256=name * 64, lines=1, words=2, bytes=3) for name in ("a", "b")
}
UNREADABLE = Reading(path="u", outcome=Outcome.UNREADABLE, why="Permission denied")
CHANGED = Reading(path="c", outcome=Outcome.CHANGED)
VANISHED = Reading(path="v", outcome=Outcome.VANISHED)


def test_the_totals_add_up_what_was_read() -> None:
    totals = sum_up([*FILES.values(), UNREADABLE, CHANGED, VANISHED])

    assert (totals.files, totals.lines, totals.words, totals.bytes) == (2, 2, 4, 6)
    assert totals.unreadable == 1


def test_the_digest_does_not_depend_on_the_order_but_on_path_and_checksum() -> None:
    digest = sum_up(FILES.values()).digest
    renamed = {**FILES, "b": replace(FILES["b"], path="d")}
    rewritten = {**FILES, "b": replace(FILES["b"], sha256="d" * 64)}

    assert sum_up(reversed(FILES.values())).digest == digest
    assert sum_up(renamed.values()).digest != digest
    assert sum_up(rewritten.values()).digest != digest


def test_equal_readings_are_equal() -> None:
    found = compare(FILES, FILES, sum_up(FILES.values()))

    assert found.differences == ()
    assert found.is_equal
    assert found.by_jobs == found.by_walk == sum_up(FILES.values())


def test_nothing_equals_nothing() -> None:
    assert compare({}, {}, sum_up([])).is_equal


def test_a_result_that_was_tampered_with_is_named() -> None:
    reported = {**FILES, "b": replace(FILES["b"], words=20)}

    found = compare(FILES, reported, sum_up(reported.values()))

    assert found.differences == ("b: words 20 instead of 2",)
    assert not found.is_equal


def test_a_checksum_that_was_tampered_with_is_named_in_short() -> None:
    reported = {**FILES, "b": replace(FILES["b"], sha256="0" * 64)}

    found = compare(FILES, reported, sum_up(reported.values()))

    assert found.differences == ("b: sha256 000000000000... instead of bbbbbbbbbbbb...",)


def test_a_lost_file_and_an_invented_one_are_named() -> None:
    lost = compare(FILES, {"a": FILES["a"]}, sum_up([FILES["a"]]))
    invented = compare({"a": FILES["a"]}, FILES, sum_up(FILES.values()))

    assert lost.differences == ("never reported: b",)
    assert invented.differences == ("reported, but not there: b",)


def test_a_summary_that_is_not_the_sum_is_named() -> None:
    right = sum_up(FILES.values())
    wrong = Totals(files=2, bytes=7, lines=2, words=4, unreadable=0, digest=right.digest)

    found = compare(FILES, FILES, wrong)

    assert found.differences == ("the summary job: bytes 7 instead of 6",)


def test_a_file_that_did_not_hold_still_is_listed_instead_of_compared() -> None:
    walked = {**FILES, "c": replace(FILES["a"], path="c"), "v": VANISHED}
    reported = {**FILES, "c": CHANGED, "v": replace(FILES["a"], path="v")}

    found = compare(walked, reported, sum_up(reported.values()))

    assert found.unsteady == ("c", "v")
    assert found.differences == ()
    assert found.by_jobs == found.by_walk


def test_an_unreadable_file_must_be_unreadable_for_both() -> None:
    both = {**FILES, "u": UNREADABLE}
    read = {**FILES, "u": replace(FILES["a"], path="u")}

    assert compare(both, both, sum_up(both.values())).is_equal
    assert not compare(both, read, sum_up(read.values())).is_equal


def test_many_differences_are_cut_short() -> None:
    walked = {f"{n:02}": Reading(path=f"{n:02}") for n in range(12)}

    found = compare(walked, {}, sum_up([]))

    assert len(found.differences) == 6
    assert found.differences[-1] == "and 7 more"
