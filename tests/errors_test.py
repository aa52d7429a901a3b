import pytest

from vae_lowlevel.errors import first_line

TRACED = """Graph execution error:

Detected at node Assert_1/Assert defined at (most recent call last):
  File "/home/me/a.py", line 9, in <module>

  File "/home/me/b.py", line 1, in __call__

"""
LOADED = """Graph execution error:

Detected at node Assert_1/Assert defined at (most recent call last):
<stack traces unavailable>
"""
NODE = "\n\t [[{{node Assert_1/Assert}}]] [Op:__inference_decode_951]"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[Errno 28] No space left: 'a/b'", "[Errno 28] No space left: 'a/b'"),
        ("two\nlines", "two"),
        ("", "ValueError"),
        (f"{TRACED}assertion failed: [decode: z, got] [1]{NODE}", "[decode: z, got] [1]"),
        (f"{LOADED}Invalid PNG data{NODE}", "Invalid PNG data"),
        ("{{function_node __wrapped__A}} a/b: not found [Op:RestoreV2]", "a/b: not found"),
        (
            "2 root error(s) found.\n  (0) INVALID_ARGUMENT: assertion failed: [one]\n\t [[x]]\n"
            "  (1) INVALID_ARGUMENT: assertion failed: [two]\n\t [[y]]",
            "[two]",
        ),
    ],
)
def test_the_first_line_is_the_message(text, wanted):
    assert first_line(ValueError(text)) == wanted
