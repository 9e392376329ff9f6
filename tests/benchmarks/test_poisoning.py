from tests.benchmarks.poisoning import KEYS, malevolent, measure


def test_so_many_keys_lie() -> None:
    lying = sum(malevolent(number, 0.2) for number in range(20_000)) / 20_000
    assert abs(lying - 0.2) < 0.01
    assert not any(malevolent(number, 0.0) for number in range(KEYS))


def test_votes_change_nothing_and_believing_them_would() -> None:
    (found,) = measure(101, [1.0], queries=900)
    assert found.drop == 0.0
    assert found.drop_believed != 0.0 or found.dearer_believed != 0.0
