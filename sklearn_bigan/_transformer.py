"""BiGAN and ALI as a scikit-learn transformer."""

import os
from collections.abc import Callable, Mapping
from numbers import Integral
from types import MethodType
from typing import Any, Self, cast

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils import Tags, check_array, gen_batches
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from sklearn_bigan import _parameters as parameters
from sklearn_bigan._anomaly import Encoded, egbad
from sklearn_bigan._data.rows import check_kind, checked_rows, dense, extremes, unweighted
from sklearn_bigan._data.statistics import ColumnStatistics
from sklearn_bigan._files.content import Content
from sklearn_bigan._files.onnx import encoder_model, generator_model
from sklearn_bigan._files.reading import read as read_file
from sklearn_bigan._files.writing import write as write_file
from sklearn_bigan._persistence import net_from_state, net_to_state
from sklearn_bigan._runtime.caller import warn
from sklearn_bigan._runtime.device import check_device_name, resolve_device
from sklearn_bigan._runtime.distributed import from_first, rank_and_size
from sklearn_bigan._runtime.files import file_to_write, replace_file
from sklearn_bigan._runtime.inference import chunk_rows
from sklearn_bigan._runtime.memory import explains_memory_of_use, explains_out_of_memory
from sklearn_bigan._runtime.settings import numpy_settings, training_settings
from sklearn_bigan._training.callbacks import without_live
from sklearn_bigan._training.checkpoint import Checkpoint, fingerprint
from sklearn_bigan._training.diagnostics import problem
from sklearn_bigan._training.net import BiGANNet
from sklearn_bigan._training.progress import Progress
from sklearn_bigan._training.tasks import CallbackSupportMixin, EpochTasks, with_callbacks
from sklearn_bigan.networks.bigan import ModelSpec
from sklearn_bigan.networks.generator import OUTPUT_RANGES
from sklearn_bigan.networks.priors import MixturePrior

# A new row may lie outside the range of a bounded output activation by this share of it, as test
# rows behind a MinMaxScaler do. Beyond, a step of the preprocessing is probably missing.
MAX_BEYOND_RANGE = 0.1

ALL_EQUAL = (
    "All rows of X are equal but for rounding: there is nothing to learn, training has ended after "
    "one epoch, and codes and scores mean nothing. Check how X was made."
)

_explains_memory_of_training = explains_out_of_memory(
    "There is not enough memory to train. Lower batch_size or hidden_layer_sizes, or pass X as an "
    "np.memmap, which is read in blocks. If it is an accelerator that has too little, device='cpu' "
    "trains in the memory of the host. The estimator is as it was before the call."
)


class _Learned:
    """An attribute that `fit` sets on the instance; before that, NotFittedError.

    scikit-learn's NotFittedError is an AttributeError, too, so that `hasattr` is False.
    """

    def __set_name__(self, owner: Any, name: str) -> None:
        self.name = name

    def __get__(self, estimator: Any, owner: Any = None) -> Any:
        if estimator is None:
            return self
        if self.name not in vars(estimator):
            raise NotFittedError(
                f"This {type(estimator).__name__} instance is not fitted yet. Call 'fit' with "
                f"appropriate arguments before using this estimator."
            )
        return vars(estimator)[self.name]

    def __set__(self, estimator: Any, value: Any) -> None:
        vars(estimator)[self.name] = value


class _AvailableFor:
    """A method that only a model with one value of a parameter has; else AttributeError says why.

    As `sklearn.utils.metaestimators.available_if`, whose own error does not say why. A fitted model
    is asked what it was made with, and an unfitted one what it will be made with.
    """

    def __init__(self, parameter: str, value: str, why: str) -> None:
        self.parameter, self.value, self.why = parameter, value, why

    def __call__(self, method: Callable[..., Any]) -> Self:
        self.method = method
        return self

    def __get__(self, estimator: Any, owner: Any = None) -> Callable[..., Any]:
        if estimator is None:
            return self.method
        name, parameter = self.method.__name__, self.parameter
        if hasattr(estimator, "net_"):
            current = getattr(estimator.net_.spec, parameter)
        else:
            current = parameters.before_fit(estimator, parameter)
        if current != self.value:
            raise AttributeError(
                f"{name} needs {parameter}={self.value!r}; the codes of {parameter}={current!r} "
                f"{self.why}."
            )
        return MethodType(self.method, estimator)


