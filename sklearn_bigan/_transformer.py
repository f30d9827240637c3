"""The scikit-learn face: what can be asked of the estimator, and the validation of data."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils import Tags
from torch import Tensor

from sklearn_bigan._generation import GenerationMixin
from sklearn_bigan._learning import LearningMixin
from sklearn_bigan._parameters import CONSTRAINTS, FEATURES


class BiGANTransformer(
    LearningMixin,
    GenerationMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
):
    """Adversarially learned features: codes z = E(x), with a way back, x = G(z).

    An encoder E and a generator G are trained together against a joint discriminator D that tells
    pairs (x, E(x)) from pairs (G(z), z), z drawn from a prior. Where D cannot, G inverts E, and the
    codes of the data are distributed as the prior. The game alone is BiGAN [1]_ with
    ``posterior="deterministic"`` and ALI [2]_ with ``posterior="gaussian"``; its codes are mostly
    worth less than PCA's. By default it is joined by cycles that tie E and G to each other [3]_, a
    prior with clusters, rows paired with their neighbours so that their codes come near each other,
    and averaged weights. The benchmarks say what that is worth, and where PCA does better.

    Parameters
    ----------
    n_components : int, default=16
        Size of the code z, at least 1.
    posterior : {"deterministic", "gaussian"}, default="deterministic"
        q(z | x). Deterministic: z = E(x). Gaussian: z = mu(x) + sigma(x) * eps, eps normal;
        `transform` returns the mean.
    prior : {"mixture", "normal", "uniform"}, default="mixture"
        p(z): a mixture of equally likely Gaussians round fixed, well separated means, which `fit`
        at its end adapts to the codes; N(0, 1) or U(-1, 1) in each component. Codes are squashed
        to the range of the prior.
    n_clusters : int, default=50
        Gaussians in the mixture, at least 1. Use more than the data has classes:
        clusters may share a class, but classes that share a cluster are merged.
    inference : {"adversarial", "latent_regression", "joint_latent_regression"}, \
            default="adversarial"
        How E learns. The last two are the baselines of [1]_, section 4.1: a plain GAN whose E
        regresses z from G(z), with none or 0.25 of that loss's gradient flowing into G, without
        cycles and partners.
    loss : {"logistic", "hinge"}, default="logistic"
        Adversarial objective. Logistic is the non-saturating, label-swapped loss of both papers.
    network : {"auto", "mlp", "dcgan", "ali"} or dict, default="auto"
        The networks' bodies: "mlp" for tables; for images "dcgan", strided convolutions [4]_, or
        "ali", those of [2]_, appendix A. "auto" is "mlp", and "dcgan" where `image_shape` is
        given. A dict maps any of "encoder", "generator" and "discriminator" to a class or
        function that is called with the keywords `n_features`, `latent_dim` and, if it is given,
        `image_shape` (of length 3), and returns a `torch.nn.Module`: the encoder's maps x to
        hidden features, the generator's maps z to `n_features` columns, the discriminator's maps
        (x, z) to features. The layer that makes codes, the output bias and activation, and the
        logit are added. A latent regressor's discriminator gets `latent_dim=0`. Training costs
        less if the discriminator body has the attribute ``row_independent = True``, which says
        that no row's logit depends on other rows (no batch norm).
    hidden_layer_sizes : "auto" or array-like of int, default="auto"
        Widths of the mlp's hidden layers, from x to z; G has them in reverse. "auto" is (512, 512)
        if the networks are made for an X of 10,000 rows or more, else (256, 256).
    image_shape : None, (height, width) or (height, width, channels), default=None
        How to read a row of X as an image, flattened with its channels last. The networks "dcgan"
        and "ali" take any from 8 x 8 pixels on.
    augmentations : "auto", None or array-like of {"crop", "flip", "color"}, default="auto"
        Of images E is shown views in training, two of each, and learns similar codes for them: of a
        frame in the image ("crop"), mirrored or not ("flip"), of changed contrast and brightness,
        or grey ("color"). G and D know the images themselves; with a cycle, half of D's generated
        images are reconstructions [6]_. "auto" is ("crop", "color") where `image_shape` is given;
        add "flip" where mirror images are of the same kind. None: no views.
    output_activation : {"identity", "sigmoid", "tanh"}, default="identity"
        Range of G: everything, [0, 1] or [-1, 1]. X must lie in it. Where it is everything,
        networks work on X less its mean, over one standard deviation for all columns: neither the
        unit nor the origin of X matters. Errors are squared, so that columns count as much as they
        vary; in a table one that varies more than three times as much as the median one counts for
        three times. Columns that have different units are better standardised first.
    features : {"latent", "hidden", "all"}, default="latent"
        What `transform` returns: z; the encoder's last hidden features; z followed by them. Of
        images, hidden features are the mean of every map of every layer, of the last layer's one
        for each quarter of the image. May be changed after `fit`.
    cycle_weight : float or "auto", default="auto"
        Weight, at least 0, of the mean of ||x - G(E(x))||^2 over that of ||x - mean||^2, columns
        counted as said under `output_activation`, E shown a view of x where there are views. "auto"
        is 50, and 5 where `image_shape` is given: more brings G(E(x)) nearer to x, and blurs it.
    latent_cycle_weight : float, default=5.0
        Weight, at least 0, of the mean squared error of E(G(z)) as an estimate of z.
    consistency_weight : float, default=50.0
        Weight, at least 0, of the mean squared difference between the codes of a row and of its
        partner, where there are partners. Of views it is the weight of NT-Xent [5]_: the
        cross-entropy of telling a code's partner among all codes of the batch.
    n_neighbors : int or "auto", default="auto"
        Each row of a batch gets a partner from its neighbourhood, which D sees in its place: the
        end of a random walk over that many nearest rows, at most 1 % of all rows (but at least 3).
        0: the row itself. "auto" is 10, and 0 where `image_shape` is given: views tell more of
        photographs than their neighbours by pixels. Nearest are rows by Euclidean distance; those
        of more than 50 columns by correlation, within their 50 leading principal components. Rows
        are compared with each other before training begins, within random blocks of 65,536: on one
        core a quarter of a minute for each block.
    neighbor_steps : int, default=2
        Steps of that walk, at least 1.
    ema_decay : float, default=0.999
        E and G are used with weights averaged over the updates, exponentially, with this decay,
        in [0, 1), or over the last tenth of the way if that is less. 0 uses the last weights.
    learning_rate : float, default=2e-3
        Adam's step size, above 0 (beta1 0.5, beta2 0.999); where E is shown views of images, G and
        D take a quarter of it. `fit` holds it for half of the training, then lowers it linearly to
        a hundredth.
    batch_size : int, default=128
        Rows in an update, at least 2; half of them are partners unless `n_neighbors` is 0. Of
        images with `augmentations` it is so many images, and E sees two views of each.
    max_epochs : int or "auto", default="auto"
        Passes over X in `fit`. "auto" takes five updates for each of the first 100 rows and two for
        each further one, at most 15,000, or 5,000 of images, rounded up to whole passes, one at
        least. 0 leaves the networks as initialised: the untrained encoder, a baseline that every
        result should be held against.
    early_stopping : bool, default=False
        Whether `fit` holds out rows, and ends with the weights that reconstruct them best.
    validation_fraction : float, default=0.1
        Share of the rows that `early_stopping` holds out, in (0, 1); at least two rows.
    n_iter_no_change : int, default=10
        Epochs that `early_stopping` waits for a better reconstruction, at least 1.
    discriminator_steps : int, default=1
        D learns from every batch, E and G from every `discriminator_steps`-th.
    warm_start : bool, default=False
        Whether `fit` goes on training the networks there are. Parameters that shape the model
        must then stay as they were.
    device : str, default="auto"
        A torch device such as "cuda:1" or "cpu"; "auto" takes the accelerator torch finds, else
        the CPU. On the CPU, training runs on one thread, so that its bits do not depend on
        `n_jobs`: search over parameters in parallel instead.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        What the networks' layers multiply in while they train; weights and all else stay in
        float32. "auto" is "bfloat16" where `image_shape` is given and a CUDA device has units for
        it, else "float32".
    compile : bool, default=False
        Whether torch compiles the step, anew in each call of `fit` or `partial_fit`. That takes
        four to twenty seconds, on the CPU with a C++ compiler, and pays where training takes
        minutes: steps by layers of 256 take a fifth to three tenths less, by wider ones less.
        Results differ by rounding. Of the networks "mlp" and "dcgan", in one process; others, and
        where it fails, are trained without, with a warning.
    callbacks : list of skorch callbacks or None, default=None
        Called in `fit`, as `skorch.NeuralNet` takes them; each fit uses a deep copy. The learning
        rate is set here at every step, whatever a callback sets; and those that keep weights keep
        ``net_.module_``, which is not what is used: see `early_stopping`.
    random_state : int, RandomState instance or None, default=None
        Determines initial weights, the order of rows and all draws. Pass an int for the same bits
        at every call. None draws fresh entropy; numpy's global generator is never used.
    verbose : int, default=0
        Above 0, prints the losses of each epoch.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The training engine; ``net_.averaged_`` holds `encoder`, `generator` and `discriminator`
        as they are used, ``net_.module_`` as they are trained.
    device_ : str
        Where the networks live.
    history_ : list of dict
        One entry an epoch. Means over its rows: ``discriminator_loss``, ``encoder_generator_loss``
        and what else is minimised (``cycle_loss``, ``latent_cycle_loss``, ``consistency_loss`` or
        ``latent_regression_loss``, unweighted); D's ``encoder_pair_accuracy`` and
        ``generator_pair_accuracy``. At its end, by 256 rows as one batch: ``reconstruction_ratio``
        (error of G(E(x)), over that for another row), ``code_spread`` and ``least_code_spread``
        (of E(x) over the prior's, in all and where least), ``latent_error`` (of E(G(z)), over the
        mean's), ``sample_spread`` (of G(z) over the rows') and ``coverage`` (share of rows with a
        sample near). With `early_stopping`, ``validation_score``. Seconds in ``dur``.
    n_iter_ : int
        Epochs trained.
    mean_ : ndarray of shape (n_features,), dtype float64
        Mean of the training data, what `score` compares with.
    n_samples_seen_ : int
        Training rows behind `mean_`.
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
    E and G minimise over the player D that maximises ([1]_, eq. 2-3; [2]_, eq. 3)

    .. math:: E_x[\\log D(x, E(x))] + E_z[\\log(1 - D(G(z), z))].

    The losses say how the game stands, not how good the features are: D may win while codes
    improve, and the reverse. A pickle holds the networks and no optimizer state, and opens on
    machines without the device it was made on.

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

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_bigan import BiGANTransformer
    >>> X = load_digits().data / 16
    >>> bigan = BiGANTransformer(8, output_activation="sigmoid", max_epochs=2, random_state=0)
    >>> Z = bigan.fit_transform(X)
    >>> Z.shape, bigan.inverse_transform(Z).shape, bigan.sample(3).shape
    ((1797, 8), (1797, 64), (3, 64))
    """

    _parameter_constraints = CONSTRAINTS

    def __init__(
        self,
        n_components: int = 16,
        *,
        posterior: str = "deterministic",
        prior: str = "mixture",
        n_clusters: int = 50,
        inference: str = "adversarial",
        loss: str = "logistic",
        network: str | Mapping[str, Callable[..., torch.nn.Module]] = "auto",
        hidden_layer_sizes: str | tuple[int, ...] = "auto",
        image_shape: tuple[int, ...] | None = None,
        augmentations: str | tuple[str, ...] | None = "auto",
        output_activation: str = "identity",
        features: str = "latent",
        cycle_weight: float | str = "auto",
        latent_cycle_weight: float = 5.0,
        consistency_weight: float = 50.0,
        n_neighbors: int | str = "auto",
        neighbor_steps: int = 2,
        ema_decay: float = 0.999,
        learning_rate: float = 2e-3,
        batch_size: int = 128,
        max_epochs: int | str = "auto",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        discriminator_steps: int = 1,
        warm_start: bool = False,
        device: str = "auto",
        precision: str = "auto",
        compile: bool = False,
        callbacks: list[Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.posterior = posterior
        self.prior = prior
        self.n_clusters = n_clusters
        self.inference = inference
        self.loss = loss
        self.network = network
        self.hidden_layer_sizes = hidden_layer_sizes
        self.image_shape = image_shape
        self.augmentations = augmentations
        self.output_activation = output_activation
        self.features = features
        self.cycle_weight = cycle_weight
        self.latent_cycle_weight = latent_cycle_weight
        self.consistency_weight = consistency_weight
        self.n_neighbors = n_neighbors
        self.neighbor_steps = neighbor_steps
        self.ema_decay = ema_decay
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.discriminator_steps = discriminator_steps
        self.warm_start = warm_start
        self.device = device
        self.precision = precision
        self.compile = compile
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> "BiGANTransformer":
        """Train on X, from scratch unless `warm_start`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            At least two rows, finite, in the range of `output_activation`; computed in float32. An
            `np.memmap` is read in blocks of 65,536 rows, less of wide ones, and never as a whole.
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
        epochs = None if isinstance(self.max_epochs, str) else self.max_epochs
        return self._learn(X, epochs, anew=not self.warm_start, forget=True)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None) -> "BiGANTransformer":
        """Train for one pass over X, on top of what was learned before.

        For data that come in pieces; neighbours are sought within the piece, and the learning rate
        stays as it is. The unit, the origin and the width of the networks are those of the first
        piece: let it be like the others. The optimizers go on where they were, except after loading
        from a file, which holds neither them nor the weights before averaging.

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
        return self._learn(X, 1, anew=False, forget=False)

    def transform(self, X: Any) -> np.ndarray:
        """Encode X: the mean of q(z | x), the encoder's hidden features, or both.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to encode.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_features_out), dtype float32
            Row i depends on X[i] alone. What the columns are, `features` says.
        """
        X = self._rows(X)
        features = self.features
        if features not in FEATURES:  # it may have been set since fit
            self._validate_params()

        encoder = self.net_.averaged_.encoder

        def encode(x: Tensor) -> Tensor:
            if features == "latent":
                return encoder(x)
            hidden, shown = encoder.features(x)
            if features == "hidden":
                return shown
            return torch.cat([encoder.moments(hidden)[0], shown], dim=1)

        return self._map(encode, X)

    @property
    def history_(self) -> list[dict[str, Any]]:
        """One dict an epoch."""
        return self.net_.epochs()

    @property
    def n_iter_(self) -> int:
        """Epochs trained."""
        return len(self.net_.history)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
