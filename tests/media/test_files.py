"""What is written takes the place of plain files alone, and of those only when told so."""

import os

import pytest
from articulate.models_hub.errors import MediaError
from articulate.models_hub.media.files import check_readable, check_writable, written_whole


def test_a_link_stays_a_link_to_the_file_that_is_written(tmp_path):
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "target.bin", tmp_path / "link.bin"
    link.symlink_to(target)
    for text in (b"first", b"second"):  # the link dangles at first
        with written_whole(link, overwrite=text == b"second") as file:
            file.write(text)
        assert link.is_symlink() and target.read_bytes() == text
    with pytest.raises(MediaError, match="--overwrite"):
        check_writable(link, overwrite=False)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder", "link.bin", "target.bin"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_pipe_or_device_is_never_replaced(tmp_path, overwrite):
    pipe, link = tmp_path / "pipe.bin", tmp_path / "link.bin"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(MediaError, match="device or pipe"):
            check_writable(path, overwrite)
    assert pipe.is_fifo() and link.is_symlink()


@pytest.mark.parametrize("name", ["x" * 300, "\ud800", "\0"])
def test_a_name_that_no_file_can_have_gets_a_sentence(tmp_path, name):
    with pytest.raises(MediaError, match="cannot be written"):
        check_writable(tmp_path / name, overwrite=True)
    with pytest.raises(MediaError, match="cannot be opened"):
        check_readable(tmp_path / name, "picture")


def test_a_link_in_a_ring_gets_a_sentence(tmp_path):
    ring = tmp_path / "ring.bin"
    ring.symlink_to(ring)
    with pytest.raises(MediaError, match="cannot be written"):
        check_writable(ring, overwrite=True)
