"""A packed data folder: what fits stays as it is, what does not gets smaller, and whoever reads it still can."""

import csv
import json
import os
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from articulate.models_hub.errors import InputError, MediaError
from articulate.models_hub.training import packing, parts
from articulate.models_hub.training.face_data import landmark_set
from articulate.models_hub.training.footage import decode_clip, manifest_digest, pack_footage, read_points
from articulate.models_hub.training.speech_data import plain_speech, talking_clips
from articulate.models_hub.training.sync_critic import read_lips
from articulate.models_hub.training.transcoding import clip_psnr, encode_sound
from articulate.workflows.commands import main
from PIL import Image

SAMPLES = Path(__file__).parents[2] / "samples"
FRAMES, RATE = 30, 16_000


@pytest.fixture(scope="module")
def data(tmp_path_factory, talking_take):
    """Two clips with sound, a photo and a picture, of each split; two recordings. Noise, so that nothing packs well."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("clips", "photos", "pictures", "speech"):
        (folder / name).mkdir()
    random = np.random.default_rng(0)
    coded = ((talking_take.points[:FRAMES].numpy() + 1) * 2048).round().astype(np.int16)
    rows, pictures = [], []
    for split in ("train", "val"):
        for name in (f"{split}_0", f"{split}_1"):
            with av.open(str(folder / "clips" / f"{name}.mp4"), "w") as container:
                stream = container.add_stream("libx264", rate=25, options={"crf": "8"})
                stream.width, stream.height, stream.pix_fmt = 256, 256, "yuv420p"
                for frame in talking_take.frames[:FRAMES].numpy():
                    noisy = (frame + random.integers(-9, 10, frame.shape)).clip(0, 255).astype(np.uint8)
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(noisy, format="rgb24")))
                container.mux(stream.encode(None))
            np.savez(folder / "clips" / f"{name}.npz", points=coded, valid=np.ones(FRAMES, bool))
            soundfile.write(folder / "clips" / f"{name}.flac", noise(random, FRAMES * RATE // 25), RATE)
            rows.append({"id": name, "kind": "clip", "split": split, "person": name, "frames": FRAMES, "audio": "yes",
                         "sync": "ok", "av_lag_frames": "0"})  # fmt: skip
        photo = random.integers(0, 256, (64, 64, 3)).astype(np.uint8)
        for place in (f"photos/photo_{split}", f"pictures/{split}"):
            Image.fromarray(photo).resize((256, 256)).save(folder / f"{place}.jpg", quality=95)
        np.savez(folder / "photos" / f"photo_{split}.npz", points=coded[:1])
        rows.append({"id": f"photo_{split}", "kind": "photo", "split": split, "person": f"photo_{split}"})
        pictures.append({"file": f"{split}.jpg", "split": split, "boxes": "70 70 105 105"})
    for name in ("one", "two"):
        soundfile.write(folder / "speech" / f"{name}.flac", noise(random, 2 * RATE + 7), RATE)
        rows.append({"id": name, "kind": "speech", "split": "train", "person": ""})
    for name, table in (("manifest.csv", rows), ("pictures.csv", pictures)):
        with open(folder / name, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(table[0]))
            writer.writeheader()
            writer.writerows(table)
    return folder


def noise(random, length):
    return 0.1 * random.standard_normal(length)


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def megabytes(folder):
    return sum(map(len, content(folder).values())) / 1e6


@pytest.fixture(scope="module")
def smaller(data, tmp_path_factory):
    """The same folder packed into six tenths of its size, and what was said of it."""
    output = tmp_path_factory.mktemp("packed") / "packed"
    return output, packing.pack(data, output, 0.6 * megabytes(data))


def test_what_fits_is_the_same_byte_by_byte(data, tmp_path):
    facts = packing.pack(data, tmp_path / "packed")
    packed = content(tmp_path / "packed")
    assert json.loads(packed.pop(Path(parts.PACKED))) == facts
    assert packed == content(data)
    assert facts["bytes"] == sum(map(len, packed.values()))
    assert all(part["encoded"] == 0 for part in facts["contents"].values())


def test_only_what_is_read_is_packed(data, tmp_path):
    packing.pack(data, tmp_path / "packed", readers=["face_code"])
    packed = content(tmp_path / "packed")
    assert {path.suffix for path in packed if path.parts[0] == "clips"} == {".mp4", ".npz"}
    assert {path.parts[0] for path in packed if len(path.parts) > 1} == {"clips"}
    assert all(packed[path] == file for path, file in content(data).items() if path in packed)
    assert manifest_digest(tmp_path / "packed") == manifest_digest(data)


def test_every_training_and_evaluation_says_what_it_reads():
    from articulate.models_hub.training import COMMANDS
    from articulate.workflows.commands.evaluate import OPTIONAL, PARTS

    assert set(parts.TRAININGS) == set(COMMANDS) and set(parts.EVALUATIONS) == {*PARTS, *OPTIONAL}
    named = {*parts.TRAININGS.values(), *parts.EVALUATIONS.values()}
    assert {part for read in named for part in read} == set(parts.PARTS) == set(packing.parts_for([]))


def test_what_does_not_fit_gets_smaller_and_stays_in_time(data, smaller):
    output, facts = smaller
    assert megabytes(output) <= 0.6 * megabytes(data)
    assert abs(facts["bytes"] - 1e6 * megabytes(output)) < 3000
    assert facts["contents"]["frames"]["encoded"] and facts["contents"]["frames"]["psnr"] > 25
    for path in (data / "clips").glob("train_*.mp4"):
        packed = output / "clips" / path.name
        assert len(decode_clip(packed)) == FRAMES and clip_psnr(path, packed) > 25
        with av.open(str(path)) as one, av.open(str(packed)) as other:
            times = [[frame.pts * frame.time_base for frame in clip.decode(video=0)] for clip in (one, other)]
            assert times[0] == times[1]
    for path in (data / "clips").glob("*.npz"):
        for before, after in zip(read_points(path), read_points(output / "clips" / path.name), strict=True):
            assert np.array_equal(before, after)
    for path in (*(data / "clips").glob("train_*.flac"), *(data / "speech").glob("*.flac")):
        packed = parts.sound_file(output / path.parent.name, path.stem)
        before, after = (soundfile.read(file)[0] for file in (path, packed))
        assert packed.suffix == ".opus" and soundfile.info(packed).format == "OGG" and len(before) == len(after)


def test_the_val_split_stays_as_it_is(data, smaller):
    before, after = content(data), content(smaller[0])
    kept = [path for path in before if "val" in path.name and (path.parts[0], path.suffix) != ("clips", ".npz")]
    assert len(kept) == 7 and all(before[path] == after[path] for path in kept)


def test_rows_say_what_became_of_them_so_that_caches_differ(data, smaller):
    rows = {row["id"]: row["packed"] for row in packing.rows(smaller[0], "manifest.csv")}
    assert "H.264" in rows["train_0"] and "Opus" in rows["train_0"] and rows["val_0"] == ""
    assert manifest_digest(smaller[0]) != manifest_digest(data)


def test_everything_reads_it(smaller, tmp_path):
    folder = smaller[0]
    assert len(pack_footage(folder, tmp_path, "train").frames) == 2 * FRAMES
    assert len(landmark_set(folder, "train", tmp_path).frames) == 2 * len(range(0, FRAMES, 8)) + 1
    assert [len(talk) for talk in talking_clips(folder, "train")] == [FRAMES, FRAMES]
    assert [len(talk) for talk in plain_speech(folder)] == [50, 50]
    assert [len(lips.crops) for lips in read_lips(folder, "train")] == [FRAMES, FRAMES]


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100])
def test_opus_is_the_sound_at_the_same_time(tmp_path, rate):
    sound, _ = soundfile.read(SAMPLES / "speech.flac")
    soundfile.write(tmp_path / "a.flac", sound[: rate + 123], rate)
    encode_sound(tmp_path / "a.flac", tmp_path / "a.opus", 64)
    back, kept = soundfile.read(tmp_path / "a.opus")
    assert abs(len(back) / kept - (rate + 123) / rate) < 1e-3
    if kept == rate:
        before = sound[: rate + 123]
        assert np.dot(before, back) / np.linalg.norm(before) / np.linalg.norm(back) > 0.98


def test_too_small_is_refused_and_leaves_nothing(data, tmp_path):
    with pytest.raises(InputError, match="nan MB is no size"):
        packing.pack(data, tmp_path / "packed", float("nan"))
    with pytest.raises(InputError, match=r"val split alone.* Give --size more"):
        packing.pack(data, tmp_path / "packed", 0.01)
    with pytest.raises(InputError, match="as small as is sensible"):
        packing.pack(data, tmp_path / "packed", megabytes(data) / 2 + 0.005)
    assert not list(tmp_path.iterdir())


def test_a_cancelled_one_leaves_nothing(data, tmp_path):
    def cancel(done, _in_all):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        packing.pack(data, tmp_path / "packed", progress=cancel)
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_named(data, tmp_path):
    broken = tmp_path / "data"
    for path, held in content(data).items():
        (broken / path).parent.mkdir(parents=True, exist_ok=True)
        (broken / path).write_bytes(held)
    path = broken / "speech" / "one.flac"
    path.write_bytes(b"fLaC" + os.urandom(path.stat().st_size))
    with pytest.raises(MediaError, match=r"one\.flac cannot be encoded"):
        packing.pack(broken, tmp_path / "packed", 0.6 * megabytes(data))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_only_a_packed_folder_is_replaced(data, tmp_path, capsys):
    output = tmp_path / "out" / "packed"
    command = ["train", "pack", "--data", str(data), "--output", str(output), "--quiet", "--for", "head_motion"]
    assert main(command) == 0
    assert "landmarks" in capsys.readouterr().out
    assert main(command) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["for"] == ["head-motion"]
    (output / parts.PACKED).unlink()
    assert main([*command, "--overwrite"]) == 1
    assert "no packed folder" in capsys.readouterr().err
    assert (output / "manifest.csv").is_file()
    for holds in (data, data.parent):
        assert main(["train", "pack", "--data", str(data), "--output", str(holds), "--overwrite"]) == 1
        assert "holds the data" in capsys.readouterr().err
    assert main(["train", "pack", "--data", str(data), "--output", str(output), "--for", "dance"]) == 2


def test_what_was_left_out_is_told_before_anything_starts(data, tmp_path, capsys):
    output = tmp_path / "packed"
    packing.pack(data, output, readers=["predictor"])
    assert main(["train", "sync-critic", "--data", str(output), "--output", str(tmp_path / "run")]) == 1
    said = capsys.readouterr().err
    assert "packed without frames, which train sync-critic reads" in said and not (tmp_path / "run").exists()
    assert main(["evaluate", "--data", str(output), "--only", "speech,blinks"]) == 1
    assert "packed without photos, which evaluate --only blinks reads" in capsys.readouterr().err
    parts.check_parts(output, parts.TRAININGS["head_motion"], "train head-motion")
    (output / parts.PACKED).write_text("[]")
    with pytest.raises(InputError, match="cannot be read"):
        parts.check_parts(output, ("frames",), "a test")
