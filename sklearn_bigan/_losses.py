"""Adversarial objectives, each a pair of pure functions of logits.

A logit above 0 means that the discriminator takes the pair for an encoder pair, (x, E(x)), which
both papers call real; below 0, for a generator pair, (G(z), z). The encoder is trained so that
its pair is called *fake*, although its x is real: both networks try to make D err.
"""

from torch import Tensor
from torch.nn.functional import relu, softplus


class LogisticLoss:
    """The non-saturating logistic loss of both papers, summed over the two sides.

    The textbook's log D = log sigmoid(t) is written -softplus(-t), finite for every finite t.
    """

    @staticmethod
    def discriminator_loss(encoder_logits: Tensor, generator_logits: Tensor) -> Tensor:
        """Mean of -log D(x, E(x)) plus mean of -log(1 - D(G(z), z)): BiGAN eq. 3."""
        return softplus(-encoder_logits).mean() + softplus(generator_logits).mean()

    @staticmethod
    def encoder_generator_loss(encoder_logits: Tensor, generator_logits: Tensor) -> Tensor:
        """Mean of -log(1 - D(x, E(x))) plus mean of -log D(G(z), z): the labels swapped."""
        return softplus(encoder_logits).mean() + softplus(-generator_logits).mean()


class HingeLoss:
    """The hinge loss of BigBiGAN: a margin of 1 for D, the bare logits for E and G."""

    @staticmethod
    def discriminator_loss(encoder_logits: Tensor, generator_logits: Tensor) -> Tensor:
        """Mean of max(0, 1 - t) on encoder pairs plus mean of max(0, 1 + t) on generator pairs."""
        return relu(1 - encoder_logits).mean() + relu(1 + generator_logits).mean()

    @staticmethod
    def encoder_generator_loss(encoder_logits: Tensor, generator_logits: Tensor) -> Tensor:
        """Mean logit of encoder pairs minus mean logit of generator pairs."""
        return encoder_logits.mean() - generator_logits.mean()


Loss = type[LogisticLoss] | type[HingeLoss]
LOSSES: dict[str, Loss] = {"logistic": LogisticLoss, "hinge": HingeLoss}
