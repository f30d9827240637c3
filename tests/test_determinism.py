import pytest
import torch

from sklearn_bigan._runtime.determinism import default_generators_seeded
from sklearn_bigan._runtime.settings import fixed_threads

CPU = torch.device("cpu")


@pytest.mark.parametrize("threads", [2, 3])
def test_the_number_of_threads_is_one_inside_and_restored_after_an_error(threads):
    before, within = torch.get_num_threads(), []

    def fail():
        with fixed_threads():
            within.append(torch.get_num_threads())
            raise RuntimeError

    torch.set_num_threads(threads)
    try:
        with pytest.raises(RuntimeError):
            fail()
        assert (within, torch.get_num_threads()) == ([1], threads)
    finally:
        torch.set_num_threads(before)


def test_default_generators_are_restored_after_an_error():
    before = torch.get_rng_state()

    def fail():
        with default_generators_seeded(1, CPU):
            torch.rand(3)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert torch.equal(torch.get_rng_state(), before)


def test_draws_of_default_generators_depend_on_the_seed_alone():
    draws = []
    for seed in (1, 1, 2):
        with default_generators_seeded(seed, CPU):
            draws.append(torch.rand(3))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
