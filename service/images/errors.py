"""What can be wrong with an image, or with asking for one."""

from http import HTTPStatus

from service.errors import ServiceError


class ImageNotFound(ServiceError):
    status = HTTPStatus.NOT_FOUND
    slug = "unknown-image"
    title = "Unknown image"

    def __init__(self, image_id: int) -> None:
        super().__init__(f"there is no image {image_id}")


class EmptyFile(ServiceError):
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "empty-file"
    title = "Empty file"

    def __init__(self) -> None:
        super().__init__("the file has no bytes")


class UnreadableImage(ServiceError):
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    slug = "unreadable-image"
    title = "Unreadable image"


class UnsupportedImage(ServiceError):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    slug = "unsupported-image"
    title = "Not an image of a supported format"


class TooManyPixels(ServiceError):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    slug = "too-many-pixels"
    title = "Too many pixels"

    def __init__(self, width: int, height: int, max_pixels: int) -> None:
        super().__init__(
            f"the image has {width} × {height} = {width * height} pixels; "
            f"this service takes up to {max_pixels}"
        )


class SplitConflict(ServiceError):
    status = HTTPStatus.CONFLICT
    slug = "split-conflict"
    title = "Image is in another split"

    def __init__(self, image_id: int, has: str, asked: str) -> None:
        super().__init__(
            f"image {image_id} with the same bytes is in split '{has}' and can't be in "
            f"'{asked}' too: what is trained on must never be measured on"
        )


class ImageIsLabelled(ServiceError):
    status = HTTPStatus.CONFLICT
    slug = "image-is-labelled"
    title = "Image is labelled"

    def __init__(self, image_id: int, split: str) -> None:
        super().__init__(
            f"image {image_id} is in split '{split}', where its boxes say what it holds; "
            "send it to POST /labelled-images again to change them"
        )
