"""Runs commands of the package in forks of one process that has imported TensorFlow already.

A fork saves the seconds that the imports take. It is made before TensorFlow has started anything:
imports start no thread and no device. Started by `faults.tiny_runs`; speaks JSON lines over a Unix
socket, one connection per command.
"""

import ctypes
import json
import os
import signal
import socket
import sys
import traceback

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve(path, library):
    """Answers until stdin ends; returns only in a fork, with what it has to run."""
    import matplotlib.pyplot
    import tensorflow
    import tensorflow_probability

    import vae_lowlevel.experiment.training
    import vae_lowlevel.serving.predictor

    del matplotlib, tensorflow, tensorflow_probability, vae_lowlevel
    if len(os.listdir("/proc/self/task")) != 1:
        raise RuntimeError("the imports started threads, which a fork would lose")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    parent = os.getppid()
    server.settimeout(1)
    while True:
        try:
            connection, _ = server.accept()
        except TimeoutError:
            if os.getppid() != parent:
                os._exit(0)
            continue
        connection.settimeout(None)
        if os.fork() == 0:
            server.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            task = attend(connection)
            return task, library
        connection.close()


def attend(connection):
    """Forks the command and reports its stops and its end; returns the task in that fork."""
    lines = connection.makefile("rw")
    task = json.loads(lines.readline())
    child = os.fork()
    if child == 0:
        lines.close()
        connection.close()
        return task

    def say(**content):
        lines.write(json.dumps(content) + "\n")
        lines.flush()

    try:
        say(pid=child)
        while True:
            _, status = os.waitpid(child, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                say(code=os.waitstatus_to_exitcode(status))
                break
            say(stopped=True)
            lines.readline()
            os.kill(child, signal.SIGCONT)
    except (BrokenPipeError, ConnectionResetError):
        os.kill(child, signal.SIGKILL)
    os._exit(0)


def run(task, library):
    """Runs one command as `python -m vae_lowlevel.<program>` would; returns its exit code."""
    for number in HANDLED:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for descriptor, name in ((1, "out"), (2, "err")):
        file = os.open(task[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, descriptor)
        os.close(file)
    os.chdir(task["cwd"])
    os.environ.update(task["environment"])
    if not task["replay"]:
        do_not_replay()
    if task["fault"]:
        fault = task["fault"]
        ctypes.CDLL(library).arm(
            "\n".join(fault["folders"]).encode(),
            fault["action"],
            ctypes.c_long(fault["at"]),
            fault["number"],
            fault["log"].encode(),
        )
    return program(task["program"], task["flags"])


def program(name, flags):
    """Does what the `__main__` part of a program does."""
    import importlib

    from vae_lowlevel import cli

    module = importlib.import_module(f"vae_lowlevel.{name}")
    options = {"train": "Config", "evaluate": "EvaluateOptions", "export": "ExportOptions"}
    options["inference"] = "InferenceOptions"
    return cli.main(module.__doc__, getattr(module, options[name]), module.run, flags)


def do_not_replay():
    """The process that replays an export imports TensorFlow once more, for seconds."""
    import contextlib

    from vae_lowlevel.serving import version_folder

    version_folder._start_replay = contextlib.nullcontext
    version_folder._example_requests = lambda *_: []
    version_folder._finish_replay = lambda *_: None


if __name__ == "__main__":
    TASK, LIBRARY = serve(*sys.argv[1:])
    try:
        CODE = run(TASK, LIBRARY)
    except KeyboardInterrupt:
        traceback.print_exc()
        sys.stderr.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    sys.exit(CODE)
