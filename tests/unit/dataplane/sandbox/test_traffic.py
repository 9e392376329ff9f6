from collections import Counter

from dataplane.sandbox.tasks import MIXES, Query, is_held_out
from dataplane.sandbox.traffic import changes_at, fixed, traffic


def shares(queries: list[Query]) -> list[float]:
    counted = Counter(query.difficulty for query in queries)
    return [counted[level] / len(queries) for level in sorted(counted)]


def close(one: list[float], other: tuple[float, ...]) -> bool:
    return all(abs(a - b) < 0.03 for a, b in zip(one, other, strict=True))


def test_the_mix_turns_harder_half_way() -> None:
    queries = traffic(1, 8000)
    half = changes_at(8000)
    assert half == 4000
    assert close(shares(queries[:half]), MIXES["easy"])
    assert close(shares(queries[half:]), MIXES["hard"])


def test_the_fixed_queries_are_of_the_new_mix_and_their_own() -> None:
    probes = fixed(1, 4000)
    assert close(shares(probes), MIXES["hard"])
    assert probes != traffic(1, 8000)[4000:]


def test_or_it_stays_as_it_was() -> None:
    queries = traffic(1, 8000, "easy")
    assert queries[:4000] == traffic(1, 8000)[:4000]
    assert close(shares(queries[4000:]), MIXES["easy"])
    assert close(shares(fixed(1, 4000, "easy")), MIXES["easy"])


def test_training_never_saw_any_of_it() -> None:
    queries = [*traffic(2, 500), *fixed(2, 500)]
    assert all(is_held_out(query.text) for query in queries if query.kind != "capital")


def test_a_seed_gives_the_same_traffic_everywhere() -> None:
    assert traffic(3, 50) == traffic(3, 50)
    assert traffic(3, 50) != traffic(4, 50)
