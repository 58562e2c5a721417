# SPDX-License-Identifier: GPL-3.0-or-later
"""What a session of the Python package does."""
import gc
import os
import signal
import tempfile
import threading
import unittest
import warnings

import numpy
from counted import main

import dmf

PAIR = """dataset pair { inputs = points; targets = [1, -1] }
model net { layers = input -> 2 * dense(tanh) -> readout; gamma = 2; width = 64 }
training descent { dataset = pair; optimizer = gd(0.1); steps = 10 }
"""
# A run that nobody waits for: hours of steps.
ENDLESS = PAIR.replace("steps = 10", "steps = 400") + "theory = dmft(net, descent, samples = 100000)"
POINTS = [[1, 1, 1, -1], [1, -1, 1, 1]]


def solved(**options):
    session = dmf.Session(**{"threads": 2, **options})
    session["points"] = POINTS
    session.run(PAIR + "theory = dmft(net, descent, samples = 200)\nnets = simulate(net, descent, ensemble = 4)")
    return session


class Values(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.session = solved()

    def test_field_with_errors_and_axes(self):
        loss = self.session["theory"].loss
        self.assertIsInstance(loss, numpy.ndarray)
        self.assertEqual(loss.shape, (11,))
        self.assertEqual(loss[0], 0.5)
        self.assertTrue((loss.stderr[1:] > 0).all())
        self.assertEqual(loss.axes[0].name, "t")
        self.assertEqual(list(loss.axes[0].values), list(range(11)))
        self.assertEqual(list(self.session["theory"].stderr.loss), list(loss.stderr))

    def test_parts(self):
        loss = self.session["theory.loss"]
        self.assertEqual(loss[3:5].stderr.tolist(), loss.stderr[3:5].tolist())
        self.assertEqual(loss[3:5].axes[0].values.tolist(), [3, 4])
        self.assertEqual(loss[7].stderr, loss.stderr[7])
        self.assertRegex(repr(loss[7]), r"^0\.\d+ ± 0\.\d+$")
        self.assertIsNone((2 * loss).stderr)
        phi = self.session["theory.Phi[1]"]
        self.assertEqual([axis.name for axis in phi[:, 0].axes], ["t", "s", "b"])

    def test_errors_travel(self):
        difference = self.session["theory.loss - nets.loss"]
        both = self.session["theory"].loss.stderr, self.session["nets"].loss.stderr
        self.assertTrue((difference.stderr[1:] >= numpy.maximum(*both)[1:] * 0.99).all())
        self.assertEqual(difference.axes[0].name, "t")
        self.assertGreater(self.session["mean(theory.loss)"].stderr, 0)

    def test_layers_count_from_one(self):
        phi = self.session["theory"].Phi
        self.assertEqual(len(phi), 2)
        self.assertEqual(phi[2].shape, (11, 2, 11, 2))
        self.assertEqual(sum(1 for _ in phi), 2)
        with self.assertRaises(IndexError):
            phi[0]

    def test_kinds(self):
        s = self.session
        self.assertEqual(s["1 + 1"], 2)
        self.assertIs(s["2 > 1"], True)
        self.assertEqual(s["[1, 2] > 1"].tolist(), [False, True])
        self.assertEqual(s['"a"'], "a")
        self.assertEqual(s['[1, "a"]'], [1, "a"])
        self.assertEqual(s["theory.model"], "net")
        self.assertEqual(s["net"].gamma, 2)
        self.assertIn("gamma            = 2", str(s["net"]))
        self.assertIsInstance(s["theory.loss[5]"], float)

    def test_in_and_out(self):
        s = self.session
        for value in (3.5, numpy.arange(6).reshape(2, 3), numpy.zeros((0, 2)), numpy.float32([1, 2])):
            s["x"] = value
            self.assertEqual(numpy.asarray(s["x"]).tolist(), numpy.asarray(value, dtype=float).tolist())
        s["text"] = 'a "b" \\ π\n'
        self.assertEqual(s["text"], 'a "b" \\ π\n')
        s["again"] = s["theory"]
        self.assertEqual(s["again.loss"].tolist(), s["theory.loss"].tolist())
        with self.assertRaises(ValueError):
            dmf.Session()["theory"] = s["theory"]
        with self.assertRaises(dmf.UsageError):
            s["not a name"] = 1
        self.assertIn("theory", s)
        self.assertNotIn("nobody", s)

    def test_truth_values_stay_so(self):
        self.session["kept"] = numpy.array([True, False, True])
        self.assertEqual(self.session["kept"].dtype, bool)
        self.assertEqual(list(self.session["(1..3)[kept]"]), [1, 3])
        with self.assertRaises(TypeError):
            self.session["z"] = numpy.array([1j])

    def test_a_result_outlives_its_name(self):
        s = dmf.Session()
        s["points"] = POINTS
        s.run(PAIR + "r = dmft(net, descent, samples = 100)")
        result = s["r"]
        s.run("r = 1")
        gc.collect()
        self.assertEqual(result.loss[0], 0.5)
        s.close()
        with self.assertRaises(ValueError):
            result.loss

    def test_fields(self):
        theory = self.session["theory"]
        self.assertIn("loss", dir(theory))
        with self.assertRaises(AttributeError):
            theory.nobody

    def test_card_and_picture(self):
        html = self.session["theory"]._repr_html_()
        self.assertIn("<strong>dmft</strong> of <strong>net</strong>", html)
        self.assertIn("data:image/svg+xml", html)
        self.assertIn("rms z", self.session["compare(theory, nets)"]._repr_html_())
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "loss.svg")
            self.session["theory"].draw(path)
            with open(path) as file:
                self.assertIn("<svg", file.read())

    def test_prompt(self):
        s = self.session
        self.assertEqual(s.complete("print theory.lo"), (13, ["loss"]))
        self.assertEqual(s.complete("é = \\gamma"), (4, ["γ"]))
        self.assertTrue(s.unfinished("x = [1,"))
        self.assertIn("strength of feature learning", s.help("gamma"))
        self.assertIsNone(s.help("nobody"))


