import pytest
import torch

from sklearn_bigan._randomness import default_generators_seeded, repeatable

CPU = torch.device("cpu")


@pytest.mark.parametrize("threads", [2, 3])
def test_one_thread_is_lent_and_given_back_after_an_error(threads):
    before, within = torch.get_num_threads(), []

    def fail():
        with repeatable():
            within.append(torch.get_num_threads())
            raise RuntimeError

    torch.set_num_threads(threads)
    try:
        with pytest.raises(RuntimeError):
            fail()
        assert (within, torch.get_num_threads()) == ([1], threads)
    finally:
        torch.set_num_threads(before)


def test_seeded_default_generators_are_put_back_after_an_error():
    before = torch.get_rng_state()

    def fail():
        with default_generators_seeded(1, CPU):
            torch.rand(3)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert torch.equal(torch.get_rng_state(), before)


def test_seeded_default_generators_draw_what_the_seed_says():
    draws = []
    for seed in (1, 1, 2):
        with default_generators_seeded(seed, CPU):
            draws.append(torch.rand(3))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
