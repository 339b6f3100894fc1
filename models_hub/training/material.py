"""Footage of one person -> what a fit learns from: crops, landmarks and sound on one timeline, and what was left out.

Every refusal and every loss is one sentence, said before any training starts.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import FaceNotFoundError, InputError
from ..loading import load_network
from ..networks.audio_to_lip import STEP
from ..networks.sync_critic import FRAMES
from ..stages.crop import crop_matrix, cut_crop, to_crop
from ..stages.face import to_picture
from ..stages.face_detection import SMALLEST_FACE, find_faces
from ..stages.video_landmarks import smooth, track_points
from ..types import DEFAULT_FPS, Progress
from .speech_data import recording_mel
from .sync_critic import cut_lips

FPS = int(DEFAULT_FPS)
LEAST_SECONDS = 4.0
"""Of usable footage; less cannot be split into what is learned and what is held back."""
MOST_SECONDS = 120.0
"""Of footage that is used: 0.2 MB for each frame."""
SHORTEST_TAKE = 1.0
"""Seconds of an unbroken take; shorter ones are left out."""
CUT = 0.12
"""Mean change of a thumbnail from one frame to the next (0..1) that is a cut."""
SECOND_FACE = 0.5
"""Width of a second face, in widths of the first, from which it counts as another speaker."""
WIDEST_LAG = 15
"""Frames to either side that sound and lips are compared at."""
MOST_LAG = 6
"""Frames by which sound and lips may be off and are set right; more is taken for the wrong sound."""
SYNC_MARGIN = 0.06
"""Cosine by which the best lag must stand out, over eight seconds. Of 297 pairs of unseen people's lips with other
sound, a hundredth does over such a time; all pairs that belong together do."""


@dataclass(frozen=True)
class FootageClip:
    """One video to learn from.

    Attributes:
        name: for messages.
        fps: frames a second.
        frames: gives the frames in order, (n, H, W, 3) in 0..1; it is called twice.
        sound: ((C, S), samples a second), or None.
        length: number of frames, as far as it is known before decoding; for progress.
    """

    name: str
    fps: float
    frames: Callable[[], Iterator[Tensor]]
    sound: tuple[Tensor, int] | None
    length: int = 0


@dataclass(frozen=True)
class Take:
    """An unbroken piece of footage with the face in one fixed square, 25 frames a second.

    Attributes:
        name: of the clip.
        frames: (T, 256, 256, 3) uint8.
        points: (T, 68, 2) in -1..1.
        mel: (4 T, 64) natural log mel power on the lips' timeline; None where the sound is missing or not theirs.
    """

    name: str
    frames: Tensor
    points: Tensor
    mel: Tensor | None = None

    def __len__(self) -> int:
        return len(self.frames)


@dataclass
class Material:
    """Takes in the order of the footage, and the report: one sentence for each fact."""

    takes: list[Take] = field(default_factory=list)
    report: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Of usable footage."""
        return sum(map(len, self.takes)) / FPS

    @property
    def has_sound(self) -> bool:
        """Whether some of the sound is known to be that of the lips."""
        return any(take.mel is not None for take in self.takes)


VIDEO_ENDINGS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg")


def open_footage(paths: list[Path]) -> list[FootageClip]:
    """Clips behind files and folders of files, folders in the order of their names.

    Raises:
        InputError: a folder without videos, or nothing given.
        MediaError: a file cannot be read.
    """
    from ..media import VideoReader

    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in VIDEO_ENDINGS)
            if not inside:
                raise InputError(f"The folder {path} holds no video ({', '.join(VIDEO_ENDINGS)}); name another folder.")
            files += inside
        else:
            files.append(path)
    if not files:
        raise InputError("No footage was given; name at least one video, or a folder of videos.")
    clips = []
    for file in files:
        reader = VideoReader(file)
        clips.append(FootageClip(file.name, float(reader.fps), reader.frames, reader.read_audio(), reader.frame_count))
    return clips


def at_rate(frames: Iterator[Tensor], fps: float, limit: int) -> Iterator[Tensor]:
    """Single frames at 25 a second by the nearest frame, at most `limit` of them."""
    done, number = 0, 0
    for chunk in frames:
        for frame in chunk:
            while done < limit and round(done * fps / FPS) == number:
                yield frame
                done += 1
            number += 1
        if done >= limit:
            return


@dataclass(frozen=True)
class _Survey:
    points: list[Tensor | None]  # in pixels
    cuts: list[int]  # first frames after a cut
    crowded: int  # looks that showed a second face
    looks: int


