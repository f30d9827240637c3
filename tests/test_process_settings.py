"""Whatever the process has set, results have the bits of a new process, and the settings stay."""

import pickle
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import sklearn
import torch
from factories import raises_in_step, small
from torch import nn

from sklearn_bigan._runtime.settings import InferenceSettings, training_settings


def set_and_back(get, set_, value):
    """Return a context in which a setting of the process has the value."""

    @contextmanager
    def changed():
        before = get()
        set_(value)
        try:
            yield
        finally:
            set_(before)

    return changed


def of_module(owner, name, value):
    return set_and_back(
        lambda: getattr(owner, name), lambda given: setattr(owner, name, given), value
    )


def matmul_precision(value):
    return set_and_back(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, value
    )


@contextmanager
def anomaly_detection():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Anomaly Detection has been enabled")
        context = torch.autograd.detect_anomaly()
    with context:
        yield


SETTINGS = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "set_grad_enabled": set_and_back(torch.is_grad_enabled, torch.set_grad_enabled, False),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "device context": lambda: torch.device("meta"),
    "default device": set_and_back(torch.get_default_device, torch.set_default_device, "meta"),
    "float64": set_and_back(torch.get_default_dtype, torch.set_default_dtype, torch.float64),
    "float16": set_and_back(torch.get_default_dtype, torch.set_default_dtype, torch.float16),
    "matmul medium": matmul_precision("medium"),
    "matmul high": matmul_precision("high"),
    "cuda allow_tf32": of_module(torch.backends.cuda.matmul, "allow_tf32", True),
    "cudnn allow_tf32": of_module(torch.backends.cudnn, "allow_tf32", False),
    "cudnn benchmark": of_module(torch.backends.cudnn, "benchmark", True),
    "cudnn disabled": of_module(torch.backends.cudnn, "enabled", False),
    # Its own context, flags, sets TF32 of Intel's GPUs, too, and warns where there is none.
    "mkldnn disabled": of_module(torch.backends.mkldnn, "enabled", False),
    "deterministic": set_and_back(
        torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True
    ),
    "flush denormals": set_and_back(lambda: False, torch.set_flush_denormal, True),
    "anomaly detection": anomaly_detection,
    "pandas": lambda: sklearn.config_context(transform_output="pandas"),
    "polars": lambda: sklearn.config_context(transform_output="polars"),
    "assume_finite": lambda: sklearn.config_context(assume_finite=True),
    "skip_parameter_validation": lambda: sklearn.config_context(skip_parameter_validation=True),
    "metadata routing": lambda: sklearn.config_context(enable_metadata_routing=True),
    "working memory": lambda: sklearn.config_context(
        working_memory=1, enable_cython_pairwise_dist=False, pairwise_dist_chunk_size=50
    ),
    "numpy raises": lambda: np.errstate(all="raise"),
    "numpy prints": lambda: np.printoptions(precision=1, threshold=2),
}
if hasattr(torch.backends, "fp32_precision"):  # torch 2.9
    SETTINGS |= {
        "bfloat16 products": of_module(torch.backends.mkldnn.matmul, "fp32_precision", "bf16"),
        "bfloat16 convolutions": of_module(torch.backends.mkldnn.conv, "fp32_precision", "bf16"),
        "tf32 everywhere": of_module(torch.backends, "fp32_precision", "tf32"),
    }
settings = pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)

MODELS = {
    # More columns than the nearest-neighbour graph compares directly.
    "table": {"hidden_layer_sizes": (64,), "batch_size": 32},
    "gaussian": {"method": "ali"},
    "images": {"image_shape": (8, 8), "max_epochs": 1},
}
models = pytest.mark.parametrize("model", MODELS)


