import pytest
import torch
from articulate.models_hub.errors import MediaError
from articulate.models_hub.media import read_picture, write_picture
from PIL import Image


def test_png_round_trip_is_exact_to_eight_bits(tmp_path):
    picture = torch.randint(0, 256, (7, 5, 3), generator=torch.Generator().manual_seed(0)) / 255
    path = tmp_path / "새 폴더 🙂" / "portrait 日本.png"
    write_picture(path, picture, metadata={"prompt": '{"한": 1}'})
    assert torch.allclose(read_picture(path), picture, atol=1e-6)
    with Image.open(path) as image:
        assert image.info["prompt"] == '{"한": 1}'


@pytest.mark.parametrize(
    "mode, channels", [("L", 3), ("RGB", 3), ("RGBA", 4), ("LA", 4), ("P", 3), ("CMYK", 3), ("1", 3)]
)
def test_every_mode_becomes_rgb_and_keeps_transparency(tmp_path, mode, channels):
    path = tmp_path / ("x.tiff" if mode == "CMYK" else "x.png")
    Image.new("RGB", (6, 4), (200, 200, 200)).convert(mode).save(path)
    picture = read_picture(path)
    assert picture.shape == (4, 6, channels) and picture.dtype == torch.float32
    assert float(picture.min()) >= 0 and float(picture.max()) <= 1


def test_sixteen_bits_keep_their_precision(tmp_path):
    Image.new("I;16", (4, 4), 12345).save(tmp_path / "x.png")
    assert read_picture(tmp_path / "x.png").flatten()[0].item() == pytest.approx(12345 / 65535)


def test_camera_rotation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the scene is at the right of the file
    image = Image.new("RGB", (8, 4))
    image.paste((255, 0, 0), (0, 0, 4, 4))
    image.save(tmp_path / "x.jpg", exif=exif, quality=100)
    picture = read_picture(tmp_path / "x.jpg")
    assert picture.shape == (8, 4, 3)
    assert picture[:3, :, 0].min() > 0.8 and picture[5:, :, 0].max() < 0.2


def test_the_first_frame_of_an_animation_counts(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert read_picture(tmp_path / "x.gif")[0, 0].tolist() == [1, 0, 0]


def _empty(path):
    path.write_bytes(b"")


def _folder(path):
    path.mkdir()


def _text(path):
    path.write_text("not a picture")


def _cut_png(path):
    write_picture(path, torch.rand(64, 64, 3))
    path.write_bytes(path.read_bytes()[:2000])


def _cut_header(path):
    write_picture(path, torch.rand(64, 64, 3))
    path.write_bytes(path.read_bytes()[:20])


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda path: None, "no picture file"),
        (_empty, "0 bytes"),
        (_folder, "is a folder"),
        (_text, "not a picture"),
        (_cut_png, "cut short"),
        (_cut_header, "not a picture|cut short"),
    ],
)
def test_a_bad_file_gets_a_sentence_with_its_name(tmp_path, make, said):
    path = tmp_path / "so nicht.png"
    make(path)
    with pytest.raises(MediaError, match=said) as caught:
        read_picture(path)
    assert str(path) in str(caught.value)


def test_an_existing_file_is_kept_unless_told_otherwise(tmp_path):
    path = tmp_path / "x.png"
    write_picture(path, torch.zeros(2, 2, 3))
    with pytest.raises(MediaError, match="--overwrite"):
        write_picture(path, torch.ones(2, 2, 3))
    assert read_picture(path).max() == 0
    write_picture(path, torch.ones(2, 2, 3), overwrite=True)
    assert read_picture(path).min() == 1
    assert [file.name for file in tmp_path.iterdir()] == ["x.png"]
