"""The columns that follow from the boxes of objects, by hand."""

import numpy as np
import pandas as pd

from assignbench.measure.objects import described


def test_two_images_by_hand() -> None:
    boxes = np.array([[0, 0, 10, 30], [0, 0, 10, 10], [5, 5, 9, 6], [0, 0, 10, 20]], np.float32)
    objects = pd.DataFrame(
        {"image_id": [7, 3, 7, 7], **{n: boxes[:, i] for i, n in enumerate(("x1", "y1", "x2", "y2"))}}
    )
    found = described(objects)
    assert found.aspect_ratio.tolist() == [3, 1, 4, 2] and found.aspect_ratio.dtype == np.float32
    np.testing.assert_allclose(found.crowdedness, [2 / 3, 0, 4 / 200, 2 / 3])
    np.testing.assert_allclose(found.image_crowdedness, [2 / 3, 0, 2 / 3, 2 / 3])
    assert found.objects_in_image.tolist() == [3, 1, 3, 3]
    assert "crowdedness" not in objects
