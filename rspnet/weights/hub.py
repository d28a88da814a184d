"""An exported folder is pushed to the Hugging Face Hub, in one commit: all of it is there, or nothing."""

import re
import sys
from http import HTTPStatus
from pathlib import Path

from rspnet.errors import ConfigError, HubError

_LONGEST = 96  # letters, as the Hub has it
_PART = re.compile(r"[A-Za-z0-9_](?:[\w.-]{0,94}[A-Za-z0-9_])?", re.ASCII)


def check_repo(repo: str) -> None:
    """See that a name is one that the Hub could have.

    Raises:
        ConfigError: It is none.
    """
    parts = repo.split("/")
    strange = [part for part in parts if not _PART.fullmatch(part) or part.endswith(".git")]
    if len(parts) != 2 or strange or ".." in repo or "--" in repo or len(repo) > _LONGEST:
        raise ConfigError(f"push: {repo!r} is no name on the Hub; give ORG/NAME, of letters, digits, `-`, `_` and `.`")


def push(folder: Path, repo: str) -> str:
    """Push all files of a folder, and return where they are.

    A repository of that name is made unless it is there. huggingface_hub says which Hub it is (HF_ENDPOINT) and who
    pushes (`hf auth login`, or HF_TOKEN).

    Args:
        folder: What is pushed.
        repo: ORG/NAME.

    Raises:
        HubError: The Hub cannot be reached, or refuses.
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
    except Exception as error:  # of the network's libraries, which raise all sorts
        raise HubError(
            f"{repo}: was not pushed ({_line(error)}); {folder} is complete: see that the Hub can be reached and that "
            "you may write there (`hf auth login`), then give the same command again"
        ) from error
    return str(done.commit_url)


def _line(error: BaseException) -> str:
    """Say what was behind it, in a line."""
    from huggingface_hub.errors import HfHubHTTPError

    while error.__cause__ is not None and not isinstance(error, HfHubHTTPError):
        error = error.__cause__
    if isinstance(error, HfHubHTTPError):
        status = HTTPStatus(error.response.status_code)
        said = f"the Hub answers {status.value}, {error.server_message or status.phrase}"
    else:
        said = str(error) or type(error).__name__
    return " ".join(said.split())[:300]
