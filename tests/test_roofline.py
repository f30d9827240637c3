"""The roofline: every product that a step needs is in its floor, and none that it does not."""

import json
import math
import time
from types import SimpleNamespace

import pytest
import torch
from skorch.callbacks import Callback
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

COLUMNS, WIDTH, CODES, BATCH = 12, 8, 3, 6
WIDE = COLUMNS + CODES
SHAPE = (8, 8, 1)


def training(module, recipe, **changed):
    roofline = module("roofline")
    settings = {"n_components": CODES, "hidden_layer_sizes": (WIDTH,), **roofline.RECIPES[recipe]}
    return roofline.Training(COLUMNS, BATCH, "cpu", **settings | changed)


def shapes(products):
    return [(*left.shape, right.shape[1]) for left, right in (product.args for product in products)]


@pytest.mark.parametrize(("recipe", "outputs"), [("bigan", CODES), ("ali", 2 * CODES)])
def test_the_floor_of_the_game_alone_is_this(module, recipe, outputs):
    assert shapes(training(module, recipe).floor()) == [
        *((BATCH, COLUMNS, WIDTH), (BATCH, WIDTH, outputs)),  # E(x)
        *((BATCH, CODES, WIDTH), (BATCH, WIDTH, COLUMNS)),  # G(z)
        *((2 * BATCH, WIDE, WIDTH), (2 * BATCH, WIDTH, 1)),  # D, of both kinds of pairs
        *((1, 2 * BATCH, WIDTH), (2 * BATCH, 1, WIDTH)),  # back: at the weights, at the input
        *((WIDTH, 2 * BATCH, WIDE), (BATCH, WIDTH, CODES), (BATCH, WIDTH, COLUMNS)),
        *((COLUMNS, BATCH, WIDTH), (BATCH, COLUMNS, WIDTH)),
        (WIDTH, BATCH, CODES),  # no gradient at z
        *((outputs, BATCH, WIDTH), (BATCH, outputs, WIDTH)),
        (WIDTH, BATCH, COLUMNS),  # nor at x
    ]


def test_the_floor_of_the_default_has_the_cycles(module):
    found = shapes(training(module, "default").floor())
    half = BATCH // 2
    assert found[:8] == [
        *((BATCH, COLUMNS, WIDTH), (BATCH, WIDTH, CODES)),  # E(x)
        *((2 * BATCH, CODES, WIDTH), (2 * BATCH, WIDTH, COLUMNS)),  # G(z) and G(E(x))
        *((2 * BATCH, WIDE, WIDTH), (2 * BATCH, WIDTH, 1)),  # D
        *((half, COLUMNS, WIDTH), (half, WIDTH, CODES)),  # E(G(z)), of half of the draws
    ]
    assert (half, WIDTH, COLUMNS) in found  # whose gradient goes on to G
    assert (BATCH, WIDTH, CODES) in found  # as goes the cycle's to E, but none to z
    assert (2 * BATCH, WIDTH, CODES) not in found
    assert len(found) == 8 + 16


class Products(TorchDispatchMode, Callback):
    """Notes the matrix products of a step."""

    def __init__(self):
        super().__init__()
        self.shapes = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default):
            left, right = args[-2:]
            self.shapes.append((*left.shape, right.shape[1]))
        return operation(*args, **(kwargs or {}))

    def on_batch_begin(self, net, **kwargs):
        self.__enter__()

    def on_batch_end(self, net, **kwargs):
        self.__exit__(None, None, None)


@pytest.mark.parametrize("recipe", ["bigan", "ali"])
def test_a_step_of_the_game_makes_no_product_beside_those_of_its_floor(module, recipe):
    trained = training(module, recipe)
    made = Products()
    trained.net.callbacks_.append(("products", made))
    trained.seconds(trained.rows(1))
    assert sorted(map(flops, made.shapes)) == sorted(map(flops, shapes(trained.floor())))


def flops(shape):
    # a weight's gradient may be computed transposed
    return math.prod(shape)


@pytest.mark.parametrize("network", ["dcgan", "ali"])
def test_the_floor_of_images_has_every_convolution(module, network):
    roofline = module("roofline")
    training = roofline.image_training(network, SHAPE, "cpu", n_components=4, n_clusters=3)
    bigan = training.net.module_
    of_encoder, of_generator, of_discriminator = (
        sum(isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) for layer in part.modules())
        for part in (bigan.encoder, bigan.generator, bigan.discriminator)
    )
    floor = training.floor()
    forward = [product for product in floor if product.func is torch.convolution]
    # E runs on views and on samples.
    assert len(forward) == 2 * of_encoder + of_generator + of_discriminator
    gradients = [product() for product in floor if product not in forward]
    at_weights = [out for out in gradients if isinstance(out, tuple) and out[1] is not None]
    assert len(at_weights) == len(forward)


