"""What llama.cpp says of its devices, against what the machine says of itself."""

import os

import pytest

from dataplane.engine.memory import CPU, GPU, devices, gpu


def test_the_machines_memory_is_what_llama_cpp_says_of_its_processor() -> None:
    (found,) = devices(CPU)
    assert found.whole == pytest.approx(
        os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), rel=0.01
    )
    assert 0 <= found.used <= found.whole


def test_gpus_are_told_of_together_and_none_is_none() -> None:
    each, together = list(devices(GPU)), gpu()
    if together is None:
        assert not each
    else:
        assert together.whole == sum(one.whole for one in each) > 0
        assert 0 < together.used <= together.whole


def test_a_llama_cpp_with_other_names_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llama_cpp._ggml.libggml", object())
    assert not list(devices(CPU))
