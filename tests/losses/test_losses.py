"""Every loss pulls the way it says, on real frames."""

import pytest
import torch
from articulate.models_hub.loading import load_network
from articulate.models_hub.losses.adversarial import (
    clip_decision_loss,
    feature_matching_loss,
    hinge_critic_loss,
    landmark_regression_loss,
    least_squares_critic_loss,
    least_squares_generator_loss,
)
from articulate.models_hub.losses.clip import clip_distillation
from articulate.models_hub.losses.density import density_loss
from articulate.models_hub.losses.keypoints import (
    RandomBend,
    equivariance_losses,
    feature_consistency_loss,
    keypoint_distance_loss,
)
from articulate.models_hub.losses.perceptual import gradient_loss, perceptual_loss
from articulate.models_hub.losses.pixels import dynamic_pixel_loss
from articulate.models_hub.losses.sync import audio_visual_sync_loss, visual_sync_loss
from articulate.models_hub.networks.sync_critic import lower_faces

LOWEST = 5  # frame of `moving_face` in which the mouth is farthest from where it began


@pytest.fixture(scope="module")
def frames(moving_face):
    return moving_face[0]


@pytest.fixture(scope="module")
def points(moving_face):
    return moving_face[1]


def stepped(made, length=1.0):
    """The frame a little further down its gradient."""
    return made.detach() - length * made.grad / made.grad.norm()


def test_dynamic_pixel_loss_weighs_by_attention_which_gets_no_gradient(frames):
    made, real = frames[:1].clone().requires_grad_(True), frames[LOWEST : LOWEST + 1]
    attention = torch.rand(1, 1, 256, 256, requires_grad=True)
    loss = dynamic_pixel_loss(made, real, attention)
    loss.backward()
    assert attention.grad is None
    plain = (made - real).abs().mean()
    for value, factor in ((torch.zeros_like(attention), 0.5), (torch.ones_like(attention), 1.5)):
        assert dynamic_pixel_loss(made, real, value).item() == pytest.approx(factor * plain.item(), rel=1e-5)
    assert dynamic_pixel_loss(real, real, attention) == 0
    assert dynamic_pixel_loss(stepped(made, 0.1), real, attention) < loss


def test_density_loss_falls_as_lips_approach_their_target(frames, points):
    estimator = load_network("landmark_estimator")
    wanted = points[LOWEST : LOWEST + 1]
    values = [density_loss(estimator, frames[i : i + 1], wanted).item() for i in (0, 2, LOWEST)]
    assert values[0] > values[1] > values[2]


def test_density_loss_moves_the_frame_and_not_the_estimator(frames, points):
    estimator = load_network("landmark_estimator")
    made = frames[:1].clone().requires_grad_(True)
    wanted = points[LOWEST : LOWEST + 1]
    loss = density_loss(estimator, made, wanted)
    loss.backward()
    assert all(parameter.grad is None for parameter in estimator.parameters())
    assert density_loss(estimator, stepped(made), wanted) < loss


def test_densities_of_a_real_face_count_its_points(frames):
    """The guard of seed 03: maps of a real frame sum to the number of its points."""
    assert load_network("landmark_estimator")(frames[:1]).sum().item() == pytest.approx(68, rel=0.1)


def test_clip_distillation_is_zero_for_the_same_direction_only():
    embedding = torch.randn(3, 512)
    assert clip_distillation(2 * embedding, embedding) == pytest.approx(0, abs=1e-6)
    assert clip_distillation(-embedding, embedding) == pytest.approx(2, abs=1e-6)
    known = torch.randn(1, 512, requires_grad=True)
    clip_distillation(torch.randn(3, 512, requires_grad=True), known).backward()
    assert known.grad is None


def test_an_equivariant_detector_costs_nothing_and_another_does(frames):
    """A detector that carries the bend exactly: the places that one known set of points has in each picture."""
    bend = RandomBend(1, torch.Generator().manual_seed(0))
    bent_value = torch.rand(1, 6, 2, generator=torch.Generator().manual_seed(1)) - 0.5
    bent_jacobian = torch.eye(2).repeat(1, 6, 1, 1)
    answers = iter([(bend.places(bent_value), bend.jacobian(bent_value)), (bent_value, bent_jacobian)])
    right = equivariance_losses(lambda picture: next(answers), frames[:1], bend)
    assert right["equivariance_value"].item() == pytest.approx(0, abs=1e-6)
    assert right["equivariance_jacobian"].item() == pytest.approx(0, abs=1e-5)
    wrong = equivariance_losses(lambda picture: (bent_value, bent_jacobian), frames[:1], bend)
    assert wrong["equivariance_value"] > 0.01 and wrong["equivariance_jacobian"] > 0.01


def test_the_landmark_estimator_is_nearly_equivariant_on_a_real_face(frames):
    """Bending the picture moves its landmarks as the bend says: the picture and the places agree."""
    estimator = load_network("landmark_estimator")

    def detect(picture):
        value = estimator.points(estimator(picture))
        return value, torch.eye(2).repeat(1, 68, 1, 1)

    bend = RandomBend(1, torch.Generator().manual_seed(3), affine=0.05)
    loss = equivariance_losses(detect, frames[:1], bend)["equivariance_value"]
    unmoved = (bend.places(detect(frames[:1])[0]) - detect(frames[:1])[0]).abs().mean()
    assert loss < 0.6 * unmoved


