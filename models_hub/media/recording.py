"""One recording put together from decoded frames."""

from fractions import Fraction
from typing import Any

import numpy as np

_AT_ONCE_BYTES = 1 << 30
"""Room made ahead by what a file states of its length, at most; a damaged one may state anything."""

_NOTICED_SECONDS = 0.03
"""Time stamps are rounded and jitter by less; a frame that is more than this away from its time is moved there."""

_OVERLAP_SECONDS, _GAP_SECONDS = 1.0, 60.0
"""Time stamps that jump back or on by more than this are not believed."""


class Recording:
    """Samples (C, S) in one array that is made ahead, so that a long recording is never held twice.

    Attributes:
        rate: samples a second, of the first frame; later ones are brought to it, and to the first's channels.
        length: samples so far.
        silent: how many of them only keep the others in time, where a file has none.
    """

    def __init__(self, stated: float, start: Fraction | None = None):
        """An empty one.

        Args:
            stated: its seconds, as far as is known; a longer one fits too.
            start: the time stamp, in seconds, at which it starts; None for that of its first frame.
        """
        self._stated, self._start = stated, start
        self._values: np.ndarray | None = None
        self._resampler: Any = None
        self._format: tuple | None = None
        self.rate = self.length = self.silent = 0

    def add(self, frame: Any) -> None:
        """Put a frame of PyAV where its time stamp says, or behind the others if it has none."""
        import av

        if self._values is None:
            self.rate, self._layout = frame.sample_rate, frame.layout
            channels = frame.layout.nb_channels
            room = min(int(self._stated * self.rate) + self.rate, _AT_ONCE_BYTES // (4 * channels))
            self._values = np.zeros((channels, room), np.float32)
        made_for = frame.sample_rate, frame.layout.name, frame.layout.nb_channels, frame.format.name
        if made_for != self._format:
            self.finish()
            self._resampler = av.AudioResampler(format="flt", layout=self._layout, rate=self.rate)
            self._format = made_for
        early = self._early(frame)
        for part in self._resampler.resample(frame):
            samples = _samples(part)
            self._append(samples[:, early:])
            early = max(0, early - samples.shape[1])

    def _early(self, frame: Any) -> int:
        """How many samples of a frame lie where there is sound already, or before the start.

        If the frame comes late, silence is added up to it.
        """
        if frame.pts is None:
            return 0
        time = frame.pts * frame.time_base
        if self._start is None or (not self.length and abs(time - self._start) > _GAP_SECONDS):
            self._start = time
        late = round((time - self._start) * self.rate) - self.length
        if self.length and abs(late) <= _NOTICED_SECONDS * self.rate:
            return 0
        if self.length and not -_OVERLAP_SECONDS * self.rate <= late <= _GAP_SECONDS * self.rate:
            self._start = time - Fraction(self.length, self.rate)
            return 0
        if late > 0:
            self._make_room(self.length + late)
            self.length += late
            self.silent += late
        return max(0, -late)

    def finish(self) -> None:
        """Add what the conversion of the last frames held back."""
        if self._resampler is not None:
            for part in self._resampler.resample(None):
                self._append(_samples(part))
        self._resampler = self._format = None

    def samples(self) -> np.ndarray:
        """All of them, (C, S) float32: a view."""
        return np.zeros((0, 0), np.float32) if self._values is None else self._values[:, : self.length]

    def _append(self, samples: np.ndarray) -> None:
        end = self.length + samples.shape[1]
        self._make_room(end)
        self._values[:, self.length : end] = samples
        self.length = end

    def _make_room(self, end: int) -> None:
        if end > self._values.shape[1]:
            larger = np.zeros((len(self._values), end + end // 2), np.float32)
            larger[:, : self.length] = self._values[:, : self.length]
            self._values = larger


def _samples(frame: Any) -> np.ndarray:
    """The samples of a packed ("flt") frame, (C, S).

    Not of a planar one: PyAV looks for its channels past the frame's own eight, which ends Python.
    """
    return frame.to_ndarray().reshape(-1, frame.layout.nb_channels).T
