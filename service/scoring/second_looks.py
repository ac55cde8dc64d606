"""Images that need an exact score after their quick one, gathered into full batches."""

from service.scoring.rescan_image import RescanImage

MAX_WINDOWS_LATE = 8  # windows after which images no longer wait for a full batch


class SecondLooks:
    """The images of one rescan that wait for an exact score."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._waiting: list[RescanImage] = []
        self._num_windows = 0  # since the oldest of them came, with the window that it came in

    def add_window(self, images: list[RescanImage]) -> None:
        """Add the unsure images of one window, which may be none."""
        self._waiting += images
        self._num_windows = self._num_windows + 1 if self._waiting else 0

    def take_due(self, *, at_end: bool) -> list[list[RescanImage]]:
        """Remove and return full batches, and the rest of the images if they must wait no more."""
        due = []
        while len(self._waiting) >= self._batch_size:
            due.append(self._take(self._batch_size))
        if self._waiting and (at_end or self._num_windows >= MAX_WINDOWS_LATE):
            due.append(self._take(len(self._waiting)))
        return due

    def _take(self, num_images: int) -> list[RescanImage]:
        taken, self._waiting = self._waiting[:num_images], self._waiting[num_images:]
        self._num_windows = 1 if self._waiting else 0  # the rest is all of the last window
        return taken
