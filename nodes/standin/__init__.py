"""What our nodes need of ComfyUI's node interface (`comfy_api.latest`, V3), for runs without ComfyUI.

The names, signatures and meaning follow ComfyUI 0.33, so a node that is written against this package
runs unchanged in ComfyUI; what no node of ours needs is left out. `nodes/host.py` chooses between the two.
"""

from . import io, ui
from .extension import ComfyExtension
from .video import Types, VideoComponents, VideoInput
from .video_impl import InputImpl

__all__ = ["ComfyExtension", "InputImpl", "Types", "VideoComponents", "VideoInput", "io", "ui"]
