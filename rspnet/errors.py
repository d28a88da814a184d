"""What rspnet raises for a user's mistake: each message names the thing, where it is, and what to do."""


class RSPNetError(ValueError):
    """A mistake that the user can mend; the stages print its one line and exit with its status."""

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
    """A folder that is not where it was any more while it is written to; the message starts with its name."""

    exit_status = 1

    @classmethod
    def of(cls, folder: object) -> "LostError":
        """What is said of a folder."""
        words = "was removed or renamed while this wrote to it; give it back its name, or begin anew"
        return cls(f"{folder}: {words}, with the same command")


class MachineError(RSPNetError):
    """A machine that may open no more files, lacks memory or computes something else than the others of its run.

    Of the first two the message starts with the file's path.
    """

    exit_status = 1


class WorkerError(RSPNetError):
    """Processes that read videos are killed or crash again and again; the message says over what, and what to do."""

    exit_status = 1


class HubError(RSPNetError):
    """The Hub does not take what is pushed; the message starts with its name there."""

    exit_status = 1
