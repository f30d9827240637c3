"""bfloat16 where networks multiply, float32 everywhere else."""

import numpy as np
import pytest
import torch
from factories import small
from skorch.callbacks import Callback
from torch import nn

from sklearn_bigan import _parameters
from sklearn_bigan._runtime.device import has_bfloat16_units


class Look(Callback):
    """Keeps the types of what layers within and around the bodies put out, and of gradients."""

    def __init__(self, within: set, around: set) -> None:
        self.within, self.around = within, around

    def on_train_begin(self, net, **kwargs):
        module = net.module_
        for network in (module.encoder, module.generator, module.discriminator):
            for part in network.modules():
                if part is network or isinstance(part, nn.Linear):
                    seen = self.within if part in set(network.body.modules()) else self.around
                    part.register_forward_hook(lambda p, x, out, s=seen: s.add(out.dtype))

    def on_grad_computed(self, net, named_parameters, batch, **kwargs):
        for _, weight in named_parameters:
            self.around |= {weight.dtype, weight.grad.dtype}


@pytest.mark.parametrize("method", ["auto", "latent_regression"])
def test_bodies_multiply_in_bfloat16_and_the_rest_stays_in_float32(small_digits, method):
    look = Look(set(), set())
    small(precision="bfloat16", method=method, callbacks=[look]).fit(small_digits)
    assert torch.bfloat16 in look.within
    assert look.around == {torch.float32}


@pytest.mark.parametrize(
    "parameters",
    [{}, {"image_shape": (8, 8), "network": "dcgan"}, {"image_shape": (8, 8), "network": "ali"}],
    ids=str,
)
def test_what_is_learned_differs_by_rounding_and_is_used_in_float32(small_digits, parameters):
    exact, rounded = (
        small(precision=precision, **parameters).fit(small_digits)
        for precision in ("float32", "bfloat16")
    )
    losses = [[epoch["discriminator_loss"] for epoch in e.history_] for e in (exact, rounded)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.05)
    codes = rounded.transform(small_digits)
    assert (codes != exact.transform(small_digits)).any()
    assert (codes != torch.from_numpy(codes).bfloat16().float().numpy()).any()


def test_another_precision_is_used_from_the_next_call_on(small_digits):
    look = Look(set(), set())
    fitted = small(callbacks=[look]).fit(small_digits)
    assert look.within == {torch.float32}
    fitted.set_params(precision="bfloat16").partial_fit(small_digits)
    assert torch.bfloat16 in look.within


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("parameters", [{}, {"image_shape": (8, 8)}], ids=str)
def test_auto_is_bfloat16_for_images_on_a_device_that_is_fast_at_it(
    small_digits, monkeypatch, fast, parameters
):
    monkeypatch.setattr(_parameters, "has_bfloat16_units", lambda device: fast)
    config = small(**parameters, max_epochs=0).fit(small_digits).net_.config
    assert config.precision == ("bfloat16" if fast and parameters else "float32")


@pytest.mark.parametrize("capabilities", [{"amx_bf16": True}, {"amx_bf16": False}, {}], ids=str)
def test_a_cpu_is_fast_at_it_if_it_has_amx(monkeypatch, capabilities):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert has_bfloat16_units(torch.device("cpu")) == capabilities.get("amx_bf16", False)


def test_a_cpu_is_not_taken_for_fast_at_it_by_a_torch_that_does_not_tell(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not has_bfloat16_units(torch.device("cpu"))
