from hypothesis import given
from hypothesis import strategies as st

from supervisor.control.news import MOST_ANSWERS_BYTES, MOST_TRACES_BYTES, REMEMBERED, NewsLog, Own


def read(log: NewsLog[int], place: int) -> tuple[list[int], int, int]:
    """All that a reader at `place` gets, how many it misses, and where it is then."""
    items, missed = [], 0
    while found := log.next(place):
        items.append(found.item)
        missed += found.missed
        place = found.place
    return items, missed, place


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans())), st.integers(1, 100), st.integers(1, 10))
def test_a_reader_gets_or_is_told_it_missed_each_of_the_news(steps, most_bytes: int, most: int) -> None:
    log: NewsLog[int] = NewsLog(most_bytes, most)
    got = missed = place = 0
    for number, (size, reads) in enumerate(steps):
        log.add(number, size)
        assert log.size <= max(most_bytes, size)
        if reads:
            items, now_missed, place = read(log, place)
            assert items[-1] == number
            got, missed = got + len(items), missed + now_missed
            assert got + missed == number + 1


def test_news_that_nobody_could_take_in_are_missed_by_all() -> None:
    log: NewsLog[int] = NewsLog()
    log.add(1, 1)
    log.lost(7)
    assert read(log, 0) == ([1], 0, 1)
    log.add(2, 1)
    assert read(log, 1) == ([2], 7, 9)


def test_who_comes_late_begins_with_the_last_ones_and_misses_nothing() -> None:
    log: NewsLog[int] = NewsLog()
    assert log.last(5) == 0
    for number in range(REMEMBERED + 10):
        log.add(number, 1)
    assert log.last(0) == log.end
    assert read(log, log.last(3))[:2] == ([507, 508, 509], 0)
    assert len(read(log, log.last(10**6))[0]) == REMEMBERED


def test_answers_push_out_older_ones_and_traces_are_missed_by_number() -> None:
    own: Own[str] = Own()
    assert own.trace("t1", MOST_TRACES_BYTES)
    assert not own.trace("t2", 1)
    assert own.missed == 1
    own.answer("a", MOST_ANSWERS_BYTES)
    assert [item for item, _ in own.items] == ["a"]
    assert own.size == MOST_ANSWERS_BYTES
    own.pop()
    assert own.trace("t3", 1)
    assert (own.missed, own.size) == (0, 1)
