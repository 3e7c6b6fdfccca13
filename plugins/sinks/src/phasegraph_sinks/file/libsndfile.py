"""libsndfile, loaded at first use (its import costs 120 ms), and its errors in words."""

from __future__ import annotations

import errno
import importlib
import os
from typing import Any

from phasegraph import NodeError


def soundfile() -> Any:
    """The ``soundfile`` module.

    Raises NodeError, with what to install, where libsndfile is missing (its wheels bring it on common platforms).
    """
    try:
        return importlib.import_module("soundfile")
    except OSError as error:
        raise NodeError(
            f"libsndfile, which reads and writes audio files, cannot be loaded: {error}",
            "install it with the system's packages: libsndfile1 on Debian and Ubuntu, libsndfile elsewhere",
        ) from error


def reason(error: Exception, file: Any = None) -> str:
    """Why a call failed, in words, without libsndfile's prefixes.

    ``file``: the open ``SoundFile`` that failed. It knows the cause, where the module says "System error".
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if file is not None:
        module = soundfile()
        try:
            text = module._ffi.string(module._snd.sf_strerror(file._file)).decode("utf-8", "replace")
            return str(text).removeprefix("System error").strip(" :.")
        except (AttributeError, TypeError):
            pass
    text = str(getattr(error, "error_string", "") or error) or type(error).__name__
    return text.strip().rstrip(".")


def error_number(error: Exception, words: str) -> int | None:
    """The system's number of an error: its own, or the one whose text libsndfile passed on in ``words``."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    return next((number for number in errno.errorcode if os.strerror(number) == words), None)


def set_flag(file: Any, command: int, on: bool = True) -> bool:
    """Set a switch of an open ``SoundFile`` that the module has no name for.

    Returns whether libsndfile accepted it; False too where the module's private handles have other names.
    """
    module = soundfile()
    try:
        return bool(module._snd.sf_command(file._file, command, module._ffi.NULL, int(on)))
    except (AttributeError, TypeError):
        return False


def set_struct(file: Any, command: int, content: bytes) -> bool:
    """As `set_flag`, for a command that takes a struct."""
    module = soundfile()
    try:
        return bool(module._snd.sf_command(file._file, command, module._ffi.from_buffer(content), len(content)))
    except (AttributeError, TypeError):
        return False


def read_forward(file: Any, out: Any) -> int:
    """Read frames of an open ``SoundFile`` into ``out`` (int32 or float32, C-contiguous); returns their number.

    For files whose header has no length: after every read the module seeks to its position, which fails at the end
    of such a file and loses the frames. Raises RuntimeError where the file is damaged.
    """
    module = soundfile()
    try:
        ctype, function = {"i": ("int*", "sf_readf_int"), "f": ("float*", "sf_readf_float")}[out.dtype.kind]
        read = getattr(module._snd, function)
        got = int(read(file._file, module._ffi.cast(ctype, out.ctypes.data), len(out)))
        failed = bool(file._errorcode)
    except (AttributeError, TypeError):
        return len(file.read(out=out))
    if failed and not got:
        raise RuntimeError("the data is damaged")
    return got
