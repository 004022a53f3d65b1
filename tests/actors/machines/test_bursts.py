from actors.machines.bursts import Bursts


def test_the_first_is_said_at_once_and_the_rest_of_a_burst_as_one_number() -> None:
    bursts = Bursts(silence_s=60)
    assert [bursts.happened(now) for now in (100, 101, 159.9)] == [1, 0, 0]
    assert bursts.happened(160) == 3
    assert bursts.happened(161) == 0
