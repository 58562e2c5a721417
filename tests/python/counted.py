# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the tests of a module; the last line is "N passed, M failed"."""
import sys
import unittest


def main():
    tests = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    result = unittest.TextTestRunner(verbosity=0).run(tests)
    bad = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - bad} passed, {bad} failed")
