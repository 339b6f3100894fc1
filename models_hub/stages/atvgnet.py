"""The published ATVGnet: sound -> landmarks (AT-net) -> frames of 128x128 (VG-net), seed 02.

Two stages, so that the landmarks between them can be looked at and edited. They travel in the units of the source's
crop; the similarity between the face and the network's standard shape takes them there and exactly back.
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from ..errors import InputError
from ..loading import load_network
from ..networks.atvgnet import EXAGGERATION, WINDOW, ATVGnetFrames, ATVGnetLandmarks
from ..networks.blocks import unchanged
from ..networks.density import cell_grid
from ..types import Face, FrameChunk, Landmarks, Progress, Stream, frame_count
from .ahead import Once
from .audio import SAMPLE_RATE, mono_16k
from .crop import cut_crop, to_crop, to_pixels
from .inference import Runtime, runtime
from .mcnet import placed
from .mfcc import STEP, mfcc
from .video_landmarks import similarity

FPS = 25.0
ROWS = 4  # MFCC rows to a video frame
PADDING = 1920  # samples of silence at both ends, 0.12 s
FACTOR = 5.0  # network units to a standardised shape

SIZE = 128
TEMPLATE_SIZE, TEMPLATE_EDGE = 163, 1  # pixels of the templates' frame, and where the 128 of the network begin in it
ALIGNED = slice(27, 45)  # nose and eyes
OPEN_EYES = 9.0
"""Pixels of the templates' frame, summed over four lids of one eye, above which the open template is taken."""

CHUNK = 24


def speech_landmarks(
    waveform: Tensor,
    sample_rate: int,
    face: Face,
    weights: str = "atvgnet_landmarks",
    progress: Progress | None = None,
) -> Landmarks:
    """Landmarks of a face that speaks a recording, at 25 frames a second.

    AT-net hears 280 ms around each frame and remembers the whole utterance. Its shapes are person-independent.

    Args:
        waveform: (S,), (C, S) or (1, C, S) floats.
        sample_rate: samples a second.
        face: the source; it decides place, size and turn of the landmarks.
        weights: of AT-net.
        progress: told after every 16 frames.

    Returns:
        Landmarks in crop units of the face, round(25 * seconds) frames.

    Raises:
        InputError: the recording cannot be used.
        WeightsError: from loading.
    """
    samples = mono_16k(waveform, sample_rate)
    network = _network("atvgnet_landmarks", weights, ATVGnetLandmarks)
    total = frame_count(waveform.shape[-1], int(sample_rate), FPS)
    shapes = predicted_shapes(network, mfcc_windows(samples, total), progress)
    return Landmarks(in_crop(shapes, network, face), torch.ones(total, dtype=torch.bool), FPS)


def mfcc_windows(samples: Tensor, count: int | None = None) -> Tensor:
    """MFCC of 28 rows around every video frame.

    Args:
        samples: (S,) at 16 kHz.
        count: frames; the authors' floor(rows / 4) - 6 if absent. More are made of silence behind the end.

    Returns:
        (count, 28, 12).
    """
    silence = samples.new_zeros(PADDING)
    rows = mfcc(torch.cat([silence, samples, silence]))
    if count is None:
        count = len(rows) // ROWS - WINDOW[0] // ROWS + 1
        if count < 1:
            raise InputError(
                f"The recording lasts {len(samples) / SAMPLE_RATE:.3f} s, too short for one frame; give more."
            )
    needed = ROWS * (count - 1) + WINDOW[0]
    if len(rows) < needed:
        more = samples.new_zeros((needed - len(rows) + 1) * STEP)
        rows = mfcc(torch.cat([silence, samples, silence, more]))
    return rows[:needed].unfold(0, WINDOW[0], ROWS).transpose(1, 2)


def predicted_shapes(network: ATVGnetLandmarks, windows: Tensor, progress: Progress | None = None) -> Tensor:
    """Landmarks (T, 136) in network units for MFCC windows (T, 28, 12), exaggerated as in the authors' demo."""
    with torch.inference_mode():
        example = network.project(FACTOR * network.neutral)[None]
        coefficients = placed(network, Runtime("cpu"))(windows[None], example, progress=progress)[0]
        return network.expand(coefficients * coefficients.new_tensor(EXAGGERATION))


def face_similarity(network: ATVGnetLandmarks, face: Face) -> tuple[Tensor, Tensor]:
    """Turn-and-scale (2, 2) and shift (2,) from standardised shapes to crop units of a face; in float64."""
    return similarity(network.mean_shape.double(), face.points.double())


def in_crop(shapes: Tensor, network: ATVGnetLandmarks, face: Face) -> Tensor:
    """Landmarks (T, 136) in network units -> (T, 68, 2) in crop units."""
    turn, shift = face_similarity(network, face)
    return ((shapes.double() / FACTOR).unflatten(1, (68, 2)) @ turn.T + shift).float()


