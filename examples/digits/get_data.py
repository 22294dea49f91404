"""Write scikit-learn's 1,797 handwritten digits (8 x 8 pixels, grey) as PNG files, a folder for each digit.

``python examples/digits/get_data.py`` fills ``examples/digits/data``:
``3/0003.png`` is the image at position 3, of a 3.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

TARGET = Path(__file__).parent / "data"


def main(target: Path) -> None:
    """Write the images; their values 0 to 16 become 0 to 255."""
    digits = load_digits()
    pixels = np.round(digits.images * 255 / 16).astype(np.uint8)
    for position, (image, digit) in enumerate(zip(pixels, digits.target, strict=True)):
        file = target / str(digit) / f"{position:04}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    print(f"{len(pixels):,} images -> {target}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else TARGET)
