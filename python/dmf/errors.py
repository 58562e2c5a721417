# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong in a session, as exceptions that know their places."""
from typing import NamedTuple, Optional


class Message(NamedTuple):
    """A message of dmf: lines and columns from 1, the end behind the last character."""

    severity: str  #: "error", "warning", "remark", or "note": more on the message before
    message: str
    hint: Optional[str]
    file: Optional[str]  #: None: it is about no place in a text
    line: int
    column: int
    end_line: int
    end_column: int
    text: str  #: all of it, with the line and a caret


class Warning(UserWarning):
    """What dmf warns of, or remarks."""


class Error(Exception):
    """A piece of work that failed. `messages` has all that was said, `status` the exit status that
    the command would have; file, line and column are those of the first error."""

    status = None

    def __init__(self, messages):
        self.messages = tuple(messages)
        errors = [m for m in self.messages if m.severity == "error"] or self.messages
        first = errors[0] if errors else None
        self.message = first.message if first else "failed"
        self.file = first.file if first else None
        self.line = first.line if first else 0
        self.column = first.column if first else 0
        super().__init__("".join(m.text for m in self.messages).rstrip("\n") or self.message)


class ScriptError(Error):
    """The script is wrong: syntax, a name, a type, a shape."""

    status = 1


class UsageError(Error):
    """The session was asked for something that there is not."""

    status = 2


class NumericsError(Error):
    """The numbers failed: diverged, or not finite."""

    status = 3


class AssertionFailed(Error):
    """An assertion of the script does not hold."""

    status = 4


class FileError(Error):
    """A file could not be read or written."""

    status = 5


class LimitError(Error):
    """There is not the memory for it, or less was allowed."""

    status = 6


class Interrupted(Error):
    """Session.interrupt stopped it. (Ctrl-C raises KeyboardInterrupt.)"""

    status = 130


class Incomplete(ScriptError):
    """The text ends inside a statement."""

    status = -1


_kinds = {kind.status: kind for kind in (ScriptError, UsageError, NumericsError, AssertionFailed, FileError,
                                         LimitError, Interrupted, Incomplete)}


def error_of(status, messages):
    """The exception for a status of dmf.h."""
    if status == Incomplete.status and not messages:
        messages = [Message("error", "the text ends inside a statement", None, None, 0, 0, 0, 0,
                            "the text ends inside a statement\n")]
    return _kinds.get(status, Error)(messages)
