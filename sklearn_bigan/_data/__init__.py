"""From X to batches on the device: statistics, blocks, nearest neighbours, augmentation."""
