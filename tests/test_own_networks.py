"""Users' bodies: what they may do, and what is refused at the start of `fit`."""

import numpy as np
import pytest
import torch
from factories import small, table
from torch import nn

N_COLUMNS, LATENT_DIM = 6, 4
ROLES = ("encoder", "generator", "discriminator")
TO_X = {"generator": N_COLUMNS}  # outputs of the body; others may have any number


class Body(nn.Module):
    """A body of any role: what `before` makes of its first input, then a linear layer."""

    def __init__(self, role, before, after=None):
        super().__init__()
        self.before = before
        self.layer = nn.LazyLinear(TO_X.get(role, 5))
        self.after = after

    def forward(self, x, z=None):
        x = self.before(x)
        out = self.layer(x if z is None else torch.cat([x, z], dim=1))
        return out if self.after is None else self.after(out)


def own(role, before=nn.Identity, after=None):
    """Return `network` with one body of its own; `before` and `after` make its parts."""

    def factory(n_features, latent_dim):
        return Body(role, before(), None if after is None else after())

    return {role: factory}


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def function(f):
    return lambda: Function(f)


def bounded(n_rows=100):
    return np.random.default_rng(0).random((n_rows, N_COLUMNS), dtype=np.float32)


def everything(model, X):
    """Return the results of all methods that run networks."""
    Z = model.transform(X)
    return [
        Z,
        model.set_params(features="all").transform(X),
        model.set_params(features="latent").inverse_transform(Z),
        model.reconstruct(X),
        model.sample(5, random_state=0),
        model.score_samples(X),
        np.array([model.score(X), *model.history_[-1].values()][:-3]),
    ]


# Working in place.


class InPlace(nn.Module):
    def forward(self, x):
        x -= 0.5
        return x


PAIRS_IN_PLACE = {
    "subtraction": (InPlace, function(lambda x: x - 0.5)),
    "dropout": (lambda: nn.Dropout(0.5, inplace=True), lambda: nn.Dropout(0.5)),
}


@pytest.mark.parametrize("method", ["auto", "ali", "latent_regression"])
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("layer", PAIRS_IN_PLACE)
def test_a_body_that_works_in_place_learns_what_it_would_otherwise(method, role, layer):
    X = bounded()
    before, found = X.copy(), []
    for part in PAIRS_IN_PLACE[layer]:
        model = small(method=method, network=own(role, part), output_activation="sigmoid")
        found.append(everything(model.fit(X), X))
    np.testing.assert_array_equal(X, before)
    for in_place, out_of_place in zip(*found, strict=True):
        np.testing.assert_array_equal(in_place, out_of_place)


def test_partial_fit_leaves_x_to_its_caller():
    X = bounded()
    before = X.copy()
    network = own("encoder", InPlace) | own("discriminator", InPlace)
    model = small(network=network, output_activation="sigmoid", batch_size=100).partial_fit(X)
    model.partial_fit(X)
    np.testing.assert_array_equal(X, before)


# Rows that depend on each other.


class Attention(nn.Module):
    """Attention between rows, where they are taken for a sequence."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(5, 1)

    def forward(self, x):
        return x + self.attention(x, x, x)[0]


def lstm_over_rows():
    layer = nn.LSTM(5, 5)  # an input without a batch dimension is one sequence
    return Body("", nn.Identity(), Function(lambda x: layer(x)[0])).after


MIXING = {
    "batch statistics": lambda: nn.BatchNorm1d(5, track_running_stats=False),
    "mean": function(lambda x: x - x.mean(0)),
    "weak mean": function(lambda x: x + 0.05 * x.mean(0)),
    "softmax": function(lambda x: x.softmax(0)),
    "largest": function(lambda x: x / x.abs().max()),
    "order": function(lambda x: x.cumsum(0)),
    "position": function(lambda x: x + torch.arange(len(x))[:, None]),
    "number": function(lambda x: x / len(x)),
    "attention": Attention,
    "sequence": lstm_over_rows,
    "random": function(lambda x: nn.functional.dropout(x, 0.5)),
}


def as_wide_as_x(make):
    """Return a part after the layer of a generator: those of MIXING are made for five columns."""
    return lambda: nn.Sequential(nn.Linear(N_COLUMNS, 5), make(), nn.Linear(5, N_COLUMNS))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("layer", MIXING)
def test_a_body_that_mixes_rows_in_evaluation_mode_is_refused(layer, role):
    after = as_wide_as_x(MIXING[layer]) if role == "generator" else MIXING[layer]
    model = small(network=own(role, after=after), max_epochs=int(role != "encoder"))
    with pytest.raises(ValueError, match=f"{role} must return the same for a row whatever rows"):
        model.fit(table())
    assert not hasattr(model, "net_")


class Gated(nn.Module):
    """A residual layer that starts as the identity."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(5, track_running_stats=False)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x):
        return x + self.norm(x)


