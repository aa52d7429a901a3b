"""Runs commands of the package in forks of one process that has imported TensorFlow already.

A fork saves the seconds that the imports take, and those in which AutoGraph translates Python
functions, most of the time of a tiny run. It is made before TensorFlow has started anything:
imports and translations start no thread and no device. Started by `faults.tiny_runs`; speaks JSON
lines over a Unix socket, one connection per command.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import marshal
import os
import signal
import socket
import sys
import traceback
import types

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve(path, library, lesson):
    """Answers until its parent ends; returns only in a fork, with what it has to run.

    Args:
        path: of the socket.
        library: of `file_operations.c`.
        lesson: a task, as JSON: what it imports and translates is prepared for all forks.
    """
    import matplotlib.pyplot
    import tensorflow
    import tensorflow_probability

    import vae_lowlevel.experiment.training
    import vae_lowlevel.serving.predictor

    del matplotlib, tensorflow, tensorflow_probability, vae_lowlevel
    kept = prepare(*watch(json.loads(lesson)))
    if len(os.listdir("/proc/self/task")) != 1:
        raise RuntimeError("the imports started threads, which a fork would lose")
    gc.freeze()
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
            return attend(connection), library, kept
        connection.close()


def watch(task):
    """Runs a task in a fork; returns the modules and the functions that it used in addition."""
    from tensorflow.python.autograph.impl import api

    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        with os.fdopen(reading, "rb") as file:
            modules, functions = marshal.load(file)
        os.wait()
        return modules, functions
    known, functions = set(sys.modules), []
    translate = api._TRANSPILER.transform_function

    def note(function, context):
        options = context.options.as_tuple()[:3]
        functions.append((function.__code__, function.__module__, options))
        return translate(function, context)

    api._TRANSPILER.transform_function = note
    run(task, "")
    with os.fdopen(writing, "wb") as file:
        marshal.dump((sorted(set(sys.modules) - known), functions), file)
    os._exit(0)


def prepare(modules, functions):
    """Imports modules, and translates functions as AutoGraph will do it when they are traced.

    AutoGraph keeps the translation of a function by its code; equal code is the same to it.

    Returns:
        The functions, which have to be kept.
    """
    from tensorflow.python.autograph.core import converter
    from tensorflow.python.autograph.impl import api

    for name in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    kept = []
    for code, module, options in functions:
        names = sys.modules.get(module)
        if names is None or hasattr(names, "ag_module"):
            continue
        cells = tuple(types.CellType() for _ in code.co_freevars)
        function = types.FunctionType(code, vars(names), code.co_name, None, cells)
        function.__module__ = module
        options = converter.ConversionOptions(*options, optional_features=None)
        with contextlib.suppress(Exception):
            api._TRANSPILER.transform_function(function, converter.ProgramContext(options))
            kept.append(function)
    return kept


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
            _, status, used = os.wait4(child, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                processor_seconds = used.ru_utime + used.ru_stime
                say(code=os.waitstatus_to_exitcode(status), processor_seconds=processor_seconds)
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
    from vae_lowlevel import cli

    module = importlib.import_module(f"vae_lowlevel.{name}")
    options = {"train": "Config", "evaluate": "EvaluateOptions", "export": "ExportOptions"}
    options["inference"] = "InferenceOptions"
    return cli.main(module.__doc__, getattr(module, options[name]), module.run, flags)


def do_not_replay():
    """The process that replays an export imports TensorFlow once more, for seconds."""
    from vae_lowlevel.serving import version_folder

    version_folder.start_replay = contextlib.nullcontext
    version_folder._example_requests = lambda *_: []
    version_folder._finish_replay = lambda *_: None


if __name__ == "__main__":
    TASK, LIBRARY, KEPT = serve(*sys.argv[1:])
    try:
        CODE = run(TASK, LIBRARY)
    except KeyboardInterrupt:
        traceback.print_exc()
        sys.stderr.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except Exception:
        traceback.print_exc()
        CODE = 1
    # Without the end of Python, which would take apart what all forks share.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(CODE)