def now():
    """Return all settings as they can be seen from outside."""
    get_precision = getattr(torch._C, "_get_fp32_precision_getter", lambda *where: None)
    return {
        "inference_mode": torch.is_inference_mode_enabled(),
        "grad": torch.is_grad_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "device": torch.get_default_device(),
        "dtype": torch.get_default_dtype(),
        "precisions": [
            get_precision(backend, operation)
            for backend, operation in (
                ("generic", "all"),
                ("mkldnn", "all"),
                ("mkldnn", "matmul"),
                ("mkldnn", "conv"),
                ("mkldnn", "rnn"),
                ("cuda", "all"),
                ("cuda", "matmul"),
                ("cuda", "conv"),
                ("cuda", "rnn"),
            )
        ],
        "older precisions": [
            or_refused(torch.get_float32_matmul_precision),
            or_refused(lambda: torch.backends.cudnn.allow_tf32),
        ],
        "backends": [
            torch.backends.mkldnn.enabled,
            torch.backends.cudnn.enabled,
            torch.backends.cudnn.deterministic,
            torch.backends.cudnn.benchmark,
        ],
        "deterministic": torch.get_deterministic_debug_mode(),
        "anomaly": torch.is_anomaly_enabled(),
        "denormals": sys.float_info.min / 2,
        "threads": torch.get_num_threads(),
        "sklearn": sklearn.get_config(),
        "numpy": (np.geterr(), np.get_printoptions()),
    }


def or_refused(get):
    """torch refuses to tell where older and newer functions were used together."""
    try:
        return get()
    except RuntimeError:
        return "refused"


@contextmanager
def under(setting):
    """Check that what the process has set is unchanged by what is done inside."""
    with setting():
        before = now()
        yield
        assert now() == before


@pytest.fixture(scope="module")
def rows():
    """120 images with a constant column, and one value whose square underflows."""
    X = np.random.default_rng(0).random((120, 64))
    X[:, 0], X[0, 1] = 0, 1e-200
    return X


@pytest.fixture(scope="module")
def expected(rows):
    """What each model gives in a new process."""
    return {name: everything(fitted(name, rows), rows) for name in MODELS}


@pytest.fixture(scope="module")
def pickles(rows):
    return {name: pickle.dumps(fitted(name, rows)) for name in MODELS}


def fitted(name, X):
    return small(**MODELS[name]).fit(X)


def everything(model, X):
    """Return results of all kinds, and those after a further pass."""
    first = results(model, X)
    # A model that was pickled goes on as another: its optimizer starts again.
    copied = pickle.loads(pickle.dumps(model)).partial_fit(X)
    return [*first, *results(model.partial_fit(X), X), *results(copied, X)]


def results(model, X):
    Z = np.asarray(model.transform(X))
    return [
        Z,
        np.asarray(model.transform(X[:1])),
        model.inverse_transform(Z),
        model.reconstruct(X),
        model.sample(3, random_state=0),
        model.score(X),
        model.score_samples(X),
    ]


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@settings
@models
def test_whatever_is_set_the_bits_are_those_of_a_new_process(rows, expected, setting, model):
    with under(setting):
        found = everything(fitted(model, rows), rows)
    assert_same(found, expected[model])


@settings
def test_a_model_made_without_the_setting_is_used_and_trained_on_with_it(
    rows, expected, pickles, setting
):
    first = len(expected["table"]) // 3
    model = pickle.loads(pickles["table"])
    with under(setting):
        found = results(model, rows)
        found += results(model.partial_fit(rows), rows)
    assert_same(found, expected["table"][:first] + expected["table"][-first:])


@settings
def test_a_model_made_with_the_setting_is_trained_on_without_it(rows, expected, pickles, setting):
    first = len(expected["table"]) // 3
    with under(setting):
        made, loaded = fitted("table", rows), pickle.loads(pickles["table"])
    assert_same(results(made.partial_fit(rows), rows), expected["table"][first : 2 * first])
    assert_same(results(loaded.partial_fit(rows), rows), expected["table"][2 * first :])


