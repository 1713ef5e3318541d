import struct

import pytest

from appliance.format import HEADER_BYTES, VectorShape, read_header


def test_the_header_is_what_the_documentation_says() -> None:
    head = VectorShape(rows=31_807, dimension=1024).header()
    assert len(head) == HEADER_BYTES == 64
    assert struct.unpack("<8sIII4xQ32x", head) == (b"CRADLEVF", 3, 1, 1024, 31_807)
    assert read_header(head) == VectorShape(31_807, 1024)


@pytest.mark.parametrize(
    "head",
    [b"", b"CRADLEVF", bytes(64), VectorShape(1, 1).header().replace(b"VF\x03", b"VF\x04")],
    ids=["nothing", "cut off", "another file", "a newer version"],
)
def test_another_file_is_refused(head: bytes) -> None:
    with pytest.raises(ValueError, match="vector file"):
        read_header(head)
