"""Reading and writing pictures, sound and video files, without any other program.

Paths go through Python's own `open`, so that names in any script work on any system. Whatever cannot be
read or written raises MediaError with a sentence. Files are written under a temporary name beside their
place and renamed when they are complete, so that an error or Ctrl-C leaves nothing half done.
"""

from .pictures import read_picture, write_picture
from .sound import read_audio, write_audio
from .video_reader import VideoReader
from .video_writer import write_video

__all__ = ["VideoReader", "read_audio", "read_picture", "write_audio", "write_picture", "write_video"]
