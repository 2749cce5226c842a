"""Verdicts: what counts as the same, as at most, as gapless, and as a customer's exposure. Every check can fail."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from o2c.verify.documents import gapless
from o2c.verify.exposure import ApprovedOrder, exposures
from o2c.verify.running import CHECKS
from o2c.verify.verdict import OFFENDING_MAX, Finding, Verdict, at_most, check, same, together


def test_two_accounts_of_the_same_thing_must_agree_on_every_key() -> None:
    assert same({"a": 1, "b": 0}, {"a": 1}) == Finding(2)
    assert same({"a": 1}, {"a": 2, "b": 3}).offending == ("a: 1 ≠ 2", "b: 0 ≠ 3")
    assert same({("O-1", 1): 1}, {}).offending == ("O-1/1: 1 ≠ 0",)


def test_a_part_is_neither_negative_nor_more_than_its_whole() -> None:
    assert at_most({"a": 3, "b": 0}, {"a": 3, "c": 1}) == Finding(2)
    assert at_most({"a": 4, "b": -1, "c": 1}, {"a": 3, "b": 1}).offending == ("a: 4 of 3", "b: -1 of 1", "c: 1 of 0")


def test_a_gap_a_double_and_a_number_beyond_the_last_are_found() -> None:
    def series(*numbers: int) -> list[tuple[str, str]]:
        return [("INV-2026", f"INV-2026-{n:06d}") for n in numbers]

    assert gapless(series(2, 1, 3), {"INV-2026": 3}) == Finding(3)
    assert gapless(series(1, 3), {"INV-2026": 3}).offending == ("INV-2026-000002 missing",)
    assert gapless(series(1, 1, 2), {"INV-2026": 2}).offending == ("INV-2026-000001 twice",)
    assert gapless(series(1, 2), {"INV-2026": 1}).offending == ("INV-2026-000002 beyond 1",)
    # A number that was taken and is on no document must be explained: rolled back work burns none.
    assert gapless(series(1), {"INV-2026": 2}).offending == ("INV-2026-000002 missing",)
    assert gapless([("INV-2026", "CRN-2026-000001")], {}).offending == ("'CRN-2026-000001' in INV-2026",)


@given(st.integers(0, 50), st.data())
def test_any_number_taken_out_of_a_series_is_missed(last: int, data: st.DataObject) -> None:
    numbers = [("S", f"S-{n}") for n in range(1, last + 1)]
    assert gapless(numbers, {"S": last}) == Finding(last)
    if numbers:
        numbers.remove(data.draw(st.sampled_from(numbers)))
        assert len(gapless(numbers, {"S": last}).offending) == 1


def test_exposure_does_not_change_at_the_instant_of_invoicing() -> None:
    """Rule 10."""
    before = exposures([ApprovedOrder("C-1", 300, 0, False)], [])
    partly = exposures([ApprovedOrder("C-1", 300, 100, False)], [("C-1", 100)])
    finally_ = exposures([ApprovedOrder("C-1", 300, 300, True)], [("C-1", 300)])
    assert before == partly == finally_ == {"C-1": 300}


def test_the_final_invoice_drops_the_rest_of_a_reservation_and_money_lowers_exposure() -> None:
    assert exposures([ApprovedOrder("C-1", 300, 200, True)], [("C-1", 200), ("C-1", -250)]) == {"C-1": -50}


def test_of_many_offending_ids_the_rest_is_counted() -> None:
    found = check("x", Finding(100, tuple(str(n) for n in range(100))))
    assert not found.ok
    assert len(found.offending) == OFFENDING_MAX + 1
    assert found.offending[-1] == f"and {100 - OFFENDING_MAX} more"


def test_one_failed_check_fails_the_verdict_and_the_report_has_its_shape() -> None:
    good, bad = check("good", Finding(3)), check("bad", Finding(3, ("a",)))
    assert Verdict((good,)).ok
    assert not Verdict((good, bad)).ok
    assert msgspec.json.decode(msgspec.json.encode(Verdict((bad,)).as_json())) == {
        "ok": False,
        "checks": [{"name": "bad", "ok": False, "checked": 3, "offending": ["a"], "tolerated": False}],
    }


def test_what_is_tolerated_is_shown_and_fails_nothing() -> None:
    known, bad = check("known", Finding(3, ("a",)), tolerated=True), check("bad", Finding(3, ("a",)))
    assert (known.ok, known.offending) == (False, ("a",))
    assert Verdict((known,)).ok
    assert not Verdict((known, bad)).ok


def test_findings_add_up() -> None:
    assert together([Finding(1), Finding(2, ("x",)), Finding(0, ("y",))]) == Finding(3, ("x", "y"))


def test_every_check_has_a_name_of_its_own_and_says_what_it_promises() -> None:
    names = [each.__name__ for each in CHECKS]
    assert len(set(names)) == len(names)
    assert all(each.__doc__ for each in CHECKS)