def standardised(points: Tensor, network: ATVGnetLandmarks, face: Face) -> Tensor:
    """Landmarks (T, 68, 2) in crop units -> (T, 136) in network units; the inverse of `in_crop`."""
    turn, shift = face_similarity(network, face)
    return (FACTOR * ((points.double() - shift) @ torch.linalg.inv(turn).T)).flatten(1).float()


def aligned_face(face: Face, templates: Tensor) -> Face:
    """The face cut out as VG-net was trained: nose and eyes at the template's places, 128x128.

    The authors cut 163x163 around a box of dlib's detector first; here the picture is sampled once, and the eyes'
    opening is measured in the template's own scale (our reconstruction of that step).

    Args:
        face: the source.
        templates: (2, 68, 2) for open and closed eyes, in pixels of the 163x163 frame.
    """
    pixels = to_pixels(face.points, face.matrix).double() - 0.5  # whole numbers are pixel centres, as in the templates
    opened, closed = templates.double()
    turn, shift = similarity(pixels[ALIGNED], opened[ALIGNED])
    lids = (pixels @ turn.T + shift)[:, 1]
    gap = float((lids[40:42] - lids[37:39]).sum())
    template = opened if gap > OPEN_EYES else closed
    turn, shift = similarity(template[ALIGNED], pixels[ALIGNED])  # template -> picture
    # Crop units -> pixels of the 128 -> of the template's frame -> of the picture.
    first = torch.full((2,), SIZE / 2 - 0.5 + TEMPLATE_EDGE, dtype=torch.float64)
    matrix = torch.cat([turn * (SIZE / 2), (turn @ first + shift + 0.5)[:, None]], dim=1).float()
    crop = cut_crop(face.picture[..., :3].float(), matrix, SIZE)
    return Face(crop, to_crop(to_pixels(face.points, face.matrix), matrix), matrix, face.picture, face.box, face.score)


def landmark_frames(
    face: Face,
    landmarks: Landmarks,
    weights: str = "atvgnet_frames",
    landmark_weights: str = "atvgnet_landmarks",
    progress: Progress | None = None,
    device: str | None = None,
) -> Stream:
    """Frames of a face with given landmarks, by VG-net.

    Args:
        face: the source.
        landmarks: in crop units of the face, best from `speech_landmarks`.
        weights: of VG-net.
        landmark_weights: of AT-net, for the constants of the landmark space.
        progress: told after every chunk while the stream is read.
        device: where the network runs; None leaves it to the runtime in use.

    Returns:
        A stream of FrameChunk objects of 128x128 pixels: `generated` is VG-net's colour output, `blend` one less its
        attention, `frames` both blended with the photo. The flow is none: VG-net does not warp.

    Raises:
        InputError: there are no frames, or they are not finite.
        WeightsError: from loading.
    """
    if len(landmarks) == 0 or not landmarks.points.isfinite().all():
        raise InputError(
            f"The landmarks hold {len(landmarks)} frames, or values that are not finite; check what made them."
        )
    space = _network("atvgnet_landmarks", landmark_weights, ATVGnetLandmarks)
    network = _network("atvgnet_frames", weights, ATVGnetFrames)
    aligned = aligned_face(face, network.templates)
    to_aligned = to_crop(to_pixels(landmarks.points, face.matrix), aligned.matrix)
    still = cell_grid(64)

    def encode() -> tuple[Tensor, ...]:
        run = runtime() if device is None else Runtime(device)
        with torch.inference_mode():
            neutral = space.expand(space.project(FACTOR * space.neutral))[None]
            crop = aligned.crop.to(run.device) * 2 - 1
            return placed(network, run).encode(crop, neutral.to(run.device))

    encoded = Once(encode)

    def chunks(start: int, stop: int) -> Iterator[FrameChunk]:
        run = runtime() if device is None else Runtime(device)
        place, source = run.device, encoded()
        for first in range(start, stop, CHUNK):
            last = min(first + CHUNK, stop)
            with torch.inference_mode():
                generator = placed(network, run)
                shapes = standardised(landmarks.points[first:last], space, face)
                frames, attention, colour, _ = generator.frames(source, shapes.to(place))
            if progress is not None:
                progress(last - start, stop - start)
            parts = ((frames + 1) / 2, (colour + 1) / 2, 1 - attention, still.expand(last - first, -1, -1, -1))
            frames, *parts = (part.cpu() for part in parts)
            yield FrameChunk(first, partial(unchanged, frames), *parts, to_aligned[first:last])

    return Stream(len(landmarks), landmarks.fps, aligned, SIZE, chunks, CHUNK, device)


def _network(stage: str, weights: str, kind: type) -> torch.nn.Module:
    network = load_network(stage, weights)
    if not isinstance(network, kind):
        raise InputError(f"{weights} holds a {type(network).__name__}, not {kind.__name__}; choose its weights.")
    return network
