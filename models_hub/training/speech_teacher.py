"""A speech recogniser's encoder as the audio encoder's teacher (knowledge distillation; our own addition to CALS).

Ten minutes of people whose lips are known are too few to learn how speech sounds. A recogniser has heard
thousands of hours, and what its encoder makes of a recording tells lips far better than log mel does. It
teaches only; nothing of it is in the product. Lips are learned from its features on clips (`LipListener`),
and then both, features and lips, are taught to `AudioToLip` on every recording, also those without a face,
while that hears them with noise, echo and other throats. Real lips teach the encoder nothing more: of so
few people it would learn them by heart, and hear strangers worse for it.

The teacher is the encoder of Moonshine tiny (Jeffries et al. 2024, MIT licence) as an ONNX or ORT file. What tells
lips best lies in the middle of it: its last blocks turn towards words. So several blocks are heard, and each has
listeners of its own.
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from ..networks.lip_shape import LIP_SLICE
from ..stages.audio import SAMPLE_RATE
from .fit import Average, cosine
from .motion import motion_loss, shape_basis, weigh
from .speech_data import LENGTH, Sampler, Talk, shifted

HOP, FIRST = 384, 447  # samples between two of its features, and to the centre of the first
BEFORE, AFTER = 4000, 800  # silence put around a recording
LONGEST = 20 * SAMPLE_RATE  # it was taught on utterances; longer recordings are heard in parts
OVERLAP = 2 * SAMPLE_RATE
BLOCKS = (1, 2, 3, 4)  # of its six, from 0, whose outputs are its features
SHAPES, FOLDS, STEPS = 12, 5, 300
MOST_LAG = 4  # frames either way within which a clip's lag is looked for
CERTAIN = 0.3  # correlation of lip motion below which a clip's lips are not believed to belong to its sound


class SpeechTeacher:
    """Features of a recogniser's encoder, at video frames: the outputs of `BLOCKS`, one after the other.

    Args:
        path: encoder_model.onnx or .ort; inputs `input_values` (1, S) and `attention_mask`, blocks named
            `/layers.0` and on.

    Raises:
        InputError: onnx or onnxruntime is missing, or the file is not such an encoder.
    """

    def __init__(self, path: Path) -> None:
        try:
            import onnx
            import onnxruntime
        except ImportError as error:
            raise InputError(f"--teacher needs {error.name}; pip install onnx onnxruntime.") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self.outputs = [f"/layers.{block}/Add_1_output_0" for block in BLOCKS]
        try:
            model = _as_onnx(path)
            outputs = [onnx.helper.make_tensor_value_info(name, 1, None) for name in self.outputs]
            model.graph.output.extend(outputs)
            self.session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors have no common base
            raise InputError(
                f"{path} is not an encoder whose blocks can be heard ({error}); the README says where a teacher is."
            ) from error
        names = [given.name for given in self.session.get_inputs()]
        if names != ["input_values", "attention_mask"]:
            raise InputError(f"{path} takes {names}; the teacher must take input_values and attention_mask.")

    def __call__(self, samples: Tensor, frames: int) -> Tensor:
        """Features (T, D) at the centres of `frames` video frames (25 a second) of 16 kHz samples (S,)."""
        sound = samples.numpy() / (np.abs(samples.numpy()).max(initial=0) + 1e-6) / 2
        sound = np.pad(sound.astype(np.float32), (BEFORE, AFTER))
        places, features = [], []
        for start in range(0, max(1, len(sound) - OVERLAP), LONGEST - OVERLAP):
            part = sound[None, start : start + LONGEST]
            feeds = {"input_values": part, "attention_mask": np.ones(part.shape, np.int64)}
            made = np.concatenate(self.session.run(self.outputs, feeds), -1)
            place = start + FIRST + HOP * np.arange(made.shape[1])
            # Each part gives its middle; half of an overlap goes to either side.
            low = start + OVERLAP // 2 if start else 0
            high = start + LONGEST - OVERLAP // 2 if start + LONGEST < len(sound) else len(sound)
            keep = (place >= low) & (place < high)
            places.append(place[keep])
            features.append(made[0, keep])
        wanted = (np.arange(frames) + 0.5) * SAMPLE_RATE / 25 + BEFORE
        place, feature = np.concatenate(places), np.concatenate(features)
        after = np.searchsorted(place, wanted).clip(1, len(place) - 1)
        share = ((wanted - place[after - 1]) / (place[after] - place[after - 1])).clip(0, 1)[:, None]
        return torch.from_numpy(((1 - share) * feature[after - 1] + share * feature[after]).astype(np.float32))


def _as_onnx(path: Path):
    """An ONNX or ORT file as an onnx.ModelProto."""
    import onnx
    import onnxruntime

    if path.suffix != ".ort":
        return onnx.load(path)
    with TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.save_model_format", "ONNX")
        options.optimized_model_filepath = str(Path(folder) / "encoder.onnx")
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return onnx.load(options.optimized_model_filepath)


class LipListener(nn.Module):
    """One block's features to motion of jaw and lips; 0.36 s of context.

    Args:
        part: of the teacher's features, which ones are the block's.
        basis: (shapes, 37, 2) motions that are mixed.
        width, dropout: of the hidden layers.
    """

    def __init__(self, part: slice, basis: Tensor, width: int = 128, dropout: float = 0.4) -> None:
        super().__init__()
        self.part, features = part, part.stop - part.start
        self.register_buffer("basis", basis)
        self.inside = nn.Sequential(nn.LayerNorm(features), nn.Dropout(dropout), nn.Linear(features, width))
        self.layers = nn.ModuleList(nn.Conv1d(width, width, 5, padding=2) for _ in range(2))
        self.dropout, self.out = nn.Dropout(dropout), nn.Linear(width, len(basis))

    def forward(self, features: Tensor) -> Tensor:  # (B, T, D) -> (B, T, 37, 2)
        x = self.inside(features[..., self.part]).transpose(1, 2)
        for layer in self.layers:
            x = x + self.dropout(F.gelu(layer(x)))
        return torch.einsum("...k,kpc->...pc", self.out(x.transpose(1, 2)), self.basis)


def learn_listeners(clips: list[Talk], seed: int) -> list[nn.Module]:
    """A listener for each block of the teacher, taught on clips with `heard` and `motion`."""
    size = clips[0].heard.shape[-1] // len(BLOCKS)
    basis = shape_basis(clips, SHAPES)
    parts = [slice(index * size, (index + 1) * size) for index in range(len(BLOCKS))]
    return [_learn_listener(clips, part, basis, seed + index) for index, part in enumerate(parts)]


def _learn_listener(clips: list[Talk], part: slice, basis: Tensor, seed: int) -> nn.Module:
    """A listener taught in few steps, for more would learn the people by heart."""
    torch.manual_seed(seed)
    listener = LipListener(part, basis)
    optimiser = torch.optim.AdamW(listener.parameters(), 1e-3, weight_decay=0.05)
    average, sampler = Average(listener, 0.98), Sampler(clips, LENGTH, np.random.default_rng(seed))
    for step in range(STEPS):
        batch = sampler(16)
        optimiser.param_groups[0]["lr"] = 1e-3 * cosine(step, STEPS, warmup=50)
        optimiser.zero_grad()
        weigh(motion_loss(listener(batch.heard), batch)).backward()
        nn.utils.clip_grad_norm_(listener.parameters(), 1.0)
        optimiser.step()
        average.update(listener, step)
    return average.network


@torch.no_grad()
def guess_lips(listeners: list[nn.Module], talks: list[Talk], trust: float) -> list[Talk]:
    """The same recordings with the listeners' mean answer for their motion."""
    answers = [torch.stack([listener(talk.heard[None])[0] for listener in listeners]).mean(0) for talk in talks]
    return [replace(talk, motion=answer, trust=trust) for talk, answer in zip(talks, answers, strict=True)]


