"""Landmarks and boxes of other nodes: MediaPipe meshes, plain points, ComfyUI's bounding boxes."""

import numpy as np
import pytest
import torch
from articulate.models_hub.errors import FaceNotFoundError, InputError
from articulate.models_hub.networks.ibug68 import MIRROR
from articulate.nodes.face_landmarks import MESH_VERTICES, boxes_from_bounding_boxes, points_from_landmarks


def mesh(scale: float = 1.0, vertices: int = 478) -> np.ndarray:
    generator = np.random.default_rng(int(scale * 10))
    return generator.uniform(10, 10 + 50 * scale, (vertices, 2)).astype(np.float32)


def as_host(*meshes: np.ndarray, size=(100, 200)) -> dict:
    return {"frames": [[{"landmarks_xy": points} for points in meshes]], "image_size": size}


@pytest.mark.parametrize("vertices", [468, 478])
def test_meshes_become_68_points(vertices):
    points = mesh(vertices=vertices)
    found = points_from_landmarks(as_host(points), 0, 100, 200)
    assert torch.equal(found, torch.from_numpy(points[list(MESH_VERTICES)]))
    assert len(set(MESH_VERTICES)) == 68


def test_points_follow_the_size_of_the_picture():
    points = mesh()
    doubled = points_from_landmarks(as_host(points), 0, 200, 400)
    assert torch.allclose(doubled, 2 * torch.from_numpy(points[list(MESH_VERTICES)]))


def test_faces_count_from_the_largest():
    small, large = mesh(0.5), mesh(2.0)
    found = points_from_landmarks(as_host(small, large), 0, 100, 200)
    assert torch.equal(found, torch.from_numpy(large[list(MESH_VERTICES)]))


def test_68_points_pass_as_they_are():
    points = torch.rand(68, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(points_from_landmarks(points, 0, 10, 10), points)
    assert torch.equal(points_from_landmarks(points.tolist(), 0, 10, 10), points)


def test_the_table_is_symmetric_where_the_mesh_is():
    # Mirrored vertices of MediaPipe's canonical face, as far as its numbering tells: these pairs are published.
    pairs = {33: 263, 133: 362, 61: 291, 70: 300, 107: 336, 234: 454, 78: 308, 172: 397, 148: 377}
    place = {vertex: point for point, vertex in enumerate(MESH_VERTICES)}
    for left, right in pairs.items():
        assert MIRROR[place[left]] == place[right]


def test_what_cannot_be_read_is_named():
    with pytest.raises(FaceNotFoundError, match="hold 1 faces"):
        points_from_landmarks(as_host(mesh()), 1, 100, 200)
    with pytest.raises(FaceNotFoundError, match="hold 0 faces"):
        points_from_landmarks({"frames": [], "image_size": (1, 1)}, 0, 100, 200)
    with pytest.raises(InputError, match="5 landmarks"):
        points_from_landmarks(torch.zeros(5, 2), 0, 100, 200)
    with pytest.raises(InputError, match="str"):
        points_from_landmarks("nose", 0, 100, 200)


def test_boxes_of_every_form():
    small = {"x": 1, "y": 2, "width": 3, "height": 4, "label": "face"}
    large = {"x": 5, "y": 6, "width": 70, "height": 80, "score": 0.5}
    assert boxes_from_bounding_boxes(small) == [(1, 2, 3, 4)]
    assert boxes_from_bounding_boxes([small, large]) == [(5, 6, 70, 80), (1, 2, 3, 4)]
    assert boxes_from_bounding_boxes([[small], [large]]) == [(1, 2, 3, 4)]
    with pytest.raises(FaceNotFoundError, match="empty"):
        boxes_from_bounding_boxes([[]])
    with pytest.raises(InputError, match="int"):
        boxes_from_bounding_boxes(5)