def survey(clip: FootageClip, limit: int, progress: Callable[[], None]) -> _Survey:
    """Look at a clip once: landmarks, cuts, and other faces (twice a second)."""
    cuts, crowded, looks = [], 0, 0
    last: Tensor | None = None

    def watched() -> Iterator[Tensor]:
        nonlocal last, crowded, looks
        for index, frame in enumerate(at_rate(clip.frames(), clip.fps, limit)):
            picture = to_picture(frame)
            thumbnail = F.interpolate(picture.movedim(-1, 0)[None], size=(32, 32), mode="area")
            if last is not None and (thumbnail - last).abs().mean() > CUT:
                cuts.append(index)
            last = thumbnail
            if index % (FPS // 2) == 0:
                widths = sorted((face.box[2] for face in find_faces(picture)), reverse=True)
                looks += 1
                crowded += len(widths) > 1 and widths[1] > SECOND_FACE * widths[0] and widths[1] > SMALLEST_FACE
            progress()
            yield picture

    points = list(track_points(watched()))
    return _Survey(points, cuts, crowded, looks)


def spans(found: _Survey) -> list[tuple[int, int]]:
    """Unbroken pieces with a face, as (first, stop) frames, whatever their length."""
    edges, pieces, start = set(found.cuts), [], None
    for index, points in enumerate([*found.points, None]):
        if start is not None and (points is None or index in edges):
            pieces.append((start, index))
            start = None
        if start is None and points is not None:
            start = index
    return pieces


def gather(clips: list[FootageClip], need_sound: bool = False, progress: Progress | None = None) -> Material:
    """Everything usable of some footage.

    Args:
        clips: in the order in which the material keeps them.
        need_sound: whether the fit makes no sense without sound.
        progress: told after every frame.

    Raises:
        InputError: too little footage, two people in it, or no usable sound where it is needed; one sentence says
            which, and what was seen in the clips.
        FaceNotFoundError: no frame shows a face.
    """
    material, left = Material(), round(MOST_SECONDS * FPS)
    faceless = short = seen = 0
    done, expected = 0, min(left, sum(round(clip.length * FPS / clip.fps) for clip in clips))

    def tell() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, max(done, 2 * expected))  # every frame is decoded twice

    for clip in clips:
        if left <= 0:
            material.report.append(f"{clip.name}: not used, {MOST_SECONDS:g} seconds of footage are enough.")
            continue
        found = survey(clip, left, tell)
        seen += len(found.points)
        if found.looks and found.crowded > 0.3 * found.looks:
            raise InputError(
                f"{clip.name} shows two people ({found.crowded} of {found.looks} looks saw a second face); "
                "a person is learned from footage that shows nobody else: cut or crop it."
            )
        pieces = spans(found)
        faceless += sum(points is None for points in found.points)
        kept = [piece for piece in pieces if piece[1] - piece[0] >= SHORTEST_TAKE * FPS]
        short += sum(stop - start for start, stop in pieces) - sum(stop - start for start, stop in kept)
        left -= sum(stop - start for start, stop in kept)
        takes = _cut(clip, found.points, kept, tell)
        material.takes += _with_sound(clip, takes, kept, len(found.points), material.report)
    if seen and faceless == seen:
        raise FaceNotFoundError(
            f"None of the {seen} frames of the footage shows a face; use footage in which the head is larger, "
            "upright and turned to the camera."
        )
    if material.seconds < LEAST_SECONDS:
        raise InputError(
            f"Of {seen / FPS:.1f} seconds of footage {material.seconds:.1f} can be used (without a face "
            f"{faceless / FPS:.1f}, in pieces shorter than a second {short / FPS:.1f}); at least {LEAST_SECONDS:g} are "
            "needed, a minute is better."
        )
    if need_sound and not material.has_sound:
        raise InputError(
            f"What is to be learned needs sound that belongs to the lips, but {_why(material.report)}; add the right "
            "sound, or leave the predictor and the sync losses out."
        )
    material.report.insert(
        0,
        f"{material.seconds:.1f} of {seen / FPS:.1f} seconds are used, in {len(material.takes)} takes; left out: "
        f"{faceless / FPS:.1f} s without a face, {short / FPS:.1f} s in pieces shorter than a second.",
    )
    return material


def _why(report: list[str]) -> str:
    return " ".join(report).rstrip(".") or "the footage has none"


