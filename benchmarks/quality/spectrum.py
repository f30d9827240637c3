"""Grid patterns: power at the frequencies of strided layers, beside that of their neighbours.

A generator that doubles its maps layer by layer repeats patterns with a period of 2 pixels by its
last layer, and of 4 by the one before (Odena et al. 2016, Deconvolution and Checkerboard
Artifacts).
"""

import numpy as np

PERIODS = (2, 4)


def stride_peak(images: np.ndarray) -> float:
    """Return the largest ratio of the power at a stride's frequency to that at its neighbours.

    `images` has shape (n, height, width, channels). Powers are means over images, channels and all
    frequencies of the other direction. Sides are multiples of 4 pixels.
    """
    ratios = []
    for axis in (1, 2):
        amplitudes = np.fft.rfft(images - images.mean(axis=axis, keepdims=True), axis=axis)
        power = np.square(np.abs(amplitudes)).mean(axis=tuple({0, 1, 2, 3} - {axis}))
        for period in PERIODS:
            at = images.shape[axis] // period
            neighbors = [k for k in (at - 1, at + 1) if k < len(power)]
            ratios.append(power[at] / max(power[neighbors].mean(), 1e-12))
    return float(max(ratios))
