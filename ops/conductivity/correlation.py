"""Mean squared displacements over all time origins by FFT, and fourth moments."""

from __future__ import annotations

import numpy as np

_BATCH = 8
_BATCH_NUMBERS = 1_000_000


def msd_tensor(tracks: np.ndarray, max_lag: int) -> np.ndarray:
    """Return the mean squared displacement tensor over all origins, averaged over ions.

    The FFT method of Calandrini et al., Collection SFN 12, 201 (2011), with the power spectra summed over ions before
    a single inverse transform per component.

    Parameters
    ----------
    tracks : numpy.ndarray
        (M, 3, T), A.
    max_lag : int
        Longest lag in frames.

    Returns
    -------
    numpy.ndarray
        (6, max_lag + 1), A^2: xx, yy, zz, xy, xz, yz at lags 0 .. max_lag.
    """
    from scipy import fft

    from dpa_sse.ops.conductivity import kernels

    n_ions, _, n_frames = tracks.shape
    size = fft.next_fast_len(n_frames + max_lag, real=True)
    power = np.zeros((6, size // 2 + 1))
    squares = np.zeros((6, n_frames))
    count = max(1, min(_BATCH, _BATCH_NUMBERS // n_frames))
    for first in range(0, n_ions, count):
        batch = tracks[first : first + count].astype(np.float64)
        batch -= batch.mean(axis=2, keepdims=True)  # large sums keep their digits
        kernels.add_products(batch, squares)
        kernels.add_power(fft.rfft(batch, n=size, axis=2), power)
    result = np.empty((6, max_lag + 1))
    for row in range(6):  # one by one: a long run needs the memory
        result[row] = _combine(fft.irfft(power[row], n=size), squares[row], max_lag)
    return result / n_ions


def cross_msd(first: np.ndarray, second: np.ndarray, max_lag: int) -> np.ndarray:
    """Return <da(t) . db(t)> over all origins for two series (3, T), shape (max_lag + 1,), A^2."""
    from scipy import fft

    n_frames = first.shape[1]
    size = fft.next_fast_len(n_frames + max_lag, real=True)
    a = first - first.mean(axis=1, keepdims=True)
    b = second - second.mean(axis=1, keepdims=True)
    spectrum = (fft.rfft(a, n=size, axis=1) * fft.rfft(b, n=size, axis=1).conj()).real.sum(axis=0)
    correlation = fft.irfft(spectrum, n=size)
    return _combine(correlation, (a * b).sum(axis=0), max_lag)


def _combine(correlation: np.ndarray, products: np.ndarray, max_lag: int) -> np.ndarray:
    """Return mean squared displacements (max_lag + 1,) from autocorrelation sums and products at each frame (T,)."""
    n_frames = len(products)
    forward = np.concatenate([[0.0], np.cumsum(products)])
    lags = np.arange(max_lag + 1)
    head = forward[n_frames - lags]  # sum over frames 0 .. T - m - 1
    tail = forward[-1] - forward[lags]  # sum over frames m .. T - 1
    result = (head + tail - 2 * correlation[: max_lag + 1]) / (n_frames - lags)
    result[0] = 0.0
    return result


def log_lags(first: int, last: int, ratio: float = 1.3 ** (1 / 3)) -> np.ndarray:
    """Return distinct integer lags from ``first`` to ``last``, log-spaced by ``ratio``."""
    if last < first:
        return np.array([], dtype=np.int64)
    count = int(np.floor(np.log(last / first) / np.log(ratio))) + 1
    return np.unique(np.rint(first * ratio ** np.arange(count)).astype(np.int64))


def fourth_moments(tracks: np.ndarray, lags: np.ndarray, samples: int = 60_000) -> tuple[np.ndarray, np.ndarray]:
    """Return <|dr|^2> and <|dr|^4> at some lags, (K,) A^2 and A^4, from about ``samples`` windows each."""
    from dpa_sse.ops.conductivity import kernels

    lags = np.asarray(lags, dtype=np.int64)
    origins = max(50, samples // tracks.shape[0])
    strides = np.maximum(1, (tracks.shape[2] - lags) // origins)
    sums = kernels.moments(tracks, lags, strides)
    return sums[:, 0] / sums[:, 2], sums[:, 1] / sums[:, 2]


def steps_of_means(tracks: np.ndarray, span: int) -> np.ndarray:
    """Return the differences between the means over successive spans of frames: hops without vibrations.

    Parameters
    ----------
    tracks : numpy.ndarray
        (M, 3, T), A.
    span : int
        Frames of a span, at most T / 2; a remainder at the end is left out.

    Returns
    -------
    numpy.ndarray
        (M, 3, T // span - 1), A.
    """
    starts = np.arange(0, tracks.shape[2] - span + 1, span)
    means = np.add.reduceat(tracks[:, :, : len(starts) * span], starts, axis=2) / span
    return np.diff(means, axis=2)