def _cut(
    clip: FootageClip, points: list[Tensor | None], pieces: list[tuple[int, int]], tell: Callable[[], None]
) -> list[Take]:
    """Crops of all pieces; the second pass over the frames."""
    if not pieces:
        return []
    matrices = [crop_matrix(torch.stack(points[start:stop]).median(dim=0).values) for start, stop in pieces]
    place = {index: number for number, (start, stop) in enumerate(pieces) for index in range(start, stop)}
    crops: list[list[Tensor]] = [[] for _ in pieces]
    for index, frame in enumerate(at_rate(clip.frames(), clip.fps, pieces[-1][1])):
        if index in place:
            number = place[index]
            crop = cut_crop(to_picture(frame), matrices[number])[0]
            crops[number].append((crop * 255).round().byte().movedim(0, -1))
        tell()
    takes = []
    for (start, stop), matrix, frames in zip(pieces, matrices, crops, strict=True):
        stop = min(stop, start + len(frames))
        followed = smooth(torch.stack(points[start:stop]))
        takes.append(Take(clip.name, torch.stack(frames), to_crop(followed, matrix)))
    return takes


def _with_sound(
    clip: FootageClip, takes: list[Take], pieces: list[tuple[int, int]], length: int, report: list[str]
) -> list[Take]:
    """Takes with the sound that belongs to their lips, shifted where the recording is a little off."""
    if not takes:
        return []
    if clip.sound is None or not clip.sound[0].abs().max() > 1e-4:
        report.append(f"{clip.name}: {'silent' if clip.sound else 'no sound'}, used for the picture alone.")
        return takes
    mel = recording_mel(*clip.sound, length)
    pairs = []
    for take, (start, _) in zip(takes, pieces, strict=True):
        lips = cut_lips(take.frames, take.points)
        pairs.append((lips, mel[start * STEP : (start + len(take)) * STEP]))
    lag, margin = measure_lag(load_network("sync_critic"), pairs)
    seconds = sum(map(len, takes)) / FPS
    if margin < SYNC_MARGIN * max(1.0, 8 / seconds) ** 0.5:
        report.append(f"{clip.name}: the sound does not fit the lips (or little is said), so it is not used.")
        return takes
    if abs(lag) > MOST_LAG:
        report.append(
            f"{clip.name}: the sound is {abs(lag) / FPS:.2f} s {'early' if lag > 0 else 'late'} for the lips, more "
            "than can be set right, so it is not used."
        )
        return takes
    if abs(lag) > 1:
        report.append(f"{clip.name}: the sound is {abs(lag)} frames {'early' if lag > 0 else 'late'}; set right.")
    moved = []
    for take, (start, _) in zip(takes, pieces, strict=True):
        first = (start - lag) * STEP
        places = torch.arange(first, first + len(take) * STEP).clamp(0, len(mel) - 1)
        moved.append(Take(take.name, take.frames, take.points, mel[places]))
    return moved


@torch.no_grad()
def measure_lag(critic: nn.Module, pairs: list[tuple[Tensor, Tensor]]) -> tuple[int, float]:
    """By how many frames the lips follow the sound, and how clearly.

    Args:
        critic: the sync critic.
        pairs: crops (T, 32, 64) uint8 and mel (4 T, 64) of pieces of one recording.

    Returns:
        Frames (positive where the sound is early), and by how much the mean score there stands above the median
        of lags farther than 4 frames from it; 0 where the pieces are too short to tell.
    """
    from .sync_critic import Lips

    sums, counts = torch.zeros(2 * WIDEST_LAG + 1), torch.zeros(2 * WIDEST_LAG + 1)
    for crops, mel in pairs:
        if len(crops) < FRAMES + 1:
            continue
        sight = torch.arange(FRAMES // 2, len(crops) - FRAMES // 2).numpy()
        sound, lips = Lips("", crops, mel).windows(sight, sight)
        seen = torch.cat([critic.see(part) for part in lips.split(64)])
        scores = seen @ critic.hear(sound).T  # (sights, sounds)
        for index in range(len(sums)):
            diagonal = torch.diagonal(scores, WIDEST_LAG - index)  # sight i with sound i - lag
            sums[index] += diagonal.sum()
            counts[index] += len(diagonal)
    if counts.min() < FPS:
        return 0, 0.0
    means = sums / counts
    best = int(means.argmax())
    far = torch.cat([means[: max(0, best - 4)], means[best + 5 :]])
    return best - WIDEST_LAG, float(means[best] - far.median())