@pytest.fixture(scope="module")
def of_net(rows):
    return through_the_net(rows)


def through_the_net(X):
    """Return codes and diagnostics of a warm start, after the net itself was trained."""
    model = small(warm_start=True, max_epochs=1).fit(X)
    model.net_.fit(X).partial_fit(X)
    model.fit(X)
    return [model.net_.predict(X), *model.net_.diagnose(X)]


@settings
def test_warm_starts_and_the_net_itself_have_the_same_bits(rows, of_net, setting):
    with under(setting):
        found = through_the_net(rows)
    assert_same(found, of_net)


@settings
def test_a_fit_that_fails_leaves_the_setting(rows, setting):
    with under(setting), pytest.raises(ZeroDivisionError):
        small(callbacks=[raises_in_step(2, ZeroDivisionError)]).fit(rows)


@settings
def test_a_transform_that_fails_leaves_the_setting(rows, setting):
    class Fails(nn.Linear):
        def forward(self, x):
            if not self.training and len(x) == 128:  # 120 rows, padded
                raise ZeroDivisionError
            return super().forward(x)

    model = small(
        network={"encoder": lambda n_features, latent_dim: Fails(n_features, 8)}, max_epochs=0
    )
    model.fit(rows)
    with under(setting), pytest.raises(ZeroDivisionError):
        model.transform(rows)


@pytest.mark.parametrize("context", [InferenceSettings, training_settings])
def test_denormal_numbers_are_kept(context):
    def smaller():
        return float(torch.full((1,), torch.finfo(torch.float32).tiny) / 2)

    if not torch.set_flush_denormal(True):
        pytest.skip("this processor does not flush denormal numbers")
    try:
        assert smaller() == 0
        with context():
            assert smaller() > 0
        assert smaller() == 0
    finally:
        torch.set_flush_denormal(False)


def test_the_weights_of_a_model_loaded_in_inference_mode_can_be_trained(pickles):
    with torch.inference_mode():
        loaded = pickle.loads(pickles["table"])
    state = loaded.net_.module_.state_dict()
    assert not any(tensor.is_inference() for tensor in state.values())


def test_tensors_are_rows_where_scikit_learn_would_compute_with_them(
    rows, expected, pickles, monkeypatch
):
    # Else scikit-learn insists that SciPy's own switch was on when it was imported.
    monkeypatch.setattr("sklearn.utils._array_api._check_array_api_dispatch", lambda dispatch: None)
    X, model = torch.from_numpy(rows), pickle.loads(pickles["table"])
    codes = torch.from_numpy(expected["table"][0])
    with sklearn.config_context(array_api_dispatch=True):
        found = [fitted("table", X).net_.predict(rows), model.net_.predict(rows)]
        found += [model.reconstruct(X), model.inverse_transform(codes)]
    assert_same(found, [expected["table"][i] for i in (0, 0, 3, 2)])


def test_threads_that_train_and_transform_at_once_do_not_disturb_one_another(
    rows, expected, pickles
):
    """Some end while others still compute, and none may take the settings from them."""
    model, first = pickle.loads(pickles["table"]), len(expected["table"]) // 3
    with matmul_precision("medium")(), SETTINGS["float64"]():
        before, started = now(), threading.Barrier(4)

        def transform(i):
            started.wait(60)
            # Settings of a thread are its own.
            with (torch.autocast("cpu", dtype=torch.bfloat16), nullcontext())[i % 2]:
                return [model.transform(rows) for _ in range(100)]

        def train():
            started.wait(60)
            return results(fitted("table", rows), rows)

        with ThreadPoolExecutor(4) as pool:
            fits = [pool.submit(train) for _ in range(2)]
            codes = [pool.submit(transform, i) for i in range(2)]
            for job in fits:
                assert_same(job.result(), expected["table"][:first])
            for job in codes:
                assert_same(job.result(), [expected["table"][0]] * 100)
        assert now() == before
