"""Exceptions for problems that the user can mend: each message says what is wrong, where, and what to do."""


class RSPNetError(ValueError):
    """A problem that the user can mend; the stages print its one line and exit with its `exit_status`."""

    exit_status = 2


class ConfigError(RSPNetError):
    """A wrong option, configuration file, data-set root or index."""


class VideoError(RSPNetError):
    """A video file that cannot be read as asked; the message starts with its path."""


class CheckpointError(RSPNetError):
    """A weight file or run folder that cannot be used; the message starts with its path."""


class DiskError(RSPNetError):
    """A disk that is full, read-only or broken; the message starts with what should have been written."""

    exit_status = 1


class LostError(RSPNetError):
    """A folder that was moved or removed while it was being written to; the message starts with its name."""

    exit_status = 1

    @classmethod
    def of(cls, folder: object) -> "LostError":
        """Return the error for a folder."""
        words = "was removed or renamed while this wrote to it; restore its name, or start again"
        return cls(f"{folder}: {words}, with the same command")


class MachineError(RSPNetError):
    """A machine that has too many files open, lacks memory, or computes other values than the others of its run.

    In the first two cases the message starts with the file's path.
    """

    exit_status = 1


class WorkerError(RSPNetError):
    """Processes that read videos are killed or crash again and again; the message starts with a video or an option."""

    exit_status = 1


class HubError(RSPNetError):
    """The Hub does not accept an upload; the message starts with the repository's name there."""

    exit_status = 1