class BiGANTransformer(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, CallbackSupportMixin, BaseEstimator
):
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
        from G(z). The gradient of that loss does not flow into G in "latent_regression"; a quarter
        of it does in "joint_latent_regression".
    posterior : {"auto", "deterministic", "gaussian"}, default="auto"
        q(z | x). Deterministic: z = E(x). Gaussian: z = mu(x) + sigma(x) * eps with normal eps;
        `transform` returns the mean. "auto" is "gaussian" for ALI, else "deterministic".
    prior : {"auto", "mixture", "normal", "uniform"} or int, default="auto"
        The distribution p(z) of codes. "mixture" has 50 Gaussians. In training they are equally
        likely, with fixed, well separated means; at the end of `fit` their weights, means and
        covariances (above 128 components variances) are fitted to the codes. "normal" is N(0, 1)
        and "uniform" U(-1, 1) in each component. Codes are squashed to the range of the prior. An
        int, at least 1, is the number of Gaussians in a mixture. Use more than the data has
        classes: clusters may share a class, but classes that share a cluster are merged. "auto" is
        "mixture" for ``method="auto"`` (on MNIST 3 points better with 100 labels than "normal";
        without clusters in the data "normal" is better), "normal" for ALI, else "uniform".
    network : {"auto", "mlp", "dcgan", "ali"} or dict, default="auto"
        The networks' bodies: "mlp" for tables; for images "dcgan", strided convolutions [4]_, or
        "ali", the networks of [2]_, appendix A, which take about ten times as long. "auto" is
        "mlp", or "dcgan" with `image_shape`. A dict maps any of "encoder", "generator" and
        "discriminator" to a class or function that is called with the keywords `n_features`,
        `latent_dim` and, if given, `image_shape` (of length 3), and returns a `torch.nn.Module`:
        the encoder's maps x to hidden features, the generator's maps z to `n_features` columns, the
        discriminator's maps (x, z) to features. x is standardised, unless the output activation is
        "sigmoid" or "tanh". The layer that makes codes, the output bias and activation, and the
        logit are added. A body returns float32, one row for each row of its input. In evaluation
        mode a row's output must not depend on the other rows: batch norm needs running statistics.
        `fit` tries this on a few rows before training. Bodies get copies, and may work in place.
        A latent regressor's discriminator gets ``latent_dim=0``. A discriminator body with the
        attribute ``row_independent = True`` declares that no row's logit depends on other rows (no
        batch norm); a step is then cheaper.
    hidden_layer_sizes : "auto" or array-like of int, default="auto"
        Widths of the mlp's hidden layers, from x to z; G has them in reverse. "auto" is (512, 512)
        from 10,000 rows on, else (256, 256).
    image_shape : None, (height, width) or (height, width, channels), default=None
        How to read a row of X as an image, flattened with its channels last:
        ``images.reshape(len(images), -1)``, after ``np.moveaxis(images, 1, -1)`` if they come
        first. The networks "dcgan" and "ali" take images of at least 8 x 8 pixels.
    augmentations : "auto", None or array-like of {"crop", "flip", "color"}, default="auto"
        Data augmentation for images. E encodes each image and a random view of it, and is trained
        with a contrastive loss (NT-Xent [5]_) to give them similar codes: random crops, mirroring,
        and changes of contrast and brightness or conversion to grey. The image itself is what D
        sees and what is reconstructed; with a cycle loss half of D's generated images are
        reconstructions [6]_. "auto" is ("crop", "color") with `image_shape` and ``method="auto"``;
        add "flip" where mirror images are of the same class. None turns it off.
    output_activation : {"auto", "identity", "sigmoid", "tanh"}, default="auto"
        Range of G: unbounded, [0, 1] or [-1, 1]. X must lie in it, or outside by a thousandth of
        its width, for rounding. "auto" is "sigmoid" if the smallest value of X is 0 and the largest
        1, rounding aside, else "identity"; see `output_activation_`. With
        "identity", X is centred and divided by one common scale, so that neither its unit nor its
        origin matters. In a table, a column whose standard deviation is more than three times the
        median of all columns' is scaled down to three times that median, and outliers are squashed
        smoothly: for the networks no value is more than 20 standard deviations (of its column or of
        all columns, without outliers) from the centre of its column, and generated values stay in
        the range of the training data. Standardise columns of different units first.
    features : {"latent", "hidden", "all"}, default="latent"
        What `transform` returns: z; the encoder's last hidden features; z followed by them. For a
        linear classifier codes are best on images with few labels (MNIST, 100 labels: .963, all
        features .950), all features on tables and with many labels (MNIST, all labels: .983, codes
        .979). Hidden features of images are pooled feature maps: the mean of every map of every
        layer and, for the last layer larger than one pixel, the mean over each quarter of the
        image. May be changed after `fit`.
    cycle_weight : float or "auto", default="auto"
        Weight, at least 0, of the mean of ||x - G(E(x))||^2, divided by that of ||x - mean||^2, in
        standardised units. "auto" is 100, or 50 with `image_shape` (more makes better pictures,
        less makes better hidden features of photographs), and 0 for the published methods. Without
        it digits' R^2 falls from .87 to below 0. With ``method="auto"`` and a positive weight, the
        mean squared error of E(G(z)) as an estimate of z is added with weight 5.
    consistency_weight : float or "auto", default="auto"
        Weight, at least 0, of the contrastive loss. For tables it is the cross-entropy of
        identifying the code of a row's neighbour (see `n_neighbors`) among the codes of the batch,
        by the Cauchy kernel 1 / (1 + 4 d^2) of codes d standard deviations apart [7]_. With
        augmentation it is that of identifying the code of the image's view, by the cosine [5]_.
        More makes tighter clusters and worse reconstructions. "auto" is 30, 50 with
        `image_shape`, and 0 for the published methods.
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
    device : str or torch.device, default="auto"
        A torch device such as "cuda:1" or "cpu"; "auto" takes the accelerator that torch finds,
        else the CPU; see `device_`. A model that is trained further stays on `device_`.
    n_jobs : int or None, default=None
        Number of CPU threads that train the networks, not 0; -1 is all. None is one. Results differ
        by rounding from one number to another, which training amplifies. With 20,000 rows of 784
        columns two threads take a third less time than one; with 6,000 rows or fewer they hardly
        gain. Threads that have to share their cores with other work are slower than one.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Data type of matrix products and convolutions during training (mixed precision); weights
        and losses stay float32. "auto" is "bfloat16" with `image_shape` on a CUDA device with
        hardware for it, or on a CPU that torch reports to have AMX (older versions do not); else
        "float32".
    compile : bool, default=False
        Whether torch compiles the training step in each call of `fit` or `partial_fit`, for which
        it needs a C++ compiler. This pays for long trainings of tables with small layers; images
        train more slowly in bfloat16 on a CPU. Results differ by rounding.
    checkpoint : None, path or (path, seconds), default=None
        File that `fit` writes its state to every three minutes or every so many seconds, above 0,
        and on Ctrl-C. If the file exists, `fit` goes on from there and ends with the bits of a
        training without interruption. A file of a finished training is loaded and nothing is
        trained. ValueError if the file is of other data or parameters: delete it, or give another
        path, to train from scratch. Callbacks start anew. Not for `partial_fit`, for `fit` with
        `warm_start` on a fitted estimator, or under torchrun.
    callbacks : list of skorch callbacks or None, default=None
        Called during `fit`, as by `skorch.NeuralNet`. `EpochScoring` needs ``on_train=True``;
        `EarlyStopping` and `Checkpoint` can monitor what `history_` holds; an `LRScheduler`
        replaces the built-in schedule. Callbacks that need a validation set or the loss of a batch
        are refused. One that raises KeyboardInterrupt ends the training; Ctrl-C is raised to the
        caller. Copies and pickles leave out, with a warning, callbacks that hold something that
        cannot be copied, such as an open file.
    random_state : int, RandomState instance or None, default=None
        Determines initial weights, the order of rows and all draws. Pass an int for the same bits
        in every call. None is different in each call; numpy's global generator is never used.
    verbose : int, default=0
        1 shows a progress bar on stderr (a widget in a notebook, a line every five seconds where
        stderr is no terminal) with the time left, the rows a second and two metrics of
        `history_`. 2 also prints a row of metrics for each epoch. 0 shows nothing.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The training, a complete skorch net: ``net_.partial_fit(X)`` trains on and
        ``net_.predict(X)`` returns codes. ``net_.module_`` holds `encoder`, `generator` and
        `discriminator` as they are trained, and in `averaged` E and G as they are used. The
        networks see rows in the units of ``net_.standardizer``.
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
    feature_names_in_ : ndarray of shape (n_features,)
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

    net_: BiGANNet = cast(Any, _Learned())
    device_: str = cast(Any, _Learned())
    mean_: np.ndarray = cast(Any, _Learned())
    n_samples_seen_: int = cast(Any, _Learned())

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
        device: str | torch.device = "auto",
        n_jobs: int | None = None,
        precision: str = "auto",
        compile: bool = False,
        checkpoint: str | os.PathLike[str] | tuple[str | os.PathLike[str], float] | None = None,
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
        self.checkpoint = checkpoint
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose

    # Training.

    @unweighted
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on X, from scratch unless `warm_start`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            At least two finite rows, in the range of `output_activation`; computed in float32. An
            `np.memmap` is read in blocks of 65,536 rows, fewer if they are wide, and never as a
            whole. Sparse rows are made dense in such blocks, too; CSR needs no conversion.
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
        MemoryError
            If memory is short, on the host or the device. What was allocated is freed, and the
            estimator is as it was.
        TypeError
            If X is no array, sparse matrix or data frame, or its dtype is not numeric; or if
            `sample_weight` is given, since rows cannot be weighted.

        Warns
        -----
        ConvergenceWarning
            If codes or samples have collapsed or diverged, or E and G do not invert each other. If
            all rows are equal, training ends after one epoch.
        """
        return self._train(X, y, go_on=self.warm_start, decay=True)

    @unweighted
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Train for one pass over X, on top of what was learned before.

        For data that come in pieces. Nearest neighbours are searched within the piece, and the
        learning rate stays constant. Standardisation, `output_activation_` and the widths of the
        networks are those of the first piece, which should be like the others; if all of its rows
        are equal, a ConvergenceWarning says so. The optimizer continues where it was, except after
        loading from a file, which holds neither it nor the weights before averaging.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            As in `fit`; with `sample_weight` it raises TypeError, too.
        y : None
            Ignored.

        Returns
        -------
        self : BiGANTransformer
            The estimator, trained further.
        """
        self._validate_params()  # scikit-learn does so in the first call only
        return self._train(X, y, go_on=True, decay=False)

    @_explains_memory_of_training
    def _train(self, X: Any, y: Any, *, go_on: bool, decay: bool) -> Self:
        """Train a net on X and, if that succeeds, adopt it; warn if something is wrong with it.

        `go_on`: train the existing networks, if there are any. `decay`: X is all there is, as in
        `fit` and not in `partial_fit`.
        """
        # Everything happens on a copy: a failure, Ctrl-C included, changes nothing.
        trial = object.__new__(type(self))
        trial.__dict__.update(vars(self))
        go_on = go_on and hasattr(self, "net_")
        with training_settings(), Progress(int(self.verbose)) as progress:
            found = trial._fit(X, y, progress, go_on=go_on, decay=decay)
        self.__dict__ = trial.__dict__
        if found:  # what was learned stays, even where warnings are errors
            warn(found, ConvergenceWarning)
        return self

    @with_callbacks
    def _fit(self, X: Any, y: Any, progress: Progress, *, go_on: bool, decay: bool) -> str:
        parameters.checkpoint_place(self.checkpoint)  # also where training goes on without
        rows = self._training_rows(X, reset=not go_on)
        statistics = ColumnStatistics.of(rows, type(self).__name__)
        made = self.net_.spec if go_on else None
        spec = parameters.model_spec(self, statistics, made)
        parameters.check_range(statistics, spec.output_activation)
        if made is not None:
            parameters.check_unchanged(made, spec)
            check_device_name(self.device)  # it stays on `device_`
        else:
            self.device_ = str(resolve_device(self.device))
        settings = self._settings(statistics.n_rows, decay=decay)
        constant = statistics.is_constant(rows.dtype)
        if constant:
            settings["max_epochs"] = min(settings["max_epochs"], 1)
        checkpoint = self._checkpoint(rows, spec, settings) if decay and not go_on else None
        if go_on:
            self.net_ = self.net_.twin(**settings, warm_start=True)
        else:
            seed = None if checkpoint is None else checkpoint.seed
            self.net_ = self._new_net(rows, spec, statistics, seed, settings)
        self._count(statistics, add=go_on and not decay)

        n_before = self.n_iter_ if go_on else 0
        source = self.net_.get_dataset(rows)
        if decay:
            tasks = None
            if getattr(self, "_skl_callbacks", None):
                tasks = EpochTasks(self, rows, y, source, settings["max_epochs"])
            self.net_.fit(source, checkpoint=checkpoint, progress=progress, tasks=tasks)
            if tasks is not None:
                tasks.end()
        else:
            self.net_.partial_fit(source, progress=progress)
        later_piece = go_on and not decay
        if later_piece or self.n_iter_ == n_before:
            return ""
        if constant:
            return ALL_EQUAL
        if not decay:  # one pass over a piece is too little to be judged
            return ""
        usual_rate = parameters.usual_learning_rate(self, statistics.n_rows)
        return problem(self.net_.diagnose(source), self.net_.lr, usual_rate)

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

    def _checkpoint(
        self, rows: Any, spec: ModelSpec, settings: dict[str, Any]
    ) -> Checkpoint | None:
        """Return the file to go on from and to write to, if there is to be one."""
        place = parameters.checkpoint_place(self.checkpoint)
        if place is None:
            return None
        if rank_and_size()[1] > 1:
            raise ValueError(
                "checkpoint needs a training in one process: under torchrun each has generators of "
                "its own. Use checkpoint=None."
            )
        identity = {
            "X": fingerprint(rows),
            **vars(spec),
            "network": spec.network_names(),
            **vars(settings["config"]),
            "learning_rate": settings["lr"],
            **{name: settings[name] for name in ("batch_size", "max_epochs")},
            "random_state": parameters.named_seed(self.random_state),
            "device": self.device_,
        }
        return Checkpoint(*place, identity)

    def _new_net(
        self,
        rows: Any,
        spec: ModelSpec,
        statistics: ColumnStatistics,
        seed: int | None,
        settings: dict[str, Any],
    ) -> BiGANNet:
        if seed is None:
            seed = parameters.draw_seed(self.random_state)
        bounded = OUTPUT_RANGES[spec.output_activation] is not None
        shared = spec.image_shape is not None
        standardizer = statistics.standardizer(rows, bounded=bounded, shared=shared)
        # A single outlier can move the mean far away from all other rows, but not the centre.
        x_mean = statistics.mean if standardizer.center is None else standardizer.center
        return BiGANNet(
            spec,
            standardizer=standardizer,
            x_mean=x_mean,
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

    def _training_rows(self, X: Any, reset: bool) -> Any:
        """Return X as numeric rows, an array or CSR; a memory map as it is.

        Its values are checked later.
        """
        check_kind(X)
        if isinstance(X, np.memmap):
            validate_data(self, X[:2], reset=reset)
            rows: Any = X
        else:
            rows = validate_data(self, X, reset=reset, accept_sparse="csr", ensure_all_finite=False)
        if rows.shape[0] < 2:
            raise ValueError(
                f"Found array with 1 sample(s) (shape={rows.shape}) while a minimum of 2 is "
                f"required by {type(self).__name__}: in each update rows are compared with one "
                f"another. For partial_fit collect rows to pieces of two or more."
            )
        return rows

    # Encoding.

    @explains_memory_of_use
    def transform(self, X: Any) -> np.ndarray:
        """Encode X: the mean of q(z | x), the encoder's hidden features, or both.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to encode.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_columns), dtype float32
            Row i depends on X[i] alone. `features` says what the columns are.

        Warns
        -----
        UserWarning
            If X lies outside the range of `output_activation_` by more than a tenth of it, as all
            methods that take X do.
        """
        X = self._rows(X)
        features = parameters.features(self)
        encoder = self.net_.module_.averaged.encoder
        return self.net_.map_rows(lambda x: encoder.features(x, features), X)

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
        if parameters.features(self) != "latent" and hidden is not None:
            prefix = type(self).__name__.lower()
            names[-len(hidden) :] = [f"{prefix}_{name}" for name in hidden]
        return names

    @_AvailableFor("posterior", "gaussian", "have no standard deviation")
    @explains_memory_of_use
    def posterior_moments(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of q(z | x); only with a Gaussian posterior.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
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

    @_AvailableFor("prior", "mixture", "have no clusters")
    @explains_memory_of_use
    def predict_cluster(self, X: Any) -> np.ndarray:
        """Return the cluster of the prior that each row's code lies in; only with a mixture prior.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to encode.

        Returns
        -------
        clusters : ndarray of shape (n_samples,), dtype int64
            From 0 to the number of Gaussians - 1, in no particular order; pass one to `sample`.
        """
        X = self._rows(X)
        encoder = self.net_.module_.averaged.encoder
        prior = cast(MixturePrior, encoder.prior)

        def cluster(x: Tensor) -> Tensor:
            z = encoder(x)
            finite = z.isfinite().all(1, keepdim=True)
            return torch.where(finite, prior.cluster(z).unsqueeze(1), torch.nan)

        return self.net_.map_rows(cluster, X).ravel().astype(np.int64)

    # Generation.

    @explains_memory_of_use
    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Generate x_hat = G(z) from codes.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_columns)
            What `transform` returned; with ``features="all"`` the leading columns are used.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features), dtype float32 or float64
            One generated row for each code. float64 only where float32 would round a column of X
            by more than a thousandth of the unit it is learned in, as it does seconds since 1970.

        Raises
        ------
        ValueError
            With ``features="hidden"``: G maps codes, not hidden features.
        """
        check_is_fitted(self)
        if parameters.features(self) == "hidden":
            raise ValueError(
                "inverse_transform needs codes, which features='hidden' leaves out: the generator "
                "maps z, not hidden features. Use features='latent' or features='all'."
            )
        check_kind(Z, "Z")
        with numpy_settings():
            Z = check_array(Z, input_name="Z")
        if Z.shape[1] != self._n_features_out:
            raise ValueError(
                f"Z has {Z.shape[1]} columns, but with features={self.features!r} transform gives "
                f"{self._n_features_out}; pass what transform returned."
            )
        return self._generate(Z[:, : self.net_.module_.averaged.encoder.latent_dim])

    @explains_memory_of_use
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
        X : ndarray of shape (n_samples, n_features), dtype float32 or float64
            The generated rows; the dtype is that of `inverse_transform`.
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

    @explains_memory_of_use
    def reconstruct(self, X: Any) -> np.ndarray:
        """Return G(E(X)).

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to reconstruct.

        Returns
        -------
        X_hat : ndarray of shape (n_samples, n_features), dtype float32 or float64
            Equal to X where G inverts E. The dtype is that of `inverse_transform`.
        """
        return self._reconstruct(self._rows(X))

    @numpy_settings()
    def _reconstruct(self, X: Any) -> np.ndarray:
        used = self.net_.module_.averaged
        x_hat = self.net_.map_rows(lambda x: used.generator(used.encoder(x)), X)
        return self.net_.standardizer.inverse_transform(x_hat)

    @numpy_settings()
    def _generate(self, Z: np.ndarray) -> np.ndarray:
        """Return G(Z) in the units of X."""
        x_hat = self.net_.map_codes(self.net_.module_.averaged.generator, Z)
        return self.net_.standardizer.inverse_transform(x_hat)

    # Scores.

    @explains_memory_of_use
    @numpy_settings()
    def score(self, X: Any, y: Any = None) -> float:
        """Return the share of the variation of X that G(E(X)) explains; comparable with PCA's.

        ``1 - sum (x - G(E(x)))^2 / sum (x - mean_)^2``, in the units of X, with G(E(x)) as
        `reconstruct` returns it. 1 is perfect, 0 no better than the mean of the training data;
        negative values are possible.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
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
        for cut in gen_batches(X.shape[0], chunk_rows(X.shape[1])):
            x, x_hat = dense(X[cut]).astype(np.float64), self._reconstruct(X[cut])
            residual += np.square(x - x_hat).sum()
            total += np.square(x - self.mean_).sum()
        if total == 0:  # X is its mean: as r2_score has it
            return 1.0 if residual == 0 else 0.0
        return float(1 - residual / total)

    @explains_memory_of_use
    def score_samples(self, X: Any) -> np.ndarray:
        """Return how normal each row is: minus the anomaly score of EGBAD (Zenati et al. 2018).

        -(0.9 * ||x - G(E(x))||_1 + 0.1 * ||f(x, E(x)) - f(G(E(x)), E(x))||_1), where x is
        standardised, so that the unit of X does not matter, and f is the layer of D before the
        logit.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to score.

        Returns
        -------
        scores : ndarray of shape (n_samples,), dtype float32
            Higher is more normal; at most 0.
        """
        X = self._rows(X)
        bigan = self.net_.module_

        def of_chunk(x: Tensor) -> Tensor:
            return -egbad(bigan, Encoded.of(bigan, x)).unsqueeze(1)

        return self.net_.map_rows(of_chunk, X).ravel()

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
        kind, encoder = parameters.features(self), self.net_.module_.averaged.encoder
        if kind == "latent":  # naming the hidden features of images takes a pass of the encoder
            return encoder.latent_dim
        names = encoder.feature_names
        n_hidden = encoder.n_hidden if names is None else len(names)
        return n_hidden if kind == "hidden" else encoder.latent_dim + n_hidden

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        shown = super().__repr__(N_CHAR_MAX)
        if self.output_activation != "auto" or "net_" not in vars(self):
            return shown
        return f"{shown} fitted with output_activation={self.output_activation_!r}"

    def _sk_visual_block_(self) -> Any:
        """Return the block of scikit-learn's diagram, with what was fitted below the name."""
        try:
            from sklearn.utils._repr_html.estimator import _VisualBlock
        except ImportError:  # scikit-learn before 1.7
            from sklearn.utils._estimator_html_repr import _VisualBlock
        caption = None
        if "net_" in vars(self):
            net, bounds = self.net_, OUTPUT_RANGES[self.output_activation_]
            seconds = sum(epoch.get("dur", 0.0) for epoch in net.history)
            caption = (
                f"fitted on {self.device_}: components {net.spec.latent_dim:,}, "
                f"epochs {self.n_iter_:,}, updates {net.n_updates_:,}, seconds {seconds:,.1f}, "
                f"output {'unbounded' if bounds is None else 'from {:g} to {:g}'.format(*bounds)}"
            )
        name = type(self).__name__
        return _VisualBlock(
            "single", self, names=name, name_details=str(self), name_caption=caption
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.input_tags.sparse = True
        return tags

    def _rows(self, X: Any) -> Any:
        """Return X as finite rows of any numeric dtype, an array or CSR; converted later."""
        X = checked_rows(self, X, accept_sparse="csr")
        bounds = OUTPUT_RANGES[self.output_activation_]
        if bounds is not None:
            least, most = extremes(X)
            margin = MAX_BEYOND_RANGE * (bounds[1] - bounds[0])
            if least < bounds[0] - margin or most > bounds[1] + margin:
                warn(
                    f"X has values from {least:g} to {most:g}, but the model was trained on rows "
                    f"in [{bounds[0]:g}, {bounds[1]:g}], the range of output_activation="
                    f"{self.output_activation_!r}. Scale X as the training data were scaled."
                )
        return X

    # Pickling and files.

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        shared = [self, vars(self).get("net_")]
        state["callbacks"], left_out = without_live(self.callbacks, shared)
        if left_out:
            warn(
                f"The copy or file leaves out the callbacks {', '.join(left_out)}, which hold "
                f"something that cannot be copied, such as an open file or a lock."
            )
        if "net_" in state:
            state["net_"] = net_to_state(state["net_"])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Estimators saved by an older version lack the parameters that have come since.
        super().__setstate__(BiGANTransformer().get_params() | state)
        if "net_" not in state:
            return
        try:
            resolve_device(self.device_)
        except (ValueError, torch.OutOfMemoryError):
            warn(
                f"This model was trained on {self.device_!r}, which is not available on this "
                f"machine; loading on the CPU."
            )
            self.device_ = "cpu"
        self.net_ = net_from_state(
            state["net_"],
            type(self).__name__,
            callbacks=self.callbacks,
            verbose=self.verbose,
            device=self.device_,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the fitted estimator to a file that runs no code when `sklearn_bigan.load` opens it.

        The file is a safetensors file. It holds what a pickle holds: parameters, networks and
        history, but neither training data nor optimizer state. Two things cannot be described
        without code. `callbacks` are left out, with a warning. Of your own `network`, the weights
        are stored, and its classes or functions have to be passed to `load`.

        Lists and arrays among the parameters come back as tuples, numpy's numbers as Python's,
        paths as strings. An older file at `path` stays until the new one is complete.

        Parameters
        ----------
        path : str or path-like
            Where to put the file, in a directory that exists; the name may end in anything, for
            example ``.safetensors``.

        Raises
        ------
        TypeError
            If a parameter cannot be described as data, such as a RandomState instance in
            `random_state`, or the estimator is of a subclass, which `load` would not know. Nothing
            is written.
        ValueError
            If a parameter has been set to an invalid value since `fit`. Nothing is written.
        OSError
            If the file cannot be written. A file that was there is left as it was.

        See Also
        --------
        sklearn_bigan.load : Opens the file.

        Examples
        --------
        >>> import os, tempfile
        >>> from sklearn.datasets import load_digits
        >>> from sklearn_bigan import BiGANTransformer, load
        >>> X = load_digits().data / 16
        >>> bigan = BiGANTransformer(8, max_epochs=2, random_state=0).fit(X)
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     path = os.path.join(directory, "digits.safetensors")
        ...     bigan.save(path)
        ...     again = load(path)
        >>> bool((again.transform(X) == bigan.transform(X)).all())
        True
        """
        check_is_fitted(self)
        if type(self) is not BiGANTransformer:
            raise TypeError(
                f"save is for BiGANTransformer itself, which load returns. Got an instance of its "
                f"subclass {type(self).__name__}; save it with joblib or skops."
            )
        self._validate_params()
        arguments = self.get_params(deep=False)
        if arguments.pop("callbacks") or hasattr(self, "_skl_callbacks"):
            warn("callbacks are not stored: load will return the estimator without them.")
        learned = {
            name: value
            for name, value in vars(self).items()
            if name not in {*arguments, "callbacks", "_skl_callbacks", "net_"}
        }
        write_file(path, Content(arguments, learned, net_to_state(self.net_)))

    def to_onnx(self, path: str | os.PathLike[str], part: str = "encoder") -> None:
        """Write the encoder or the generator as an ONNX model, which other programs can run.

        The model takes any number of rows, and needs neither this package nor torch: onnxruntime
        runs it. Standardisation is part of it, so that X has its own units. What it computes equals
        `transform` or `inverse_transform` but for rounding; it does not check its input, which must
        be finite. Needs the extra ``sklearn_bigan[onnx]``. For a Pipeline see
        `sklearn_bigan.onnx.register_converter`.

        Parameters
        ----------
        path : str or path-like
            Where to put the file, usually ``.onnx``, in a directory that exists. An older file
            stays until the new one is complete.
        part : {"encoder", "generator"}, default="encoder"
            "encoder": from an input "X" to an output "Z", as `transform` with the present
            `features`. "generator": from an input "Z", codes of `n_components` columns, to an
            output "X", as `inverse_transform`. Z is float32. X is float32, too, or float64 where
            `inverse_transform` returns float64, since float32 would round such columns.

        Raises
        ------
        ImportError
            If onnx or onnxscript is not installed.
        ValueError
            If `part` is another one, or torch cannot export your own `network`. Nothing is written.
        OSError
            If the file cannot be written. A file that was there is left as it was.

        See Also
        --------
        sklearn_bigan.onnx.register_converter : For a Pipeline.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from sklearn_bigan import BiGANTransformer
        >>> X = load_digits().data / 16
        >>> bigan = BiGANTransformer(8, max_epochs=2, random_state=0).fit(X)
        >>> bigan.to_onnx("digits.onnx")  # doctest: +SKIP
        >>> import onnxruntime  # doctest: +SKIP
        >>> session = onnxruntime.InferenceSession("digits.onnx")  # doctest: +SKIP
        >>> (Z,) = session.run(None, {"X": X.astype("float32")})  # doctest: +SKIP
        """
        check_is_fitted(self)
        if part == "encoder":
            model = encoder_model(self.net_, parameters.features(self))
        elif part == "generator":
            model = generator_model(self.net_)
        else:
            raise ValueError(
                f"The 'part' parameter must be 'encoder' or 'generator'. Got {part!r} instead."
            )
        replace_file(file_to_write(path, "path"), [model.SerializeToString()])


def load(
    path: str | os.PathLike[str],
    *,
    device: str | None = None,
    network: Mapping[str, Callable[..., torch.nn.Module]] | None = None,
) -> BiGANTransformer:
    """Load an estimator that `BiGANTransformer.save` has saved; no code in the file is run.

    Everything in the file is checked before memory is taken for it: a file that is damaged,
    changed, or made to do harm raises ValueError. What is checked is the form: someone who can
    write a file can write a model that gives wrong codes.

    Parameters
    ----------
    path : str or path-like
        The file.
    device : str or None, default=None
        The device for the networks, as the parameter `device` of the estimator; "auto" takes the
        accelerator that torch finds. None is the device that the model was on when it was saved, or
        the CPU, with a warning, where that is not available. `device_` says which it is.
    network : dict or None, default=None
        For a model with networks of your own: the classes or functions that made them, by role, as
        they were passed to the estimator.

    Returns
    -------
    estimator : BiGANTransformer
        The fitted estimator. It computes the same bits as the one that was saved, on the same kind
        of processor and version of torch.

    Raises
    ------
    ValueError
        If the file is not one that this version of `save` writes, if it is damaged, or if `network`
        does not have the roles that the model needs. The message names the path.
    OSError
        If the file cannot be read, for example FileNotFoundError.

    Warns
    -----
    InconsistentVersionWarning
        For each package of another version than when the file was saved.

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_bigan import BiGANTransformer, load
    >>> X = load_iris().data
    >>> bigan = BiGANTransformer(2, max_epochs=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = os.path.join(directory, "iris.safetensors")
    ...     bigan.save(path)
    ...     again = load(path, device="cpu")
    >>> again.n_components, again.device_, again.transform(X).shape
    (2, 'cpu', (150, 2))
    """
    content = read_file(path, network)
    estimator = BiGANTransformer(**content.parameters)
    try:
        estimator._validate_params()
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)!r} cannot be loaded: {error}") from None
    state = vars(estimator) | content.attributes | {"net_": content.net}
    if device is not None:
        state["device_"] = str(resolve_device(device))
    estimator.__setstate__(state)
    return estimator
