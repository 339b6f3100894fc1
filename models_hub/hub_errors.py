"""What a failure of huggingface_hub means for the user, in one sentence with the next step."""

import errno

from .errors import HubError
from .references import Reference


def explained(error: BaseException, reference: Reference, attempt: str) -> HubError:
    """The error to raise.

    Args:
        error: what the client raised.
        reference: what it was about.
        attempt: what was tried, as in "Cannot fetch ...".
    """
    from huggingface_hub import constants, errors

    where, known = constants.ENDPOINT, error
    while isinstance(known, errors.LocalEntryNotFoundError) and known.__cause__ is not None:
        known = known.__cause__  # the client tried, failed, and found nothing in the cache either
    status = getattr(getattr(known, "response", None), "status_code", None)
    sign_in = "Sign in (hf auth login, or set HF_TOKEN)"
    if isinstance(known, errors.EntryNotFoundError) and not isinstance(known, errors.LocalEntryNotFoundError):
        said = "the repository has no such file. Look at its list of files, and write owner/name@revision:file"
    elif isinstance(known, errors.RevisionNotFoundError):
        said = f"it has no revision {reference.revision!r}. Give a branch, a tag or a full commit"
    elif isinstance(known, errors.GatedRepoError):
        said = f"it is gated. Accept its terms at {where}/{reference.repository}. {sign_in} as the one who accepted"
    elif isinstance(known, errors.RepositoryNotFoundError):
        said = f"there is no such repository, or it is private. Check the name. {sign_in} if it is private"
    elif status in (401, 403):
        said = f"the server refuses (HTTP {status}). {sign_in} with a token that may do this"
    elif status is not None:
        said = f"the server answers HTTP {status}. Try again later, or set HF_ENDPOINT to a mirror"
    elif isinstance(known, OSError) and known.errno in (errno.ENOSPC, errno.EDQUOT):
        said = f"no space is left in {constants.HF_HUB_CACHE}. Make room, or set HF_HOME to another disk"
    elif isinstance(known, OSError) and known.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        said = f"{known.filename or constants.HF_HUB_CACHE} cannot be written. Set HF_HOME to a folder that can"
    else:
        text = str(known).strip().splitlines()
        said = f"{type(known).__name__}{': ' + text[0][:200] if text else ''}. Check the connection to {where}"
        if attempt.startswith("fetch"):
            said += ", set HF_ENDPOINT to a mirror, or put the file into the stage's model folder"
    return HubError(f"Cannot {attempt} {reference}: {said}.")
