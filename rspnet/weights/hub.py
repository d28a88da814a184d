"""Push an exported folder to the Hugging Face Hub in one commit, so that all of it arrives, or nothing."""

import re
import sys
from http.client import responses
from pathlib import Path

from rspnet.errors import ConfigError, HubError

_LONGEST = 96  # characters, the Hub's limit
_PART = re.compile(r"[A-Za-z0-9_](?:[\w.-]{0,94}[A-Za-z0-9_])?", re.ASCII)


def check_repo(repo: str) -> None:
    """Check that a repository's name is valid on the Hub.

    Raises:
        ConfigError: If it is not.
    """
    parts = repo.split("/")
    strange = [part for part in parts if not _PART.fullmatch(part) or part.endswith(".git")]
    if len(parts) != 2 or strange or ".." in repo or "--" in repo or len(repo) > _LONGEST:
        raise ConfigError(f"push: {repo!r} is no name on the Hub; give ORG/NAME, of letters, digits, `-`, `_` and `.`")


def push(folder: Path, repo: str) -> str:
    """Push all files of a folder, and return the URL of the commit.

    The repository is created if it does not exist. huggingface_hub determines the Hub (HF_ENDPOINT) and the account
    (`hf auth login`, or HF_TOKEN).

    Args:
        folder: The exported folder.
        repo: ORG/NAME.

    Raises:
        HubError: If the Hub cannot be reached, or refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.utils import disable_progress_bars

    files = sorted(path for path in folder.iterdir() if path.is_file())
    operations = [CommitOperationAdd(path_in_repo=path.name, path_or_fileobj=path) for path in files]
    try:
        if not sys.stderr.isatty():
            disable_progress_bars()
        api = HfApi(library_name="rspnet")
        api.create_repo(repo, exist_ok=True)
        done = api.create_commit(repo, operations, commit_message="Export of rspnet")
    except Exception as error:  # the network libraries raise errors of many types
        raise HubError(
            f"{repo}: was not pushed ({_line(error)}); {folder} is complete: make sure that the Hub can be reached and "
            "that you may write there (`hf auth login`), then give the same command again"
        ) from error
    return str(done.commit_url)


def _line(error: BaseException) -> str:
    """Return the cause of an error in one line."""
    from huggingface_hub.errors import HfHubHTTPError

    while error.__cause__ is not None and not isinstance(error, HfHubHTTPError):
        error = error.__cause__
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code  # a proxy's need not be a standard one, such as 520
        said = f"the Hub answers {status}, {error.server_message or responses.get(status, 'without a reason')}"
    else:
        said = str(error) or type(error).__name__
    return " ".join(said.split())[:300]
