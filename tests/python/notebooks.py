# SPDX-License-Identifier: GPL-3.0-or-later
"""Notebooks without a browser: of dmf, and of Python with cells of dmf. The argument is the directory
of the build."""
import json
import os
import shutil
import sys
import tempfile
import unittest

import nbclient
from counted import main
from nbformat.v4 import new_code_cell, new_notebook

build = sys.argv.pop(1)
PAIR = """dataset pair { inputs = points; targets = [1, -1] }
model net { layers = input -> 2 * dense(tanh) -> readout; gamma = 2; width = 64 }
training descent { dataset = pair; optimizer = gd(0.1); steps = 10 }
theory = dmft(net, descent, samples = 200)"""


def executed(kernel, *cells):
    """The outputs of the cells."""
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, kernel_name=kernel, allow_errors=True, timeout=600).execute()
    return [cell.outputs for cell in notebook.cells]


def text_of(outputs, name="stdout"):
    return "".join(o.text for o in outputs if o.output_type == "stream" and o.name == name)


def answer(client, message):
    """What the kernel replies to a message."""
    while (reply := client.get_shell_msg(timeout=600))["parent_header"].get("msg_id") != message:
        pass
    return reply


class Notebooks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp()
        kernel = os.path.join(cls.directory, "kernels", "dmf")
        os.makedirs(kernel)
        shutil.copy(os.path.join(build, "python", "kernel.json"), kernel)
        os.environ.update(JUPYTER_PATH=cls.directory, IPYTHONDIR=cls.directory, JUPYTER_RUNTIME_DIR=cls.directory)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.directory)

    def test_notebook_of_dmf(self):
        outputs = executed("dmf", "points = [[1, 1, 1, -1], [1, -1, 1, 1]]\n" + PAIR, "theory",
                           "print 1 + 1\ntheory.loss\nprint 2 + 2\nplot theory.loss", "x = 1\nprint theory.los", "?gamma",
                           "theory.loss[10]", "x = 2; assert x == 2", "nobody?")
        self.assertEqual(outputs[0], [])
        card = outputs[1][0].data
        self.assertIn("<strong>dmft</strong>", card["text/html"])
        self.assertIn("data:image/svg+xml", card["text/html"])
        self.assertIn("dmft of net", card["text/plain"])
        first, value, second, picture = outputs[2]
        self.assertEqual((first.text, second.text), ("1 + 1 = 2\n", "2 + 2 = 4\n"))
        self.assertIn("[11] over t, from 0.5 to ", value.data["text/html"])
        self.assertIn("<svg", picture.data["image/svg+xml"])
        error = outputs[3][0]
        self.assertEqual((error.output_type, error.ename), ("error", "ScriptError"))
        self.assertIn("In[4]:2:14: ", error.traceback[0])
        self.assertIn("did you mean 'loss'?", error.traceback[-1])
        self.assertIn("strength of feature learning", text_of(outputs[4]))
        self.assertRegex(outputs[5][0].data["text/plain"], r"^0\.\d+ ± 0\.\d+$")
        self.assertEqual(outputs[6], [])
        self.assertIn("nothing is known about 'nobody'", text_of(outputs[7], "stderr"))

    def test_cells_of_dmf(self):
        outputs = executed("python3", "%load_ext dmf\npoints = [[1, 1, 1, -1], [1, -1, 1, 1]]",
                           "%%dmf -i points -o theory\n" + PAIR + "\ntheory.loss\nplot theory.loss",
                           "theory", "theory.loss.stderr.shape", "%%dmf\nprint theory.los", "%dmf print 2 + 1",
                           "%%dmf -i nobody\nprint 1", "%%dmf\n?gamma", "%dmf help @", "theory.los")
        value, picture = outputs[1]
        self.assertIn("[11] over t", value.data["text/html"])
        self.assertIn("image/svg+xml", picture.data)
        self.assertIn("<strong>dmft</strong>", outputs[2][0].data["text/html"])
        self.assertEqual(outputs[3][0].data["text/plain"], "(11,)")
        error = outputs[4][0]
        self.assertEqual((error.output_type, error.ename), ("error", "ScriptError"))
        self.assertIn("did you mean 'loss'?", "\n".join(error.traceback))
        self.assertNotIn("magic.py", "\n".join(error.traceback))
        self.assertEqual(text_of(outputs[5]), "2 + 1 = 3\n")
        self.assertIn("there is no variable 'nobody'", str(outputs[6]))
        self.assertIn("strength of feature learning", text_of(outputs[7]))
        self.assertIn("matrix product", text_of(outputs[8]))
        self.assertIn("did you mean 'loss'?", outputs[9][0].evalue)

    def test_completion_and_inspection(self):
        from jupyter_client.manager import start_new_kernel

        manager, client = start_new_kernel(kernel_name="dmf")
        try:
            ask = dict(reply=True, timeout=600)
            client.execute_interactive("x = 1\nmodel net { layers = input -> dense(tanh) -> readout }", timeout=600)
            self.assertEqual(client.complete("y = net.gam", 11, **ask)["content"]["matches"], ["gamma"])
            found = client.inspect("print sqrt(2)", 8, **ask)["content"]
            self.assertIn("sqrt(x)", found["data"]["text/plain"])
            found = client.inspect("y = dmft(net, ", 14, **ask)["content"]
            self.assertIn("dmft(model, training = none, samples = 2000", found["data"]["text/plain"])
            self.assertEqual(answer(client, client.is_complete("x = [1,"))["content"]["status"], "incomplete")
            self.assertEqual(answer(client, client.is_complete("x = [1]"))["content"]["status"], "complete")
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)

    def test_interruption(self):
        from jupyter_client.manager import start_new_kernel

        script = "points = [[1, 1, 1, -1], [1, -1, 1, 1]]\n" + PAIR
        endless = script.replace("steps = 10", "steps = 400").replace("samples = 200", "samples = 100000")
        manager, client = start_new_kernel(kernel_name="dmf")
        try:
            told = []

            def on_output(message):
                if message["msg_type"] == "stream" and not told:  # progress: the solver is at work
                    told.append(message["content"]["text"])
                    manager.interrupt_kernel()

            # what a client sends before the kernel has done with a failure would be dropped, but for this
            ask = dict(timeout=600, stop_on_error=False)
            reply = client.execute_interactive(endless, output_hook=on_output, **ask)["content"]
            self.assertEqual(reply["ename"], "KeyboardInterrupt")
            self.assertIn("dmft: ", told[0])
            reply = client.execute_interactive("x = 1", **ask)["content"]
            self.assertEqual(reply["status"], "ok")
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)


if __name__ == "__main__":
    main()
