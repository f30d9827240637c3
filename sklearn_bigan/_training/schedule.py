"""The learning-rate schedule, and how long to train by default."""

# The learning rate is constant for the first half of the training, then decays linearly to this
# share of its value. BiGAN's published schedule ends at 0.01, too, exponentially.
LAST_LEARNING_RATE = 0.01

# G's and D's learning rate as a share of E's where E is trained on views of images. The contrastive
# loss needs a higher learning rate than the adversarial one: with the same, D tells all pairs apart
# and G draws blurred images. A quarter and a tenth left CIFAR-10's features as they were (1000
# updates, one seed).
ADVERSARIAL_SHARE = 0.25

# Default number of updates: a fixed number of epochs would be far too short for a small table, and
# far too long for a large one. More updates overfit small tables. One on images takes ten times as
# long as one on a table. Rows with neighbours need half as many.
FIRST_ROWS, UPDATES_PER_FIRST_ROW, UPDATES_PER_ROW, UPDATES_PER_ROW_WITH_NEIGHBORS = 100, 5, 2, 1
MAX_UPDATES, MAX_UPDATES_WITH_NEIGHBORS, MAX_IMAGE_UPDATES = 15_000, 18_750, 5_000


def learning_rate_factor(step: int, n_steps: int) -> float:
    """Return the learning rate of a step (from 0) as a share of the initial one.

    1 in the first half of `n_steps`, then 2 (1 - step / n_steps), at least LAST_LEARNING_RATE.
    """
    return max(LAST_LEARNING_RATE, min(1.0, 2 * (1 - step / n_steps)))


def default_n_updates(n_rows: int, *, of_images: bool = False, with_neighbors: bool = False) -> int:
    """Return the default number of updates for X of `n_rows` rows.

    Five for each of the first 100 rows and two for each further one, or one where rows have
    neighbours, up to a maximum.
    """
    first = min(n_rows, FIRST_ROWS)
    per_row = UPDATES_PER_ROW_WITH_NEIGHBORS if with_neighbors else UPDATES_PER_ROW
    most = MAX_UPDATES_WITH_NEIGHBORS if with_neighbors else MAX_UPDATES
    if of_images:
        most = MAX_IMAGE_UPDATES
    return min(most, UPDATES_PER_FIRST_ROW * first + per_row * (n_rows - first))
