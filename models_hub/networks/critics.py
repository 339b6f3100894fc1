"""The critics by their old place; each has a file of its own."""

from .difference_critic import DifferenceCritic
from .frame_critic import FrameCritic, MultiScaleFrameCritic
from .patch_critic import PatchCritic
from .regression_critic import RegressionCritic

__all__ = ["DifferenceCritic", "FrameCritic", "MultiScaleFrameCritic", "PatchCritic", "RegressionCritic"]
