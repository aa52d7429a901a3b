import glob
import pathlib
import subprocess
import sys

import vae_lowlevel

ROOT = pathlib.Path(vae_lowlevel.__file__).parents[1]
NOISE = [
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1795171292.733843    4213 port.cc:153] oneDNN custom operations are on.",
    "I0807 11:22:33.444444   4213 service.cc:161]   StreamExecutor [0]: Host, Default Version",
    "2026-08-07 11:22:33.444444: I tensorflow/core/platform/cpu_feature_guard.cc:210] optimized",
    "To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow",
    "E0000 00:00:1795171294.9 4213 cuda_dnn.cc:8579] Unable to register cuDNN factory: twice",
    "E0000 00:00:1795893312.832119 2754 util.cc:131] oneDNN supports DT_INT32 only on platforms "
    "with AVX-512. Falling back to the default Eigen-based implementation if present.",
]
NEWS = [
    "E0807 11:22:33.444444   4213 collective.cc:1] the peer has gone",
    "W0807 11:22:33.444444   4213 allocator.cc:501] Allocation exceeds 10% of free system memory.",
    "F0807 11:22:33.444444   4213 tensor.cc:1] Check failed: dtype() == expected",
    "2026-08-07 11:22:33.444444: W tensorflow/core/framework/op_kernel.cc:1842] OOM",
    "I am ordinary text: grüße",
    "Image I0807 is broken",
    "",
    "  indented",
]
# News only where there is a device that should have started.
CUDA_FAILURE = (
    "E0000 00:00:1795171294.931943    4213 cuda_platform.cc:52] failed call to cuInit: INTERNAL: "
    "CUDA error: Failed call to cuInit: UNKNOWN ERROR (303)"
)
(NEWS if glob.glob("/dev/nvidia*") else NOISE).append(CUDA_FAILURE)
WRITER = """
import faulthandler, os, sys
from vae_lowlevel import quiet_tensorflow
quiet_tensorflow()
quiet_tensorflow()
os.write(2, sys.argv[1].encode())
print("from sys.stderr", file=sys.stderr)
os.write(2, b"no newline at the end")
if sys.argv[2] == "abort":
    os.write(2, b"\\n")
    faulthandler.enable(file=2)
    os.abort()
if sys.argv[2] == "raise":
    raise RuntimeError("a traceback")
"""


def write_to_descriptor_2(lines, end):
    text = "".join(line + "\n" for line in lines)
    return subprocess.run(
        [sys.executable, "-c", WRITER, text, end], cwd=ROOT, capture_output=True, encoding="utf-8"
    )


def test_filter_drops_start_up_lines_and_passes_everything_else_in_order():
    mixed = [line for pair in zip(NEWS, [*NOISE, *NOISE], strict=False) for line in pair]
    done = write_to_descriptor_2([*mixed, *NOISE], "return")
    assert done.returncode == 0
    assert done.stdout == ""
    # sys.stderr is not filtered and so may overtake what is.
    lines = done.stderr.replace("from sys.stderr\n", "").split("\n")
    assert lines == [*NEWS, "no newline at the end"]
    assert "from sys.stderr\n" in done.stderr


def test_last_words_of_an_abort_get_through_the_filter():
    done = write_to_descriptor_2([NOISE[1], NEWS[2]], "abort")
    assert done.returncode < 0
    lines = done.stderr.splitlines()
    assert NOISE[1] not in lines
    assert NEWS[2] in lines
    # Written by the signal handler, in C, straight to the descriptor.
    assert "Fatal Python error: Aborted" in done.stderr


def test_tracebacks_get_past_the_filter():
    done = write_to_descriptor_2([], "raise")
    assert done.returncode == 1
    assert "Traceback (most recent call last):" in done.stderr
    assert "RuntimeError: a traceback" in done.stderr


OTHER_STREAM = """
import io, logging, os, sys
from vae_lowlevel import quiet_tensorflow
sys.stderr = cell = io.StringIO()
quiet_tensorflow()
assert sys.stderr is cell
logging.basicConfig(level=logging.INFO, stream=cell, format="%(message)s")
# TensorFlow does so at the first use of its logger, in a notebook.
logging.getLogger("tensorflow").setLevel(logging.INFO)
for name in ("tensorflow", "other"):
    logging.getLogger(name).info(f"{name} informs")
    logging.getLogger(name).warning(f"{name} warns")
assert cell.getvalue() == "tensorflow warns\\nother informs\\nother warns\\n"
os.write(2, sys.argv[1].encode())
"""


def test_in_a_notebook_the_stream_stays_and_tensorflow_logs_warnings():
    """The stream of a notebook's cell is not descriptor 2."""
    done = subprocess.run(
        [sys.executable, "-c", OTHER_STREAM, f"{NOISE[1]}\n{NEWS[2]}\n"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
    )
    assert (done.returncode, done.stderr) == (0, f"{NEWS[2]}\n")


def test_an_import_leaves_descriptor_2_alone():
    code = "import os, vae_lowlevel, vae_lowlevel.cli; os.write(2, b'I0807 11:22:33.4 1 a.cc:1]')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert done.stderr == b"I0807 11:22:33.4 1 a.cc:1]"
