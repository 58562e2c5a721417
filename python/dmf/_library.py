# SPDX-License-Identifier: GPL-3.0-or-later
"""libdmf as ctypes sees it: the structures and functions of dmf.h."""
import ctypes
import os
from ctypes import CFUNCTYPE, POINTER, c_bool, c_char_p, c_double, c_int, c_size_t, c_ulonglong, c_void_p

MAX_RANK = 8
OK, SCRIPT, USAGE, NUMERICS, ASSERT, FILE, LIMIT, INTERRUPTED, INCOMPLETE = 0, 1, 2, 3, 4, 5, 6, 130, -1
NUMBERS, TEXT, LIST, LAYERS, RESULT, OTHER = range(6)


class Diagnostic(ctypes.Structure):
    _fields_ = [("severity", c_char_p), ("message", c_char_p), ("hint", c_char_p), ("file", c_char_p),
                ("line", c_int), ("column", c_int), ("end_line", c_int), ("end_column", c_int),
                ("text", c_char_p)]


class Array(ctypes.Structure):
    _fields_ = [("rank", c_int), ("shape", c_size_t * MAX_RANK), ("size", c_size_t),
                ("data", POINTER(c_double)), ("owner", c_void_p)]


class Call(ctypes.Structure):
    _fields_ = [("usage", c_char_p), ("about", c_char_p), ("parameter", c_int)]


class Axis(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("at", Array)]


class Value(ctypes.Structure):
    _fields_ = [("kind", c_int), ("truth", c_bool), ("numbers", Array), ("error", Array),
                ("axes", Axis * MAX_RANK), ("length", c_int), ("text", c_char_p), ("owner", c_void_p)]


Diagnose = CFUNCTYPE(None, c_void_p, POINTER(Diagnostic))
Progress = CFUNCTYPE(None, c_void_p, c_char_p, c_int, c_int)
Print = CFUNCTYPE(None, c_void_p, POINTER(ctypes.c_char), c_size_t)
Show = CFUNCTYPE(None, c_void_p, c_char_p, POINTER(Value))
Wrote = CFUNCTYPE(None, c_void_p, c_char_p)


class Config(ctypes.Structure):
    _fields_ = [("results", c_void_p), ("diagnostics", c_void_p), ("color", c_bool),
                ("diagnose", Diagnose), ("sink", c_void_p), ("progress", Progress), ("print", Print),
                ("show", Show), ("wrote", Wrote), ("pictures", c_char_p), ("json", c_bool),
                ("quiet", c_bool), ("interactive", c_bool), ("partial", c_bool), ("learns", c_bool),
                ("threads", c_int), ("out", c_char_p), ("has_seed", c_bool), ("seed", c_ulonglong), ("crew", c_void_p),
                ("work", c_void_p)]


# name: what it gives, what it takes; texts that are to be freed are pointers here
_functions = {
    "dmf_version": (c_char_p, []),
    "dmf_limit_memory": (None, [c_double]),
    "dmf_open": (c_void_p, [POINTER(Config)]),
    "dmf_close": (None, [c_void_p]),
    "dmf_config": (POINTER(Config), [c_void_p]),
    "dmf_set": (c_int, [c_void_p, c_char_p]),
    "dmf_run_file": (c_int, [c_void_p, c_char_p]),
    "dmf_run_text": (c_int, [c_void_p, c_char_p, c_char_p, c_size_t]),
    "dmf_check_text": (c_int, [c_void_p, c_char_p, c_char_p, c_size_t]),
    "dmf_unfinished": (c_bool, [c_void_p, c_char_p]),
    "dmf_put": (c_int, [c_void_p, c_char_p, c_int, POINTER(c_size_t), POINTER(c_double)]),
    "dmf_put_value": (c_int, [c_void_p, c_char_p, POINTER(Value)]),
    "dmf_put_text": (c_int, [c_void_p, c_char_p, c_char_p]),
    "dmf_value": (c_int, [c_void_p, c_char_p, POINTER(Value), POINTER(Value)]),
    "dmf_value_free": (None, [POINTER(Value)]),
    "dmf_value_text": (c_void_p, [c_void_p, POINTER(Value), c_int]),
    "dmf_value_html": (c_void_p, [c_void_p, POINTER(Value)]),
    "dmf_value_field": (c_char_p, [c_void_p, POINTER(Value), c_int]),
    "dmf_value_draw": (c_int, [c_void_p, POINTER(Value), c_char_p, c_char_p]),
    "dmf_interrupt": (None, [c_void_p]),
    "dmf_complete": (c_char_p, [c_void_p, c_char_p, c_size_t, c_int]),
    "dmf_complete_about": (c_char_p, [c_void_p, c_int]),
    "dmf_call": (c_bool, [c_void_p, c_char_p, c_size_t, POINTER(Call)]),
    "dmf_word": (c_size_t, [c_void_p, c_char_p, c_size_t]),
    "dmf_who": (c_void_p, [c_void_p]),
    "dmf_help": (c_void_p, [c_void_p, c_char_p]),
}


def _load():
    """The library that DMF_LIBRARY names, else the one installed along with this package, else what
    the system finds."""
    try:
        from ._place import library as installed
    except ImportError:
        installed = None
    name = os.environ.get("DMF_LIBRARY")
    if not name:
        name = installed if installed and os.path.exists(installed) else "libdmf.so.0"
    library = ctypes.CDLL(name)
    for function, (gives, takes) in _functions.items():
        entry = getattr(library, function)
        entry.restype, entry.argtypes = gives, takes
    return library


lib = _load()
_free = ctypes.CDLL(None).free
_free.restype, _free.argtypes = None, [c_void_p]


def take_text(pointer):
    """The text at a pointer, which is freed; None for a null pointer."""
    if not pointer:
        return None
    text = ctypes.string_at(pointer).decode(errors="replace")
    _free(pointer)
    return text