class Trouble(unittest.TestCase):
    def raised(self, kind, text):
        with self.assertRaises(kind) as context:
            dmf.Session().run(text)
        return context.exception

    def test_places(self):
        error = self.raised(dmf.ScriptError, "x = 1\n\nprint x + nmae")
        self.assertEqual((error.line, error.column, error.file), (3, 11, "<python>"))
        self.assertEqual(error.status, 1)
        self.assertIn("    3 | print x + nmae\n      |           ^~~~", str(error))

    def test_hint_and_all_errors(self):
        error = self.raised(dmf.ScriptError, "print sqrtt(2)\nprint abss(3)")
        self.assertEqual([m.hint for m in error.messages], ["did you mean 'sqrt'?", "did you mean 'abs'?"])

    def test_kinds(self):
        self.assertEqual(self.raised(dmf.AssertionFailed, "assert 1 > 2").status, 4)
        self.assertEqual(self.raised(dmf.FileError, 'x = csv("nobody.csv")').status, 5)
        self.assertEqual(self.raised(dmf.Error, "x = zeros(100000, 100000, 100000)").status, 6)

    def test_warnings(self):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            dmf.Session().run("x = 2\nx + 1")
        self.assertEqual([w.category for w in caught], [dmf.Warning])
        self.assertIn("this value is not used", str(caught[0].message))


class CallBacks(unittest.TestCase):
    def test_print(self):
        texts = []
        s = dmf.Session(print=texts.append)
        s.run('print 1 + 1\nprint "ä"')
        self.assertEqual("".join(texts), "1 + 1 = 2\nä\n")

    def test_progress(self):
        told = []
        solved(threads=1, progress=lambda *words: told.append(words))  # the first thread tells it
        stages = {stage for stage, _, _ in told}
        self.assertTrue({"dmft", "simulate"} <= stages, stages)
        self.assertIsNone(told[-1][0])

    def test_shown_and_written(self):
        shown, wrote = [], []
        with tempfile.TemporaryDirectory() as directory:
            s = dmf.Session(interactive=True, pictures=directory, out=directory, wrote=wrote.append,
                            show=lambda expression, handle: shown.append((expression, handle)))
            s.run('x = [1, 2, 3]\nx + 1\nplot x\nplot x to "x.txt"\nsave x to "x.csv"')
            self.assertEqual([os.path.basename(path) for path in wrote], ["plot_1.svg", "x.txt", "x.csv"])
            self.assertTrue(all(os.path.exists(path) for path in wrote))
        self.assertEqual(shown[0][0], "x + 1")
        self.assertEqual(shown[0][1].get("it").tolist(), [2, 3, 4])

    def test_a_call_back_may_not_use_its_session(self):
        seen = []

        def use(text):
            try:
                s["x"]
            except RuntimeError as error:
                seen.append(str(error))

        s = dmf.Session(print=use)
        s.run("x = 1\nprint 1")
        self.assertEqual(seen, ["a call-back cannot use its session"])


class Interruption(unittest.TestCase):
    def test_from_another_thread(self):
        s = dmf.Session(progress=lambda stage, done, total: stage and s.interrupt())
        s["points"] = POINTS
        with self.assertRaises(dmf.Interrupted):
            s.run(ENDLESS)
        self.assertEqual(s["1 + 1"], 2)

    def test_by_the_keyboard(self):
        # a process that a shell started in the background ignores the signal
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, before)
        started = threading.Event()
        s = dmf.Session(progress=lambda *_: started.set())
        s["points"] = POINTS

        def press():
            started.wait()
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=press).start()
        with self.assertRaises(KeyboardInterrupt):
            s.run(ENDLESS)
        self.assertEqual(s["1 + 1"], 2)


class Sessions(unittest.TestCase):
    def test_two_at_a_time(self):
        a, b = dmf.Session(), dmf.Session()
        a["x"], b["x"] = 1, 2
        results = []
        threads = [threading.Thread(target=lambda s=s: results.append(s["x + 1"])) for s in (a, b)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(results), [2, 3])

    def test_close(self):
        with dmf.Session() as s:
            s["x"] = 1
        with self.assertRaises(ValueError):
            s["x"]

    def test_seed_and_set(self):
        losses = []
        for seed in (1, 1, 2):
            s = dmf.Session(seed=seed)
            s["points"] = POINTS
            s.set("net.gamma=3")
            s.run(PAIR + "theory = dmft(net, descent, samples = 100)")
            losses.append(s["theory.loss[10]"])
            self.assertEqual(s["net.gamma"], 3)
        self.assertEqual(losses[0], losses[1])
        self.assertNotEqual(losses[0], losses[2])


if __name__ == "__main__":
    main()