def test_the_derivative_of_a_bend_is_the_slope_of_its_places():
    bend = RandomBend(2, torch.Generator().manual_seed(2), spline=0.05)
    at, step = torch.full((2, 1, 2), 0.23), 1e-3
    for axis in (0, 1):
        shift = torch.zeros(2)
        shift[axis] = step
        slope = (bend.places(at + shift) - bend.places(at - shift)) / (2 * step)
        torch.testing.assert_close(bend.jacobian(at)[..., axis], slope, atol=2e-3, rtol=0)


@pytest.mark.parametrize("hinge", [True, False])
def test_keypoints_that_crowd_cost_more(hinge):
    line = torch.linspace(-0.9, 0.9, 5)
    apart = torch.stack([line, line], -1)[None]
    assert keypoint_distance_loss(apart, hinge=hinge) == 0
    assert keypoint_distance_loss(0.1 * apart, hinge=hinge) > 0.3


def test_only_the_hinge_pushes_keypoints_apart():
    value = (0.05 * torch.randn(1, 4, 2, generator=torch.Generator().manual_seed(0))).requires_grad_(True)
    loss = keypoint_distance_loss(value)
    loss.backward()
    assert keypoint_distance_loss(value - 0.01 * value.grad / value.grad.norm()) < loss
    authors = value.detach().clone().requires_grad_(True)
    keypoint_distance_loss(authors, hinge=False).backward()
    assert authors.grad.abs().max() == 0  # as the seed notes: sign() teaches nothing


def test_feature_consistency_pulls_the_memory_and_leaves_the_feature(sample_face):
    warper = load_network("warper")
    feature = warper.encode(sample_face.crop, sample_face.points[None]).features[-1].clone().requires_grad_(True)
    value = torch.zeros(1, feature.shape[1], 16, 16, requires_grad=True)
    loss = feature_consistency_loss(feature, value)
    loss.backward()
    assert feature.grad is None
    assert feature_consistency_loss(feature, value - 10 * value.grad) < loss


def test_perceptual_loss_orders_frames_by_how_near_they_are(frames):
    warper = load_network("warper")

    def encoder(picture):
        level, found = torch.nn.functional.pixel_unshuffle(picture, 2), []
        for block in warper.encoder:
            level = block(level)
            found.append(level)
        return found

    real, far = frames[LOWEST : LOWEST + 1], frames[:1]
    for loss in (lambda made: perceptual_loss(made, real, encoder), lambda made: gradient_loss(made, real)):
        values = [loss(torch.lerp(far, real, share)).item() for share in (0.0, 0.5, 1.0)]
        assert values[0] > values[1] > values[2] == pytest.approx(0, abs=1e-7)


def test_a_sharp_frame_beats_a_blurred_one_in_gradients(frames):
    real = frames[:1]
    blurred = torch.nn.functional.avg_pool2d(real, 5, 1, 2)
    assert gradient_loss(blurred, real) > gradient_loss(real + 0.02, real)


def test_scores_pull_towards_their_side():
    real, made = torch.tensor([2.0]), torch.tensor([-2.0])
    for critic_loss in (hinge_critic_loss, least_squares_critic_loss):
        assert critic_loss(real * 0.5, made * 0) < critic_loss(made * 0, real * 0.5)
    assert least_squares_generator_loss(torch.tensor([1.0])) == 0 < least_squares_generator_loss(torch.tensor([0.0]))
    assert clip_decision_loss(real, True) < clip_decision_loss(real, False)
    ours, theirs = torch.zeros(1, 2, requires_grad=True), torch.ones(1, 2, requires_grad=True)
    feature_matching_loss([ours], [theirs]).backward()
    assert theirs.grad is None and (ours.grad < 0).all()


def test_heights_of_the_mouth_count_most_in_the_regression(points):
    moved = {}
    for name, place, axis in (("mouth", 62, 1), ("width", 62, 0), ("jaw", 8, 1)):
        other = points.clone()
        other[:, place, axis] += 0.1
        moved[name] = landmark_regression_loss(other, points)
    assert landmark_regression_loss(points, points) == 0
    assert moved["mouth"].item() == pytest.approx(100 * moved["width"].item(), rel=1e-3)
    assert moved["width"].item() == pytest.approx(moved["jaw"].item(), rel=1e-3)


@pytest.fixture(scope="module")
def lips(frames, points):
    """Windows of the moving face: on its way down, and on its way back."""
    cut = lower_faces(frames, points)
    return cut[None, 1:6], cut[None, 6:11]


def test_audio_visual_loss_falls_along_its_gradient(lips):
    critic = load_network("sync_critic")
    mel = critic.mel_mean + critic.mel_scale * torch.randn(1, 20, 64, generator=torch.Generator().manual_seed(0))
    made = lips[0].clone().requires_grad_(True)
    loss = audio_visual_sync_loss(critic, mel, made)
    loss.backward()
    assert loss.item() == pytest.approx(-critic(mel, lips[0]).log().item(), rel=1e-4)
    assert audio_visual_sync_loss(critic, mel, stepped(made)) < loss


def test_visual_loss_wants_the_real_time_nearer_than_another(lips):
    critic = load_network("sync_critic")
    real, other = lips
    made = other.clone().requires_grad_(True)
    loss = visual_sync_loss(critic, made, real, other)
    loss.backward()
    assert loss > 0
    assert visual_sync_loss(critic, stepped(made), real, other) < loss


def test_visual_loss_has_no_gradient_for_identical_windows(lips):
    critic = load_network("sync_critic")
    for other in lips:  # whether the other time is the same or another
        made = lips[0].clone().requires_grad_(True)
        loss = visual_sync_loss(critic, made, lips[0], other)
        loss.backward()
        assert loss.item() == pytest.approx(0, abs=1e-6)
        assert made.grad.abs().max() < 1e-6
