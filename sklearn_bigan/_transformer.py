"""BiGAN and ALI as a scikit-learn transformer."""

import math
import warnings
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any, Self, cast

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Tags, check_array, gen_batches
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor
from torch.utils.data import Dataset

from sklearn_bigan import _parameters as parameters
from sklearn_bigan._data.statistics import ColumnStatistics
from sklearn_bigan._persistence import net_from_state, net_to_state
from sklearn_bigan._runtime.device import resolve_device
from sklearn_bigan._runtime.distributed import from_first
from sklearn_bigan._runtime.inference import CHUNK_ROWS
from sklearn_bigan._runtime.settings import numpy_settings, training_settings
from sklearn_bigan._training.diagnostics import problems
from sklearn_bigan._training.net import BiGANNet
from sklearn_bigan.networks.bigan import ModelSpec
from sklearn_bigan.networks.generator import OUTPUT_RANGES
from sklearn_bigan.networks.priors import MixturePrior

# Weight of the discriminator's term in EGBAD's anomaly score.
EGBAD_WEIGHT = 0.1


def _needs(method: str, parameter: str, value: str, why: str) -> Callable[[Any], bool]:
    """Return a check for `available_if`: the model was, or will be, made with that value."""

    def check(estimator: Any) -> bool:
        if hasattr(estimator, "net_"):
            current = getattr(estimator.net_.spec, parameter)
        else:
            preset = parameters.PRESETS.get(estimator.method, parameters.PRESETS["auto"])
            current = getattr(estimator, parameter)
            current = getattr(preset, parameter) if current == "auto" else current
            current = parameters.prior_kind(current)
        if current != value:
            raise AttributeError(
                f"{method} needs {parameter}={value!r}; the codes of {parameter}={current!r} {why}."
            )
        return True

    return check


class BiGANTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Adversarially learned features: codes z = E(x), and a generator back, x = G(z).

    An encoder E and a generator G are trained against a joint discriminator D, which separates
    pairs (x, E(x)) from pairs (G(z), z), with z drawn from a prior. Where D cannot tell them apart,
    G inverts E and the codes of the data are distributed like the prior. The adversarial loss alone
    is BiGAN [1]_ or ALI [2]_; its codes are mostly worse than PCA's. By default it is combined with
    cycle losses that tie E and G to each other [3]_, a mixture prior, a contrastive loss between
    the codes of nearest neighbours [7]_, and averaged weights. The benchmarks say what each is
    worth, and where PCA is better.

    Parameters
    ----------
    n_components : int, default=16
        Size of the code z, at least 1.
    method : {"auto", "bigan", "ali", "latent_regression", "joint_latent_regression"}, \
            default="auto"
        What is trained; the "auto" of posterior, prior, losses, learning rate and batch size
        follows from it. "auto" is the recipe described above. "bigan" [1]_ and "ali" [2]_ are the
        published methods, with the prior, loss, learning rate and batch size of their papers. The
        last two are the baselines of [1]_, section 4.1: a plain GAN, with an E trained to predict z
        from G(z); none or 0.25 of the gradient of that loss flows into G.
    posterior : {"auto", "deterministic", "gaussian"}, default="auto"
        q(z | x). Deterministic: z = E(x). Gaussian: z = mu(x) + sigma(x) * eps with normal eps;
        `transform` returns the mean. "auto" is "gaussian" for ALI, else "deterministic".
    prior : {"auto", "mixture", "normal", "uniform"} or int, default="auto"
        p(z): a mixture of equally likely Gaussians around fixed, well separated means, whose
        weights, means and widths are fitted to the codes at the end of `fit`; N(0, 1) or U(-1, 1)
        in each component. Codes are squashed to the range of the prior. An int, at least 1, is the
        number of Gaussians in a mixture; "mixture" has 50. Use more than the data has classes:
        clusters may share a class, but classes that share a cluster are merged. "auto" is "mixture"
        for ``method="auto"`` (on MNIST 4 points better with 100 labels than "normal"; without
        clusters in the data "normal" is better), "normal" for ALI, else "uniform".
    network : {"auto", "mlp", "dcgan", "ali"} or dict, default="auto"
        The networks' bodies: "mlp" for tables; for images "dcgan", strided convolutions [4]_, or
        "ali", the networks of [2]_, appendix A, which take about ten times as long. "auto" is
        "mlp", or "dcgan" with `image_shape`. A dict maps any of "encoder", "generator" and
        "discriminator" to a class or function that is called with the keywords `n_features`,
        `latent_dim` and, if given, `image_shape` (of length 3), and returns a `torch.nn.Module`:
        the encoder's maps x to hidden features, the generator's maps z to `n_features` columns, the
        discriminator's maps (x, z) to features. x is standardised. The layer that makes codes, the
        output bias and activation, and the logit are added. A latent regressor's discriminator gets
        ``latent_dim=0``. A discriminator body with the attribute ``row_independent = True``
        declares that no row's logit depends on other rows (no batch norm); a step is then cheaper.
    hidden_layer_sizes : "auto" or array-like of int, default="auto"
        Widths of the mlp's hidden layers, from x to z; G has them in reverse. "auto" is (512, 512)
        from 10,000 rows on, else (256, 256).
    image_shape : None, (height, width) or (height, width, channels), default=None
        How to read a row of X as an image, flattened with its channels last. The networks "dcgan"
        and "ali" take images of at least 8 x 8 pixels.
    augmentations : "auto", None or array-like of {"crop", "flip", "color"}, default="auto"
        Data augmentation for images. E encodes two random views of each image and is trained with a
        contrastive loss (NT-Xent [5]_) to give them similar codes: random crops, mirroring, and
        changes of contrast and brightness or conversion to grey. G and D see the images themselves;
        with a cycle loss half of D's generated images are reconstructions [6]_. "auto" is ("crop",
        "color") with `image_shape` and ``method="auto"``; add "flip" where mirror images are of the
        same class. None turns augmentation off.
    output_activation : {"auto", "identity", "sigmoid", "tanh"}, default="auto"
        Range of G: unbounded, [0, 1] or [-1, 1]. X must lie in it. "auto" is "sigmoid" if the
        smallest value of X is 0 and the largest 1, else "identity"; see `output_activation_`. With
        "identity", X is centred and divided by one common scale, so that neither its unit nor its
        origin matters. In a table, a column whose standard deviation is more than three times the
        median is scaled down to three times the median, and outliers are squashed smoothly: for
        the networks no value is more than 20 standard deviations (of its column or of all columns,
        without outliers) from the centre of its column, and generated values stay in the range of
        the training data.
        Standardise columns of different units first.
    features : {"latent", "hidden", "all"}, default="latent"
        What `transform` returns: z; the encoder's last hidden features; z followed by them. For a
        linear classifier codes are best on images with few labels (MNIST, 100 labels: .961, all
        features .949), all features on tables and with many labels (MNIST, all labels: .983, codes
        .979). Hidden features of images are pooled feature maps: the mean of every map of every
        layer and, for the last layer larger than one pixel, the mean over each quarter of the
        image. May be changed after `fit`.
    cycle_weight : float or "auto", default="auto"
        Weight, at least 0, of the mean of ||x - G(E(x))||^2, divided by that of ||x - mean||^2, in
        standardised units. "auto" is 100, or 5 with `image_shape` (more brings G(E(x)) closer to x
        and blurs it), and 0 for the published methods. Without it digits' R^2 falls from .87 to
        below 0. With ``method="auto"`` and a positive weight, the mean squared error of E(G(z)) as
        an estimate of z is added with weight 5.
    consistency_weight : float or "auto", default="auto"
        Weight, at least 0, of the contrastive loss: to identify the code of a row's neighbour (see
        `n_neighbors`) among the codes of the batch by the Cauchy kernel, 1 / (1 + 4 d^2) for codes
        at a distance of d standard deviations [7]_; or with augmentation that of the other view of
        an image, by the cosine [5]_. More makes tighter clusters and worse reconstructions. "auto"
        is 30, 50 with `image_shape`, and 0 for the published methods.
    n_neighbors : int or "auto", default="auto"
        Number of nearest neighbours, at least 0, that the contrastive loss draws from: in each pass
        one of them, at random, is the row's positive. At most 1 % of the rows (but at least 3) are
        used; with 0 there is no contrast between neighbours, and with ``consistency_weight=0``, as
        in the published methods, no graph is built whatever the number. "auto" is 10, and 0 with
        `image_shape` or a published method. The distance is Euclidean; rows of more than 50 columns
        are compared by correlation, in their 50 leading principal components. The graph is built
        before training, within random blocks of 65,536 rows: a quarter of a minute for each block
        on one core.
    learning_rate : float or "auto", default="auto"
        Adam's initial step size, above 0 (beta1 0.5, beta2 0.999). "auto" is 2e-3, or 4e-3 for
        tables of 10,000 rows or more; 1e-4 for ALI and 2e-4 for the other published methods. `fit`
        keeps it for half of the training, then lowers it linearly to a hundredth. With
        augmentation, G and D use a quarter of it.
    batch_size : int or "auto", default="auto"
        Rows in an update, at least 2. Neighbours and views are added to them. "auto" is 64 for
        tables with neighbours, which is the default, or 256 from 10,000 rows on; 128 without, and
        100 for ALI. With neighbours the adversarial and cycle losses see every other row.
    max_epochs : int or "auto", default="auto"
        Passes over X in `fit`. "auto" gives five updates of 64 rows for each of the first 100 rows
        and one for each further row, at most 18,750: 82 passes for 1,500 rows, 20 for 60,000.
        Without neighbours it gives two updates of any size for each further row, at most 15,000, or
        5,000 for images. Both are rounded up to whole passes. 0 leaves the networks as initialised:
        the untrained encoder, a baseline for every result.
    warm_start : bool, default=False
        Whether `fit` continues to train the existing networks. Parameters that shape them must then
        stay as they were.
    device : str, default="auto"
        A torch device such as "cuda:1" or "cpu"; "auto" takes the accelerator that torch finds,
        else the CPU; see `device_`.
    n_jobs : int or None, default=None
        Number of CPU threads that train the networks, not 0; -1 is all. None is one. Results differ
        by rounding from one number to another, which training amplifies. With 20,000 rows of 784
        columns two threads take a third less time than one; with 6,000 rows or fewer they hardly
        gain. Threads that have to share their cores with other work are slower than one.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Data type of matrix products and convolutions during training (mixed precision); weights
        and losses stay float32. "auto" is "bfloat16" with `image_shape` on a CUDA device with
        hardware for it, else "float32".
    compile : bool, default=False
        Whether torch compiles the training step in each call of `fit` or `partial_fit`. See the
        README for when this is worthwhile. Results differ by rounding.
    callbacks : list of skorch callbacks or None, default=None
        Called during `fit`, as by `skorch.NeuralNet`. `EpochScoring` needs ``on_train=True``;
        `EarlyStopping` and `Checkpoint` can monitor what `history_` holds; an `LRScheduler`
        replaces the built-in schedule. Callbacks that need a validation set or the loss of a batch
        are refused.
    random_state : int, RandomState instance or None, default=None
        Determines initial weights, the order of rows and all draws. Pass an int for the same bits
        in every call. None is different in each call; numpy's global generator is never used.
    verbose : int, default=0
        Above 0, prints the metrics of each epoch.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The training, a complete skorch net: ``net_.partial_fit(X)`` trains on and
        ``net_.predict(X)`` returns codes. ``net_.module_`` holds `encoder`, `generator` and
        `discriminator` as they are trained, and in `averaged` E and G as they are used. The
        networks see standardised rows.
    device_ : str
        Device that holds the networks, for example "cpu" or "cuda:0".
    output_activation_ : str
        Range of G, with "auto" resolved.
    history_ : list of dict
        One entry for each epoch. Means over its rows: ``discriminator_loss``,
        ``encoder_generator_loss``, the other losses (``cycle_loss``, ``latent_cycle_loss``,
        ``consistency_loss`` or ``latent_regression_loss``, unweighted), and D's
        ``encoder_pair_accuracy`` and ``generator_pair_accuracy``. Diagnostics at its end, on 256
        rows: ``reconstruction_ratio`` (squared distance from x to its own reconstruction, divided
        by that to another row's), ``code_spread`` and ``least_code_spread`` (standard deviation of
        E(x) divided by the prior's, over all components and for the smallest), ``latent_error``
        (error of E(G(z)) divided by that of the mean), ``sample_spread`` (standard deviation of
        G(z) divided by that of the rows) and ``coverage`` (share of rows with a sample near).
        Updates in ``train_batch_count``, seconds in ``dur``.
    n_iter_ : int
        Number of epochs trained.
    mean_ : ndarray of shape (n_features,), dtype float64
        Mean of the training data, which `score` compares with.
    n_samples_seen_ : int
        Number of training rows behind `mean_`.
    n_features_in_ : int
        Number of columns in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if X had names that are all strings.

    See Also
    --------
    sklearn.decomposition.PCA : Linear codes with a linear way back. The baseline to beat.
    sklearn.neural_network.BernoulliRBM : Another generative feature extractor.

    Notes
    -----
    E and G minimise, and D maximises ([1]_, eq. 2-3; [2]_, eq. 3),

    .. math:: E_x[\\log D(x, E(x))] + E_z[\\log(1 - D(G(z), z))].

    The losses are those of both papers: logistic, non-saturating, with the labels swapped for E and
    G. They describe the balance of the players, not the quality of the features: D may win while
    codes improve, and vice versa. A pickle holds the networks and no optimizer state, and opens on
    machines without the device it was trained on.

    References
    ----------
    .. [1] Donahue, Krahenbuhl, Darrell. Adversarial Feature Learning. ICLR 2017,
       arXiv:1605.09782.
    .. [2] Dumoulin et al. Adversarially Learned Inference. ICLR 2017, arXiv:1606.00704.
    .. [3] Li et al. ALICE: Towards Understanding Adversarial Learning for Joint Distribution
       Matching. NIPS 2017, arXiv:1709.01215.
    .. [4] Radford, Metz, Chintala. Unsupervised Representation Learning with Deep Convolutional
       Generative Adversarial Networks. ICLR 2016, arXiv:1511.06434.
    .. [5] Chen, Kornblith, Norouzi, Hinton. A Simple Framework for Contrastive Learning of Visual
       Representations. ICML 2020, arXiv:2002.05709.
    .. [6] Larsen, Sonderby, Larochelle, Winther. Autoencoding beyond Pixels using a Learned
       Similarity Metric. ICML 2016, arXiv:1512.09300.
    .. [7] Damrich, Boehm, Hamprecht, Kobak. From t-SNE to UMAP with Contrastive Learning. ICLR
       2023, arXiv:2206.01816.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_bigan import BiGANTransformer
    >>> X = load_digits().data / 16
    >>> bigan = BiGANTransformer(8, max_epochs=2, random_state=0)
    >>> Z = bigan.fit_transform(X)
    >>> Z.shape, bigan.inverse_transform(Z).shape, bigan.sample(3).shape
    ((1797, 8), (1797, 64), (3, 64))
    """

    _parameter_constraints = parameters.CONSTRAINTS

    net_: BiGANNet
    mean_: np.ndarray
    n_samples_seen_: int

    def __init__(
        self,
        n_components: int = 16,
        *,
        method: str = "auto",
        posterior: str = "auto",
        prior: str | int = "auto",
        network: str | Mapping[str, Callable[..., torch.nn.Module]] = "auto",
        hidden_layer_sizes: str | tuple[int, ...] = "auto",
        image_shape: tuple[int, ...] | None = None,
        augmentations: str | tuple[str, ...] | None = "auto",
        output_activation: str = "auto",
        features: str = "latent",
        cycle_weight: float | str = "auto",
        consistency_weight: float | str = "auto",
        n_neighbors: int | str = "auto",
        learning_rate: float | str = "auto",
        batch_size: int | str = "auto",
        max_epochs: int | str = "auto",
        warm_start: bool = False,
        device: str = "auto",
        n_jobs: int | None = None,
        precision: str = "auto",
        compile: bool = False,
        callbacks: list[Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.method = method
        self.posterior = posterior
        self.prior = prior
        self.network = network
        self.hidden_layer_sizes = hidden_layer_sizes
        self.image_shape = image_shape
        self.augmentations = augmentations
        self.output_activation = output_activation
        self.features = features
        self.cycle_weight = cycle_weight
        self.consistency_weight = consistency_weight
        self.n_neighbors = n_neighbors
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.warm_start = warm_start
        self.device = device
        self.n_jobs = n_jobs
        self.precision = precision
        self.compile = compile
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose

    # Training.

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on X, from scratch unless `warm_start`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            At least two finite rows, in the range of `output_activation`; computed in float32. An
            `np.memmap` is read in blocks of 65,536 rows, fewer if they are wide, and never as a
            whole.
        y : None
            Ignored.

        Returns
        -------
        self : BiGANTransformer
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or X is out of range, or if training diverges. As after Ctrl-C, the
            estimator is then as it was before the call.
        TypeError
            If X is a torch Dataset.

        Warns
        -----
        ConvergenceWarning
            If codes or samples have collapsed or diverged, or E and G do not invert each other.
        """
        # What was learned stays, even where warnings are errors.
        for problem in self._train(X, go_on=self.warm_start, decay=True):
            warnings.warn(problem, ConvergenceWarning, stacklevel=3)  # whoever called fit
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Train for one pass over X, on top of what was learned before.

        For data that come in pieces. Nearest neighbours are searched within the piece, and the
        learning rate stays constant. Standardisation, `output_activation_` and the widths of the
        networks are those of the first piece, which should be like the others. The optimizer
        continues where it was, except after loading from a file, which holds neither it nor the
        weights before averaging.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As in `fit`.
        y : None
            Ignored.

        Returns
        -------
        self : BiGANTransformer
            The estimator, trained further.
        """
        self._train(X, go_on=True, decay=False)
        return self

    def _train(self, X: Any, *, go_on: bool, decay: bool) -> list[str]:
        """Train a net on X and, if that succeeds, adopt it; return what is wrong with it.

        `go_on`: train the existing networks, if there are any. `decay`: X is all there is, as in
        `fit` and not in `partial_fit`.
        """
        # Everything happens on a copy: a failure, Ctrl-C included, changes nothing.
        trial = object.__new__(type(self))
        trial.__dict__.update(vars(self))
        with training_settings():
            found = trial._fit(X, go_on=go_on and hasattr(self, "net_"), decay=decay)
        self.__dict__ = trial.__dict__
        return found

    def _fit(self, X: Any, *, go_on: bool, decay: bool) -> list[str]:
        rows = self._training_rows(X, reset=not go_on)
        statistics = ColumnStatistics.of(rows, type(self).__name__)
        made = self.net_.spec if go_on else None
        spec = parameters.model_spec(self, statistics, made)
        parameters.check_range(statistics, spec.output_activation)
        if made is not None:
            parameters.check_unchanged(made, spec)
        else:
            self.device_ = str(resolve_device(self.device))
        settings = self._settings(len(rows), decay=decay)
        if go_on:
            self.net_ = self.net_.twin(**settings, warm_start=True)
        else:
            self.net_ = self._new_net(rows, spec, statistics, settings)
        self._count(statistics, add=go_on and not decay)

        source = self.net_.get_dataset(rows)
        if not decay:
            self.net_.partial_fit(source)
            return []
        n_before = self.n_iter_ if go_on else 0
        self.net_.fit(source)
        return problems(self.net_.diagnose(source)) if self.n_iter_ > n_before else []

    def _settings(self, n_rows: int, *, decay: bool) -> dict[str, Any]:
        """Return how the net is trained, as `BiGANNet` takes it."""
        return {
            "config": parameters.training_config(self, torch.device(self.device_)),
            "lr": parameters.learning_rate(self, n_rows),
            "batch_size": parameters.batch_size(self, n_rows),
            "max_epochs": parameters.n_epochs(self, n_rows) if decay else 1,
            "callbacks": self.callbacks,
            "verbose": self.verbose,
        }

    def _new_net(
        self,
        rows: np.ndarray,
        spec: ModelSpec,
        statistics: ColumnStatistics,
        settings: dict[str, Any],
    ) -> BiGANNet:
        bounded = OUTPUT_RANGES[spec.output_activation] is not None
        shared = spec.image_shape is not None
        seed = parameters.draw_seed(self.random_state)
        return BiGANNet(
            spec,
            standardizer=statistics.standardizer(rows, bounded=bounded, shared=shared),
            x_mean=statistics.mean,
            seed=from_first(seed, torch.device(self.device_)),
            device=self.device_,
            **settings,
        )

    def _count(self, statistics: ColumnStatistics, *, add: bool) -> None:
        """Set the number of training rows and their mean, of all pieces if `add`."""
        seen, mean = statistics.n_rows, statistics.mean
        if add:
            seen += self.n_samples_seen_
            mean = self.mean_ + (mean - self.mean_) * (statistics.n_rows / seen)
        self.n_samples_seen_, self.mean_ = seen, mean

    def _training_rows(self, X: Any, reset: bool) -> np.ndarray:
        """Return X as numeric rows; a memory map as it is. Its values are checked later."""
        if isinstance(X, Dataset):
            raise TypeError(
                f"X must be an array, a data frame or a memory map of shape (n_samples, "
                f"n_features). Got a torch Dataset, {type(X).__name__}; pass its rows as an "
                f"array or np.memmap, or piece by piece to partial_fit."
            )
        if isinstance(X, np.memmap):
            validate_data(self, X[:2], reset=reset, ensure_min_samples=2)
            return X
        return validate_data(self, X, reset=reset, ensure_min_samples=2, ensure_all_finite=False)

    # Encoding.

    def transform(self, X: Any) -> np.ndarray:
        """Encode X: the mean of q(z | x), the encoder's hidden features, or both.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to encode.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_columns), dtype float32
            Row i depends on X[i] alone. `features` says what the columns are.
        """
        X = self._rows(X)
        features = self.features
        if features not in parameters.FEATURES:  # it may have been set since fit
            self._validate_params()
        encoder = self.net_.module_.averaged.encoder
        if features == "latent":
            return self.net_.map_rows(encoder, X)

        def encode(x: Tensor) -> Tensor:
            hidden, pooled = encoder.hidden_and_pooled(x)
            if features == "hidden":
                return pooled
            return torch.cat([encoder.moments(hidden)[0], pooled], dim=1)

        return self.net_.map_rows(encode, X)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the columns that `transform` returns.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Checked against the names of X or their number, and otherwise unused.

        Returns
        -------
        names : ndarray of str
            ``bigantransformer0`` and so on. Hidden features of images are named by layer, part of
            the image (from the upper left) and channel, for example
            ``bigantransformer_layer1_part0_1_channel5``.
        """
        names = super().get_feature_names_out(input_features)
        hidden = self.net_.module_.averaged.encoder.feature_names
        if self.features != "latent" and hidden is not None:
            prefix = type(self).__name__.lower()
            names[-len(hidden) :] = [f"{prefix}_{name}" for name in hidden]
        return names

    @available_if(
        _needs("posterior_moments", "posterior", "gaussian", "have no standard deviation")
    )
    def posterior_moments(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of q(z | x); only with a Gaussian posterior.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to encode.

        Returns
        -------
        mean, std : ndarray of shape (n_samples, n_components), dtype float32
            For each component of z.
        """
        X = self._rows(X)
        encoder = self.net_.module_.averaged.encoder

        def moments(x: Tensor) -> Tensor:
            return torch.cat(encoder.moments(encoder.hidden(x)), dim=1)

        both = self.net_.map_rows(moments, X)
        return both[:, : encoder.latent_dim], both[:, encoder.latent_dim :]

    @available_if(_needs("predict_cluster", "prior", "mixture", "have no clusters"))
    def predict_cluster(self, X: Any) -> np.ndarray:
        """Return the cluster of the prior that each row's code lies in; only with a mixture prior.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to encode.

        Returns
        -------
        clusters : ndarray of shape (n_samples,), dtype int64
            From 0 to the number of Gaussians - 1, in no particular order; pass one to `sample`.
        """
        X = self._rows(X)
        encoder = self.net_.module_.averaged.encoder
        prior = cast(MixturePrior, encoder.prior)
        clusters = self.net_.map_rows(lambda x: prior.cluster(encoder(x)).unsqueeze(1), X)
        return clusters.ravel().astype(np.int64)

    # Generation.

    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Generate x_hat = G(z) from codes.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_columns)
            What `transform` returned; with ``features="all"`` the leading columns are used.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features_in_), dtype float32
            One generated row for each code.

        Raises
        ------
        ValueError
            With ``features="hidden"``: G maps codes, not hidden features.
        """
        check_is_fitted(self)
        if self.features == "hidden":
            raise ValueError(
                "inverse_transform needs codes, which features='hidden' leaves out: the generator "
                "maps z, not hidden features. Use features='latent' or features='all'."
            )
        with numpy_settings():
            Z = check_array(Z, input_name="Z")
        if Z.shape[1] != self._n_features_out:
            raise ValueError(
                f"Z has {Z.shape[1]} columns, but with features={self.features!r} transform gives "
                f"{self._n_features_out}; pass what transform returned."
            )
        return self._generate(Z[:, : self.net_.module_.averaged.encoder.latent_dim])

    def sample(
        self,
        n_samples: int = 1,
        random_state: int | np.random.RandomState | None = None,
        *,
        cluster: int | None = None,
    ) -> np.ndarray:
        """Generate new rows G(z), z drawn from the prior.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows, at least 1.
        random_state : int, RandomState instance or None, default=None
            Determines z.
        cluster : int or None, default=None
            With a mixture prior, the cluster to draw from, as `predict_cluster` numbers them. None:
            from all, as often as the training rows' codes lay there.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features_in_), dtype float32
            The generated rows.
        """
        check_is_fitted(self)
        if not isinstance(n_samples, Integral) or int(n_samples) < 1:
            raise ValueError(
                f"The 'n_samples' parameter must be an int in the range [1, inf). Got "
                f"{n_samples!r} instead."
            )
        z = self.net_.draw_codes(
            int(n_samples),
            parameters.draw_seed(random_state),
            None if cluster is None else self._cluster(cluster),
        )
        return self._generate(z)

    def _cluster(self, cluster: Any) -> int:
        """Return the number of a cluster that the prior has."""
        prior = self.net_.module_.averaged.encoder.prior
        if not isinstance(prior, MixturePrior):
            raise ValueError(
                f"The 'cluster' parameter needs a model trained with prior='mixture'. Got "
                f"{cluster!r}; leave it out."
            )
        if not isinstance(cluster, Integral) or not 0 <= int(cluster) < len(prior.means):
            raise ValueError(
                f"The 'cluster' parameter must be an int in the range [0, {len(prior.means)}), one "
                f"of the prior's clusters. Got {cluster!r} instead."
            )
        return int(cluster)

    def reconstruct(self, X: Any) -> np.ndarray:
        """Return G(E(X)).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to reconstruct.

        Returns
        -------
        X_hat : ndarray of shape (n_samples, n_features), dtype float32
            Equal to X where G inverts E.
        """
        return self._reconstruct(self._rows(X), np.float32)

    @numpy_settings()
    def _reconstruct(self, X: np.ndarray, dtype: Any) -> np.ndarray:
        used = self.net_.module_.averaged
        x_hat = self.net_.map_rows(lambda x: used.generator(used.encoder(x)), X)
        return self.net_.standardizer.inverse_transform(x_hat, dtype)

    @numpy_settings()
    def _generate(self, Z: np.ndarray) -> np.ndarray:
        """Return G(Z) in the units of X."""
        x_hat = self.net_.map_codes(self.net_.module_.averaged.generator, Z)
        return self.net_.standardizer.inverse_transform(x_hat)

    # Scores.

    @numpy_settings()
    def score(self, X: Any, y: Any = None) -> float:
        """Return the share of the variation of X that G(E(X)) explains; comparable with PCA's.

        1 - sum (x - G(E(x)))^2 / sum (x - mean_)^2, in the units of X. 1 is perfect, 0 no better
        than the mean of the training data; negative values are possible.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to reconstruct.
        y : None
            Ignored.

        Returns
        -------
        score : float
            The R^2 of the reconstruction.
        """
        X = self._rows(X)
        residual, total = 0.0, 0.0
        for cut in gen_batches(len(X), CHUNK_ROWS):
            x_hat = self._reconstruct(X[cut], np.float64)
            residual += np.square(X[cut] - x_hat).sum(dtype=np.float64)
            total += np.square(X[cut] - self.mean_).sum(dtype=np.float64)
        if total == 0:  # X is its mean: as r2_score has it
            return 1.0 if residual == 0 else 0.0
        return float(1 - residual / total)

    def score_samples(self, X: Any) -> np.ndarray:
        """Return how normal each row is: minus the anomaly score of EGBAD (Zenati et al. 2018).

        -(0.9 * ||x - G(E(x))||_1 + 0.1 * ||f(x, E(x)) - f(G(E(x)), E(x))||_1), where x is
        standardised, so that the unit of X does not matter, and f is the layer of D before the
        logit.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to score.

        Returns
        -------
        scores : ndarray of shape (n_samples,), dtype float32
            Higher is more normal; at most 0.
        """
        X = self._rows(X)
        used, discriminator = self.net_.module_.averaged, self.net_.module_.discriminator

        def anomaly(x: Tensor) -> Tensor:
            z_hat = used.encoder(x)
            x_hat = used.generator(z_hat)
            gap = discriminator.features((x, z_hat)) - discriminator.features((x_hat, z_hat))
            reconstruction, matching = (x - x_hat).abs().sum(1), gap.abs().sum(1)
            return -((1 - EGBAD_WEIGHT) * reconstruction + EGBAD_WEIGHT * matching).unsqueeze(1)

        return self.net_.map_rows(anomaly, X).ravel()

    # What the fitted estimator tells about itself.

    @property
    def history_(self) -> list[dict[str, Any]]:
        """One dict for each epoch."""
        return self.net_.epochs()

    @property
    def n_iter_(self) -> int:
        """Number of epochs trained."""
        return len(self.net_.history)

    @property
    def output_activation_(self) -> str:
        """Range of G, with "auto" resolved."""
        return self.net_.spec.output_activation

    @property
    def _n_features_out(self) -> int:
        check_is_fitted(self)
        encoder = self.net_.module_.averaged.encoder
        names = encoder.feature_names
        n_hidden = encoder.n_hidden if names is None else len(names)
        widths = {"latent": encoder.latent_dim, "hidden": n_hidden}
        return widths.get(self.features, sum(widths.values()))

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        shown = super().__repr__(N_CHAR_MAX)
        if self.output_activation != "auto" or "net_" not in vars(self):
            return shown
        return f"{shown} fitted with output_activation={self.output_activation_!r}"

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _rows(self, X: Any) -> np.ndarray:
        """Return X as finite rows of any numeric dtype; they are converted chunk by chunk later."""
        # scikit-learn's validation takes longer than the encoder takes for one row.
        if self._is_valid(X):
            return X
        check_is_fitted(self)
        with numpy_settings():
            return validate_data(self, X, reset=False)

    def _is_valid(self, X: Any) -> bool:
        """Return whether X is certainly an array of finite floats as wide as in `fit`."""
        if type(X) is not np.ndarray or X.dtype.char not in "fd" or X.ndim != 2 or not len(X):
            return False
        named = hasattr(self, "feature_names_in_")
        if named or X.shape[1] != getattr(self, "n_features_in_", None):
            return False
        with np.errstate(over="ignore", invalid="ignore"):
            return math.isfinite(np.add.reduce(X, axis=None))

    # Pickling.

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "net_" in state:
            state["net_"] = net_to_state(state["net_"])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "net_" not in state:
            return
        try:
            resolve_device(self.device_)
        except ValueError:
            warnings.warn(
                f"This model was trained on {self.device_!r}, which is not available on this "
                f"machine; loading on the CPU.",
                UserWarning,
                stacklevel=2,
            )
            self.device_ = "cpu"
        self.net_ = net_from_state(
            state["net_"],
            type(self).__name__,
            callbacks=self.callbacks,
            verbose=self.verbose,
            device=self.device_,
        )
