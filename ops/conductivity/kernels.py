"""Compiled inner loops (numba). Import this module inside functions: numba takes half a second to load."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit


def compiled(fastmath: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that compiles, and caches the result on disk where that is possible.

    In a container with read-only code and no home folder it is not; numba would refuse to start.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return njit(cache=True, fastmath=fastmath)(function)
        except RuntimeError:
            return njit(fastmath=fastmath)(function)

    return decorate


class Frames(NamedTuple):
    """A chunk of n frames of N atoms.

    Attributes
    ----------
    positions : numpy.ndarray
        (n, N, 3), float32 or float64, A.
    inverses : numpy.ndarray
        (n, 3, 3), inverse cells for row vectors: s = (r - o) @ inverse.
    origins : numpy.ndarray
        (n, 3), A.
    """

    positions: np.ndarray
    inverses: np.ndarray
    origins: np.ndarray


class Roles(NamedTuple):
    """What each atom is.

    Attributes
    ----------
    weights : numpy.ndarray
        (N,), weight of each atom in the reference.
    species : numpy.ndarray
        (N,) int64.
    mobile : numpy.ndarray
        (M,) int64, indices of the mobile atoms.
    """

    weights: np.ndarray
    species: np.ndarray
    mobile: np.ndarray


class Running(NamedTuple):
    """What is carried from frame to frame; both arrays are updated in place.

    Attributes
    ----------
    previous : numpy.ndarray
        (N, 3), reduced positions of the frame before.
    unwrapped : numpy.ndarray
        (N, 3), unwrapped reduced displacement since the first frame.
    """

    previous: np.ndarray
    unwrapped: np.ndarray


class Kept(NamedTuple):
    """Where reduced displacements relative to the reference are written to; the arrays are overwritten.

    Attributes
    ----------
    mobile : numpy.ndarray
        (M, 3, n) float32, a view of the frames of this chunk.
    sums : numpy.ndarray
        (species, 3, n), summed over each species.
    samples : numpy.ndarray
        (p, N, 3) float32, all atoms at the frames ``picked``.
    picked : numpy.ndarray
        (p,) int64, frames of the chunk.
    """

    mobile: np.ndarray
    sums: np.ndarray
    samples: np.ndarray
    picked: np.ndarray


class Steps(NamedTuple):
    """Motion during a chunk, per frame.

    Attributes
    ----------
    drift : numpy.ndarray
        (n, 3), drift of the reference since the first frame, reduced.
    largest : numpy.ndarray
        (n,), largest reduced step of any atom.
    leaps : numpy.ndarray
        (n,), number of atoms that step farther than ``leap``.
    """

    drift: np.ndarray
    largest: np.ndarray
    leaps: np.ndarray


@compiled()
def unwrap(frames, roles, running, kept, trusted, leap):  # noqa: ANN001, ANN201
    """Unwrap a chunk of frames in reduced coordinates, subtract the drift of the reference, and store what is kept.

    Parameters
    ----------
    frames : Frames
    roles : Roles
    running : Running
    kept : Kept
    trusted : bool
        True: positions are unwrapped already, no periodic image is chosen.
    leap : float
        Reduced step above which an atom is counted.

    Returns
    -------
    Steps
    """
    positions, inverses, origins = frames
    weights, species, mobile = roles
    previous, unwrapped = running
    n_frames, n_atoms, _ = positions.shape
    drift, largest, leaps = np.zeros((n_frames, 3)), np.zeros(n_frames), np.zeros(n_frames)
    next_pick = 0
    for f in range(n_frames):
        h = inverses[f]
        h00, h01, h02 = h[0, 0], h[0, 1], h[0, 2]
        h10, h11, h12 = h[1, 0], h[1, 1], h[1, 2]
        h20, h21, h22 = h[2, 0], h[2, 1], h[2, 2]
        ox, oy, oz = origins[f, 0], origins[f, 1], origins[f, 2]
        ra, rb, rc, longest, leaping = 0.0, 0.0, 0.0, 0.0, 0
        for i in range(n_atoms):
            x = positions[f, i, 0] - ox
            y = positions[f, i, 1] - oy
            z = positions[f, i, 2] - oz
            a = x * h00 + y * h10 + z * h20
            b = x * h01 + y * h11 + z * h21
            c = x * h02 + y * h12 + z * h22
            da = a - previous[i, 0]
            db = b - previous[i, 1]
            dc = c - previous[i, 2]
            if not trusted:
                da -= np.rint(da)
                db -= np.rint(db)
                dc -= np.rint(dc)
            previous[i, 0] = a
            previous[i, 1] = b
            previous[i, 2] = c
            ua = unwrapped[i, 0] + da
            ub = unwrapped[i, 1] + db
            uc = unwrapped[i, 2] + dc
            unwrapped[i, 0] = ua
            unwrapped[i, 1] = ub
            unwrapped[i, 2] = uc
            w = weights[i]
            ra += w * ua
            rb += w * ub
            rc += w * uc
            step = max(abs(da), abs(db), abs(dc))
            longest = max(longest, step)
            leaping += step > leap
        drift[f, 0], drift[f, 1], drift[f, 2] = ra, rb, rc
        largest[f], leaps[f] = longest, leaping
        _sum_species(unwrapped, drift[f], species, kept.sums[:, :, f])
        _pick_atoms(unwrapped, drift[f], mobile, kept.mobile[:, :, f])
        if next_pick < kept.picked.shape[0] and kept.picked[next_pick] == f:
            kept.samples[next_pick] = unwrapped - drift[f]
            next_pick += 1
    return Steps(drift, largest, leaps)


@compiled()
def _sum_species(unwrapped, drift, species, sums):  # noqa: ANN001, ANN202
    """Sum the displacements relative to the reference over each species: (N, 3), (3,), (N,) into (species, 3)."""
    sums[:] = 0.0
    for i in range(unwrapped.shape[0]):
        k = species[i]
        sums[k, 0] += unwrapped[i, 0] - drift[0]
        sums[k, 1] += unwrapped[i, 1] - drift[1]
        sums[k, 2] += unwrapped[i, 2] - drift[2]


@compiled()
def _pick_atoms(unwrapped, drift, atoms, out):  # noqa: ANN001, ANN202
    """Copy the displacements of some atoms relative to the reference: (N, 3), (3,), (M,) into (M, 3)."""
    for k in range(atoms.shape[0]):
        i = atoms[k]
        out[k, 0] = unwrapped[i, 0] - drift[0]
        out[k, 1] = unwrapped[i, 1] - drift[1]
        out[k, 2] = unwrapped[i, 2] - drift[2]


@compiled()
def to_cartesian(reduced, cell):  # noqa: ANN001, ANN201
    """Multiply reduced coordinates (M, 3, T) float32 by ``cell`` (rows are vectors), in place."""
    for i in range(reduced.shape[0]):
        for t in range(reduced.shape[2]):
            a = np.float64(reduced[i, 0, t])
            b = np.float64(reduced[i, 1, t])
            c = np.float64(reduced[i, 2, t])
            reduced[i, 0, t] = a * cell[0, 0] + b * cell[1, 0] + c * cell[2, 0]
            reduced[i, 1, t] = a * cell[0, 1] + b * cell[1, 1] + c * cell[2, 1]
            reduced[i, 2, t] = a * cell[0, 2] + b * cell[1, 2] + c * cell[2, 2]


@compiled(fastmath=True)
def add_power(spectra, power):  # noqa: ANN001, ANN201
    """Add |F|^2 and the real cross-spectra (xx, yy, zz, xy, xz, yz) of (n, 3, F) complex128 to (6, F) float64."""
    for i in range(spectra.shape[0]):
        for k in range(spectra.shape[2]):
            xr, xi = spectra[i, 0, k].real, spectra[i, 0, k].imag
            yr, yi = spectra[i, 1, k].real, spectra[i, 1, k].imag
            zr, zi = spectra[i, 2, k].real, spectra[i, 2, k].imag
            power[0, k] += xr * xr + xi * xi
            power[1, k] += yr * yr + yi * yi
            power[2, k] += zr * zr + zi * zi
            power[3, k] += xr * yr + xi * yi
            power[4, k] += xr * zr + xi * zi
            power[5, k] += yr * zr + yi * zi


@compiled(fastmath=True)
def add_products(series, squares):  # noqa: ANN001, ANN201
    """Add xx, yy, zz, xy, xz, yz of (n, 3, T) float64 series to (6, T) float64."""
    for i in range(series.shape[0]):
        for t in range(series.shape[2]):
            x, y, z = series[i, 0, t], series[i, 1, t], series[i, 2, t]
            squares[0, t] += x * x
            squares[1, t] += y * y
            squares[2, t] += z * z
            squares[3, t] += x * y
            squares[4, t] += x * z
            squares[5, t] += y * z


@compiled(fastmath=True)
def moments(series, lags, strides):  # noqa: ANN001, ANN201
    """Return sums of |dr|^2 and |dr|^4 and the number of windows at each lag, origins ``strides`` apart.

    series: (M, 3, T) float32; lags, strides: (K,) int64. Returns (K, 3) float64.
    """
    result = np.zeros((lags.shape[0], 3))
    n_frames = series.shape[2]
    for k in range(lags.shape[0]):
        m, step = lags[k], strides[k]
        second, fourth, count = 0.0, 0.0, 0
        for i in range(series.shape[0]):
            for t in range(0, n_frames - m, step):
                x = series[i, 0, t + m] - series[i, 0, t]
                y = series[i, 1, t + m] - series[i, 1, t]
                z = series[i, 2, t + m] - series[i, 2, t]
                r2 = x * x + y * y + z * z
                second += r2
                fourth += r2 * r2
            count += (n_frames - m + step - 1) // step
        result[k, 0], result[k, 1], result[k, 2] = second, fourth, count
    return result


@compiled(fastmath=True)
def block_msd(series, lags, edges, strides):  # noqa: ANN001, ANN201
    """Return the MSD (B, K) of windows that start inside each time block.

    series: (M, 3, T) float32; lags: (K,) int64; edges: (B + 1,) int64 frames; strides: (K,) int64,
    frames between origins.
    """
    n_blocks = edges.shape[0] - 1
    result = np.zeros((n_blocks, lags.shape[0]))
    for block in range(n_blocks):
        for k in range(lags.shape[0]):
            total, count = 0.0, 0
            for i in range(series.shape[0]):
                for t in range(edges[block], edges[block + 1], strides[k]):
                    x = series[i, 0, t + lags[k]] - series[i, 0, t]
                    y = series[i, 1, t + lags[k]] - series[i, 1, t]
                    z = series[i, 2, t + lags[k]] - series[i, 2, t]
                    total += x * x + y * y + z * z
                    count += 1
            result[block, k] = total / max(count, 1)
    return result


@compiled()
def overlap_sums(lags, counts):  # noqa: ANN001, ANN201
    """Return the parameter-free sums of the covariance of overlapping windows, (4, K, K).

    For lags m, n with origins s < counts_m, t < counts_n (T - lag in a run of T frames): sums of ov^2, ov E, E^2 and ov
    over pairs, divided by counts_m counts_n, with ov the overlap in frames and
    E = [s+m = t+n] + [s = t] - [s+m = t] - [s = t+n].
    """
    n_lags = lags.shape[0]
    result = np.zeros((4, n_lags, n_lags))
    for i in range(n_lags):
        for j in range(i, n_lags):
            m, n = lags[i], lags[j]
            k_m, k_n = counts[i], counts[j]
            s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
            for delta in range(max(-n, 1 - k_m), min(m, k_n - 1) + 1):
                count = min(k_m, k_n - delta) - max(0, -delta)
                if count <= 0:
                    continue
                overlap = min(m, delta + n) - max(0, delta)
                ends = (delta == m - n) + (delta == 0) - 1 * (delta == m) - 1 * (delta == -n)
                s0 += float(count) * overlap * overlap
                s1 += float(count) * overlap * ends
                s2 += float(count) * ends * ends
                s3 += float(count) * overlap
            norm = 1.0 / (float(k_m) * float(k_n))
            result[0, i, j] = s0 * norm
            result[1, i, j] = s1 * norm
            result[2, i, j] = s2 * norm
            result[3, i, j] = s3 * norm
            for a in range(4):
                result[a, j, i] = result[a, i, j]
    return result
