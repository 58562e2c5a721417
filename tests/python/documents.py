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
        struct = re.search(r"typedef struct DmfArray \{(.*?)\} DmfArray;", declared, re.S)[1]
        struct = re.sub(r"/\*.*?\*/", "", struct, flags=re.S)
        self.assertEqual(members, re.findall(r"(\w+)(?:\[\w+\])?;", struct))


if __name__ == "__main__":
    main()