@pytest.mark.parametrize("n_made", [0, 2, 4])
@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 3, 4, 2, 1, bias=False),
        nn.ConvTranspose2d(2, 3, 4, 2, 1, output_padding=1, bias=False),
        nn.Linear(5, 3, bias=False),
    ],
)
def test_bare_products_are_the_layers_and_autograds(module, layer, n_made):
    products = module("products")
    of_rows = isinstance(layer, nn.Linear)
    x = torch.randn((4, 5) if of_rows else (4, 2, 5, 5), requires_grad=True)
    out = layer(x)
    gradient = torch.randn_like(out)
    at_weight, at_input = torch.autograd.grad(out, [layer.weight, x], gradient)
    changed = torch.arange(4) >= 4 - n_made
    blocks = list(products.made(changed.view(4, *(1,) * (x.dim() - 1)).expand_as(x)))
    forward, backward = products.bare(layer, x.detach(), gradient, blocks)
    torch.testing.assert_close(forward(), out.detach())

    made = [product() for product in backward]
    if of_rows:
        of_weight, *of_input = made
    else:
        (of_weight,) = (weight for _, weight, _ in made if weight is not None)
        of_input = [part for part, _, _ in made if part is not None]
    torch.testing.assert_close(of_weight, at_weight)
    torch.testing.assert_close(torch.cat([at_input[:0], *of_input]), at_input[changed])


def test_a_step_is_timed_from_its_first_to_its_last(module):
    roofline = module("roofline")
    clock = roofline.StepClock(1, 2)
    net = SimpleNamespace(device="cpu")
    clock.on_train_begin(net)
    for _ in range(3):
        before = time.perf_counter()
        clock.on_batch_begin(net)
        between = time.perf_counter()
        clock.on_batch_end(net)
    assert clock.start < before  # the second step's, not the last's
    assert 0 < between - clock.start <= clock.seconds < 1


@pytest.mark.slow
def test_memory_is_that_of_a_process_of_its_own(module):
    assert 200 < module("roofline").peak_megabytes("dcgan") < 1500


def test_every_part_is_measured_and_kept_beside_the_others(module, monkeypatch, tmp_path):
    roofline = module("roofline")
    small = {
        "TABLES": [(64, 8, 16)],
        "PROFILED": [(64, 8, 16)],
        "ENCODERS": [(64, 8)],
        "IMAGES": {"8x8x1": SHAPE},
        "NETWORKS": ("dcgan",),
        "ENCODED_ROWS": 50,
        "CALLS": 2,
        "ROUNDS": 2,
        "TRANSFORM_ROUNDS": 2,
        "MOST_STEPS": 3,
    }
    for name, value in small.items():
        monkeypatch.setattr(roofline, name, value)
    monkeypatch.setattr(roofline, "peak_megabytes", lambda network: 1.0)
    monkeypatch.setattr(torch._inductor, "compile", lambda graph, inputs: graph)
    monkeypatch.setattr(roofline, "in_a_process", lambda script, **environment: "2.04 1.0\n")
    out = tmp_path / "roofline.json"
    for part in roofline.PARTS:
        monkeypatch.setattr("sys.argv", ["roofline.py", part, "--out", str(out)])
        roofline.main()
    figures = json.loads(out.read_text())
    assert set(figures) == set(roofline.PARTS)
    ratios = [
        *(
            figures["tables"][recipe + how]["64 columns, width 8, batch 16"]
            for recipe in roofline.RECIPES
            for how in ("", ", compiled")
        ),
        figures["images"]["dcgan"]["8x8x1"],
        *(figures["transform"][f"64 columns, width 8, rows {n}"] for n in (50, 1)),
    ]
    for found in ratios:
        assert 0 < found["least"] <= found["ratio"] <= found["greatest"]
    (seconds,) = (value for name, value in figures["compiling"].items() if "columns" in name)
    assert list(seconds.values()) == [2.0, 1.0, 2.0, 1.0]
    shares = figures["profile"]["64 columns, width 8, batch 16"]
    assert sum(shares.values()) == pytest.approx(1, abs=0.1)
    assert min(shares["products"], shares["batch norm"], shares["optimizers"]) > 0
