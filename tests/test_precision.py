"""bfloat16 where networks multiply, float32 everywhere else."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn

from sklearn_bigan import BiGANTransformer, _parameters
from sklearn_bigan._device import multiplies_bfloat16

SETTINGS = {
    "n_components": 4,
    "hidden_layer_sizes": (16,),
    "batch_size": 32,
    "max_epochs": 2,
    "random_state": 0,
    "device": "cpu",
}


class Look(Callback):
    """Keeps the types of what layers within and around the bodies put out, and of gradients."""

    def __init__(self, within: set, around: set) -> None:
        self.within, self.around = within, around

    def __deepcopy__(self, memo):
        return self

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


@pytest.mark.parametrize("inference", ["adversarial", "latent_regression"])
def test_bodies_multiply_in_bfloat16_and_the_rest_stays_in_float32(small_digits, inference):
    within, around = set(), set()
    BiGANTransformer(
        **SETTINGS,
        precision="bfloat16",
        inference=inference,
        callbacks=[Look(within, around)],
    ).fit(small_digits)
    assert torch.bfloat16 in within
    assert around == {torch.float32}


@pytest.mark.parametrize(
    "parameters",
    [{}, {"image_shape": (8, 8), "network": "dcgan"}, {"image_shape": (8, 8), "network": "ali"}],
    ids=str,
)
def test_what_is_learned_differs_by_rounding_and_is_used_in_float32(small_digits, parameters):
    exact, rounded = (
        BiGANTransformer(**SETTINGS, precision=precision, **parameters).fit(small_digits)
        for precision in ("float32", "bfloat16")
    )
    losses = [[epoch["discriminator_loss"] for epoch in e.history_] for e in (exact, rounded)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.05)
    codes = rounded.transform(small_digits)
    assert (codes != exact.transform(small_digits)).any()
    assert (codes.astype(np.float32) != torch.from_numpy(codes).bfloat16().float().numpy()).any()


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("parameters", [{}, {"image_shape": (8, 8)}], ids=str)
def test_auto_is_bfloat16_for_images_on_a_device_that_is_fast_at_it(
    small_digits, monkeypatch, fast, parameters
):
    monkeypatch.setattr(_parameters, "multiplies_bfloat16", lambda device: fast)
    net = BiGANTransformer(**SETTINGS, **parameters).fit(small_digits).net_
    assert net.precision == ("bfloat16" if fast and parameters else "float32")


def test_the_cpu_is_not_taken_for_fast_at_it():
    assert not multiplies_bfloat16(torch.device("cpu"))
