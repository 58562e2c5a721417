# SPDX-License-Identifier: GPL-3.0-or-later
"""The blocks of the documents for Python, in one program each, and what those for Julia say of dmf.h."""
import contextlib
import io
import os
import re
import unittest

from counted import main

srcdir = os.environ["srcdir"]


def blocks(name, language):
    with open(os.path.join(srcdir, "doc", name), encoding="utf-8") as file:
        return "".join(re.findall(rf"^```{language}\n(.*?)^```$", file.read(), re.M | re.S))


def header():
    with open(os.path.join(srcdir, "src", "dmf.h"), encoding="utf-8") as file:
        return file.read()


def members_of(struct):
    """The members of a structure of dmf.h, in order."""
    body = re.search(rf"struct {struct} \{{(.*?)\n\}}", header(), re.S)[1]
    names = []
    for declaration in re.sub(r"/\*.*?\*/", "", body, flags=re.S).split(";"):
        called = re.search(r"\(\*(\w+)\)\(", declaration)
        names += [called[1]] if called else re.findall(r"(\w+)(?:\[\w+\])?\s*(?=,|$)", declaration)
    return names


class Structures(unittest.TestCase):
    def test_members(self):
        from dmf import _library

        for name in ("Diagnostic", "Array", "Axis", "Value", "Config", "Call"):
            fields = [field for field, _ in getattr(_library, name)._fields_]
            self.assertEqual(fields, members_of("Dmf" + name), name)


class Manual(unittest.TestCase):
    def test_members(self):
        """dmf(3) has every function of dmf.h and every member of its structures."""
        with open(os.path.join(srcdir, "man", "dmf.3"), encoding="utf-8") as file:
            page = file.read()
        explained = set()
        for line in re.findall(r"^\.It Fa (.*)$", page, re.M):
            explained.update(re.findall(r"\w+", line))
        for struct in re.findall(r"struct (Dmf\w+) \{", header()):
            self.assertEqual([name for name in members_of(struct) if name not in explained], [], struct)
        for function in set(re.findall(r"\b(dmf_\w+)\(", header())):
            self.assertRegex(page, rf"Fn {function}\b")


class Documents(unittest.TestCase):
    def test_python(self):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(blocks("python.md", "python"), "python.md", "exec"), {"__name__": "document"})
        self.assertRegex(out.getvalue(), r"^0\.05\d+ ± 0\.\d+\n")
        self.assertIn("1 14 did you mean 'loss'?", out.getvalue())

    def test_julia(self):
        text, declared = blocks("julia.md", "julia"), header()
        for function in re.findall(r":(dmf_\w+), libdmf", text):
            self.assertIn(f"{function}(", declared)
        members = re.findall(r"^    (\w+)::", text, re.M)
        self.assertEqual(members, members_of("DmfArray"))

    def test_calls_of_julia(self):
        """Every ccall has the result and the arguments that dmf.h declares, up to the names of their types."""
        types = {"Cvoid": "void", "Cint": "int", "Csize_t": "size_t", "Cstring": "char*", "Ptr{Cvoid}": "void*",
                 "Ptr{Csize_t}": "size_t*", "Ptr{Cdouble}": "double*", "Ref{DmfArray}": "DmfArray*"}
        handles = {"Dmf*": "void*", "DmfConfig*": "void*"}
        calls = re.findall(r"ccall\(\(:(\w+), libdmf\),\s*(\S+),\s*\((.*?)\),\s*\w", blocks("julia.md", "julia"), re.S)
        self.assertEqual(len(calls), blocks("julia.md", "julia").count("ccall("))
        for function, result, arguments in calls:
            shown = [types[result]] + [types[a.strip()] for a in arguments.split(",") if a.strip()]
            found = re.search(rf"^(\w[\w ]*?\**)\s*\b{function}\(([^;]*?)\);", header(), re.M | re.S)
            declared = [found[1]] + [re.sub(r"\w+$", "", a.strip()) for a in found[2].split(",")]
            declared = [re.sub(r"\bconst\b|\s", "", d) for d in declared]
            self.assertEqual([handles.get(d, d) for d in declared], shown, function)

    def test_session_of_julia(self):
        """The session of the page by the same calls, numbers row major as its functions turn them."""
        import ctypes as c

        class Array(c.Structure):
            _fields_ = [("rank", c.c_int), ("shape", c.c_size_t * 8), ("size", c.c_size_t), ("data", c.POINTER(c.c_double)),
                        ("owner", c.c_void_p)]

        lib = c.CDLL(os.environ["DMF_LIBRARY"])
        lib.dmf_open.restype = c.c_void_p
        s, points = c.c_void_p(lib.dmf_open(None)), (c.c_double * 8)(1, 1, 1, -1, 1, -1, 1, 1)
        self.assertEqual(lib.dmf_put(s, b"points", 2, (c.c_size_t * 2)(2, 4), points), 0)
        text = re.search(r'run\(s, """(.*?)"""', blocks("julia.md", "julia"), re.S)[1].encode()
        self.assertEqual(lib.dmf_run_text(s, b"julia", text, c.c_size_t(len(text))), 0)
        for expression in (b"theory.loss", b"theory.stderr.loss"):
            a = Array()
            self.assertEqual(lib.dmf_get(s, expression, c.byref(a)), 0)
            self.assertEqual((a.rank, a.shape[0], a.size), (1, 21, 21))
            self.assertLess(a.data[20], 0.06)
            lib.dmf_array_free(c.byref(a))
        lib.dmf_close(s)


if __name__ == "__main__":
    main()
