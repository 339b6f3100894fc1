"""The one family of errors that users see.

Every message has three parts: the value that was met, why it cannot be used, and what to do next.
Command lines and hosts print the message alone; a traceback means a defect of ours.
"""


class ArticulateError(Exception):
    """Base of all errors whose message is meant for the user."""


class InputError(ArticulateError):
    """A value, file or tensor given by the user cannot be used."""


class FaceNotFoundError(InputError):
    """No face (or not the asked-for face) was seen in a picture."""


class MediaError(InputError):
    """A picture, sound or video file cannot be read or written."""


class WeightsError(ArticulateError):
    """A weights file is missing, damaged, or not of the expected architecture."""


class HubError(WeightsError):
    """The Hugging Face Hub cannot give (or take) a file: no connection, no permission, no such file, no space."""


class WorkflowError(ArticulateError):
    """A workflow cannot be executed as it stands."""


class ServerError(ArticulateError):
    """A ComfyUI server does not answer, or could not do its work."""
