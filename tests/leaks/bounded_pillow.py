"""Pillow: images are made, scaled and encoded.
"""
# python: 3.11
# bounded: pillow==11.0.0
import io

from PIL import Image

REQUESTS = 600


def request():
    image = Image.effect_noise((120, 80), 50).convert("RGB")
    image.thumbnail((40, 40))
    for form in ("PNG", "JPEG", "GIF"):
        written = io.BytesIO()
        image.save(written, form)
        Image.open(io.BytesIO(written.getvalue())).load()


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
