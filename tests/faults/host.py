# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that uses the package, for faults.sh: what libdmf cannot have its memory for raises LimitError, or
MemoryError where there is no session yet, and is done again, in the same session as in a new one, with the same
numbers to the bit. Anything else is an error of this program."""
import hashlib

import numpy

import dmf

ATTEMPTS = 12
SCRIPT = """dataset pair { inputs = points; targets = [1, -1] }
model net { layers = input -> dense(tanh) -> readout; gamma = 2; width = 8 }
training descent { dataset = pair; optimizer = gd(eta = 0.1); steps = 2 }
theory = dmft(net, descent, samples = 50)
nets = simulate(net, descent, ensemble = 2)
print theory.loss, mean(nets.f[-1])
scan = sweep(simulate(net, descent, ensemble = 2).loss[-1], net.gamma = [1, 2])
theory.loss[-1]
"""
ENDLESS = "endless = dmft(net, descent with { steps = 400 }, samples = 100000)"


seen = []  # what a session printed and gave
stops = []  # whether what runs is to be stopped


def attempt(step, *arguments):
    """What the step gives, as soon as there is the memory for it."""
    before = len(seen)
    for _ in range(ATTEMPTS):
        del seen[before:]
        try:
            return step(*arguments)
        except dmf.LimitError as error:
            assert "out of memory" in str(error), error
        except MemoryError:
            assert step is open_session
    raise AssertionError("the session does not recover")


def bits(value):
    if isinstance(value, dmf.Array):
        return value.shape, value.tobytes(), bits(value.stderr), [(axis.name, bits(axis.values)) for axis in value.axes]
    if isinstance(value, numpy.ndarray):
        return value.shape, value.tobytes()
    return [bits(item) for item in value] if isinstance(value, (list, dmf.Layers)) else repr(value)


def open_session():
    return dmf.Session(threads=1, interactive=True, print=seen.append,
                       progress=lambda stage, done, total: stops and stops[0].interrupt(),
                       show=lambda expression, handle: seen.append(expression))


def cancel(session):
    """Whether a run of hours ends as soon as it is asked to."""
    stops.append(session)
    try:
        session.run(ENDLESS)
    except dmf.Interrupted:
        return True
    finally:
        stops.clear()
    return False


def use(session):
    attempt(session.__setitem__, "points", [[1, 1, 1, -1], [1, -1, 1, 1]])
    attempt(session.set, "net.gamma=1.5")
    for line in SCRIPT.splitlines():
        attempt(session.run, line)
    theory = attempt(session.__getitem__, "theory")
    for ask in (lambda: theory.loss, lambda: theory.stderr.loss, lambda: theory.Phi[1], lambda: theory.Phi,
                lambda: theory.model, lambda: "<strong>dmft</strong>" in theory._handle.html(), lambda: "loss" in str(theory),
                lambda: dir(theory),
                lambda: session["scan"], lambda: session["[mean(nets.f[-1]), max(theory.loss)]"],
                lambda: session['[1, "a"]'], lambda: session["theory.loss > 0.1"], lambda: session.names(),
                lambda: session.help("gamma"), lambda: session.complete("print theory.lo"),
                lambda: session.unfinished("x = ["), lambda: session.call("dmft(net, ")):
        seen.append(attempt(lambda: bits(ask())))
    attempt(session.__setitem__, "again", theory)
    attempt(session.__setitem__, "mask", numpy.array([True, False]))
    assert attempt(cancel, session)
    seen.append(attempt(lambda: bits([session["again.loss"], session["mask"]])))


def main():
    runs = []
    for _ in range(2):
        seen.clear()
        with attempt(open_session) as session:
            use(session)
        runs.append(repr(seen))
    assert runs[0] == runs[1], "a new session has other numbers"
    print(len(runs[0]), hashlib.sha256(runs[0].encode()).hexdigest())


if __name__ == "__main__":
    main()