def guess_unheard(clips: list[Talk], seed: int) -> list[Talk]:
    """Clips with the answers of listeners that never heard their person.

    Raises:
        InputError: all clips are of one person.
    """
    people = sorted({clip.person for clip in clips})
    if len(people) < 2:
        raise InputError(f"The clips show {len(people)} person; a teacher's lips are learned from at least two people.")
    guessed: dict[str, Talk] = {}
    for fold in range(min(FOLDS, len(people))):
        held = set(people[fold::FOLDS])
        listeners = learn_listeners([clip for clip in clips if clip.person not in held], seed + fold)
        guessed |= {talk.name: talk for talk in guess_lips(listeners, [c for c in clips if c.person in held], 1.0)}
    return [guessed[clip.name] for clip in clips]


def refine_lags(clips: list[Talk], seed: int) -> tuple[list[Talk], dict[str, int]]:
    """Move each clip's sound to where it fits its lips best, by the ears of listeners that never heard its person.

    Returns:
        Clips whose lips follow their sound, moved, and the frames by which each was moved (positive: the mouth is
        later than was thought).
    """
    kept, lags = [], {}
    for clip, guess in zip(clips, guess_unheard(clips, seed), strict=True):
        found = {lag: agreement(guess.motion, clip.motion, lag) for lag in range(-MOST_LAG, MOST_LAG + 1)}
        lag = max(found, key=found.__getitem__)
        if found[lag] >= CERTAIN:
            kept.append(shifted(clip, lag))
            lags[clip.name] = lag
    return kept, lags


def agreement(guess: Tensor, real: Tensor, lag: int) -> float:
    """Correlation of lip motion (T, 37, 2) with the real one that comes `lag` frames later, mean over coordinates."""
    early, late = max(0, lag), max(0, -lag)
    first, second = guess[late : len(guess) - early, LIP_SLICE], real[early : len(real) - late, LIP_SLICE]
    first, second = first - first.mean(0), second - second.mean(0)
    return float((first * second).sum() / (first.norm() * second.norm()).clamp(min=1e-9))


def standardise(usual: list[Talk], talks: list[Talk]) -> None:
    """Give every feature zero mean and unit spread over `usual`, in all of `talks`."""
    features = torch.cat([talk.heard for talk in usual])
    mean, spread = features.mean(0), features.std(0) + 1e-4
    for talk in talks:
        talk.heard = (talk.heard - mean) / spread
