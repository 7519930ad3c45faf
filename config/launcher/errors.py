"""What stops a start, as a sentence for the person at the terminal."""


class LaunchError(Exception):
    """Stepwell cannot start; the text says why and what to do, and is all that is shown."""