def test_mixing_is_found_behind_weights_that_start_at_zero():
    network = own("encoder", after=Gated)
    with pytest.raises(ValueError, match="encoder must return the same for a row"):
        small(network=network).fit(table())


def test_mixing_is_found_with_two_rows_and_beside_many_equal_rows():
    X = np.zeros((100, N_COLUMNS))
    X[::10] = table(10)
    for rows in (X, table(2)):
        with pytest.raises(ValueError, match="encoder must return the same for a row"):
            small(network=own("encoder", after=MIXING["batch statistics"])).fit(rows)


def shared():
    layer = nn.Linear(5, 5)
    return nn.Sequential(layer, nn.ReLU(), layer)


class Frozen(nn.Linear):
    def __init__(self):
        super().__init__(5, 5)
        self.requires_grad_(False)


class Sequence(nn.Module):
    """Recurrence and attention within each row."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(1, 4, batch_first=True)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        steps, _ = self.lstm(x.unsqueeze(2))
        return self.attention(steps, steps, steps)[0][..., 0]


class Training(nn.Module):
    """Draws and mixes rows, in training only."""

    def forward(self, x):
        return x - x.mean(0) + 0.1 * torch.randn_like(x) if self.training else x


NORM = nn.utils.parametrizations
ALLOWED = {
    "batch norm": lambda: nn.BatchNorm1d(5),
    "cumulative batch norm": lambda: nn.BatchNorm1d(5, momentum=None),
    "layer norm": lambda: nn.LayerNorm(5),
    "instance norm": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 5)), nn.InstanceNorm1d(1, affine=True), nn.Flatten()
    ),
    "group norm": lambda: nn.GroupNorm(1, 5),
    "spectral norm": lambda: NORM.spectral_norm(nn.Linear(5, 5)),
    "weight norm": lambda: NORM.weight_norm(nn.Linear(5, 5)),
    "spectral norm by hooks": lambda: nn.utils.spectral_norm(nn.Linear(5, 5)),
    "weight norm by hooks": lambda: nn.utils.weight_norm(nn.Linear(5, 5)),
    "dropout": lambda: nn.Dropout(0.5),
    "recurrence": Sequence,
    "lazy": lambda: nn.LazyLinear(5),
    "frozen": Frozen,
    "shared": shared,
    "training only": Training,
}


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("layer", ALLOWED)
def test_layers_that_keep_rows_apart_are_trained(layer, role):
    after = as_wide_as_x(ALLOWED[layer]) if role == "generator" else ALLOWED[layer]
    X = table()
    model = small(network=own(role, after=after)).fit(X)
    first = [model.reconstruct(X[:1]), model.score_samples(X[:1])]
    # float32 rounding: other kernels may serve other numbers of rows
    np.testing.assert_allclose(first[0], model.reconstruct(X)[:1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(first[1], model.score_samples(X)[:1], rtol=1e-4, atol=1e-5)
    assert model.partial_fit(X).n_iter_ == 3
    assert model.partial_fit(X).n_iter_ == 4


# The trial leaves no trace.


class Traces(nn.Module):
    """Counts its calls, in a buffer and in an attribute."""

    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.calls = []

    def forward(self, x):
        self.count += 1
        self.calls.append(len(x))
        return x


@pytest.mark.parametrize("role", ROLES)
def test_the_trial_leaves_buffers_and_random_states_alone(role):
    before = torch.get_rng_state()
    model = small(network=own(role, Traces), max_epochs=0).fit(table())
    assert torch.equal(torch.get_rng_state(), before)
    traces = getattr(model.net_.module_, role).body.before
    assert (int(traces.count), traces.calls) == (1, [2])  # that which counts the outputs


def test_draws_of_a_fit_do_not_depend_on_the_trial(monkeypatch):
    from sklearn_bigan._training import net

    X, network = table(), own("encoder", lambda: nn.Dropout(0.5))
    codes = small(network=network).fit(X).transform(X)
    monkeypatch.setattr(net, "check_body", lambda *_: None)
    np.testing.assert_array_equal(small(network=network).fit(X).transform(X), codes)


# Outputs.


def when_training(f):
    """Return a part that does something in training only."""

    class Part(nn.Module):
        def forward(self, x):
            return f(x) if self.training else x

    return Part


def on_meta(x):
    return x.to("meta")


OUTPUTS = {
    "double": (torch.Tensor.double, ValueError, r"must return torch.float32.*Got torch.float64"),
    "half": (torch.Tensor.bfloat16, ValueError, r"must return torch.float32.*Got torch.bfloat16"),
    "int": (torch.Tensor.int, ValueError, r"must return torch.float32.*Got torch.int32"),
    "fewer": (lambda x: x[:1], ValueError, r"one row of features for each row.*Got \(1, \d\)"),
    "twice": (lambda x: x.repeat(2, 1), ValueError, r"one row of features.*Got \(\d+, \d\)"),
    "flat": (lambda x: x[:, 0], ValueError, r"one row of features.*Got \(\d+,\)"),
    "scalar": (torch.sum, ValueError, r"one row of features.*Got \(\)"),
    "empty": (lambda x: x[:, :0], ValueError, r"column.*Got 0, from an output of shape"),
    "tuple": (lambda x: (x, x), TypeError, "must return one tensor. Got tuple"),
    "none": (lambda x: None, TypeError, "must return one tensor. Got NoneType"),
    "array": (lambda x: x.detach().numpy(), TypeError, "must return one tensor. Got ndarray"),
    "device": (on_meta, ValueError, "on the device of its input, cpu. Got one on meta"),
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("when", [function, when_training])
@pytest.mark.parametrize("name", OUTPUTS)
def test_an_output_of_another_kind_is_refused(name, when, role):
    f, error, message = OUTPUTS[name]
    model = small(network=own(role, after=when(f)))
    with pytest.raises(
        error, match=rf"network's {role} must return.*{message.split('return')[-1]}"
    ):
        model.fit(table())
    assert not hasattr(model, "net_")


@pytest.mark.parametrize("role", ROLES)
def test_outputs_in_the_precision_of_the_training_are_accepted(role):
    model = small(network=own(role), precision="bfloat16").fit(table())
    assert model.transform(table()).dtype == np.float32


@pytest.mark.parametrize("role", ROLES)
def test_an_error_in_training_says_which_network_raised_it(role):
    network = own(role, after=lambda: when_training(lambda x: x @ torch.zeros(1, 1))())
    with pytest.raises(RuntimeError) as raised:
        small(network=network).fit(table())
    assert f"Raised by the network's {role} for inputs of shape" in str(raised.value.__notes__)


def test_an_output_of_a_changing_width_is_refused():
    network = own("encoder", after=function(lambda x: x[:, : 5 if len(x) == 2 else 3]))
    with pytest.raises(ValueError, match=r"encoder must return 5 columns for any batch\. Got 3"):
        small(network=network).fit(table())


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_output_that_is_not_finite_at_the_start_is_refused(value, role):
    network = own(role, after=function(lambda x: value * x))
    with pytest.raises(ValueError, match=f"{role} must return finite numbers.*of 32 rows"):
        small(network=network).fit(table())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("role", ROLES)
def test_weights_of_another_dtype_are_refused(role, dtype):
    network = own(role, after=lambda: nn.Linear(TO_X.get(role, 5), TO_X.get(role, 5), dtype=dtype))
    with pytest.raises(
        ValueError, match=rf"{role} must compute in torch.float32.*weights of {dtype}"
    ):
        small(network=network).fit(table())


def test_weights_on_another_device_are_refused():
    network = own("encoder", after=lambda: nn.Linear(5, 5, device="meta"))
    with pytest.raises(ValueError, match=r"encoder factory must make weights on the CPU.* on meta"):
        small(network=network).fit(table())


@pytest.mark.parametrize("role", ROLES)
def test_a_body_that_passes_no_gradient_on_is_for_an_encoder_only(role):
    # A pretrained encoder of fixed features is a way to use one.
    network = own(role, after=function(torch.Tensor.detach))
    if role == "encoder":
        small(network=network).fit(table())
        return
    with pytest.raises(ValueError, match=f"{role} must pass gradients on"):
        small(network=network).fit(table())


def test_a_body_may_return_its_input():
    def identity(n_features, latent_dim):
        return nn.Identity()

    X = bounded()
    before = X.copy()
    network = {"encoder": identity, "generator": identity}
    model = small(network=network, n_components=N_COLUMNS, output_activation="sigmoid").fit(X)
    hidden = model.set_params(features="hidden").transform(X)
    np.testing.assert_array_equal(hidden, X)
    assert not np.shares_memory(hidden, X)
    np.testing.assert_array_equal(X, before)
