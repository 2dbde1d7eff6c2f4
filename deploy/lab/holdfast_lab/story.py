# SPDX-License-Identifier: Apache-2.0
"""Telling a story on a terminal: a line a step with its time, checks that name themselves."""
import sys
import time

from .process import LabError


class StepFailed(Exception):
    """A check of the story did not hold."""


class Story:
    """Lines with the seconds since the beginning; rows for the table at the end."""

    def __init__(self):
        self.out, self.began = sys.stdout, time.monotonic()
        self.step, self.title, self.rows = 0, "preparing", []
        self.colour = self.out.isatty()

    def paint(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def line(self, text, mark=" "):
        self.out.write(f"[{time.monotonic() - self.began:7.1f} s] {mark} {text}\n")
        self.out.flush()

    def block(self, text):
        """Output of a command, as it is, set in."""
        for line in text.rstrip().splitlines():
            self.out.write("              | " + line.rstrip() + "\n")
        self.out.flush()

    def begin(self, number, title):
        self.step, self.title = number, title
        self.line(self.paint("1", title), str(number))

    def check(self, holds, text):
        """One checked statement: printed when it holds, the end of the story when not."""
        if not holds:
            raise StepFailed(text)
        self.line(self.paint("32", "ok ") + text)

    def measured(self, name, value):
        self.rows.append((name, value))

    def summary(self):
        width = max((len(name) for name, _ in self.rows), default=0)
        self.out.write("\n" + self.paint("1", "Summary") + "\n")
        for name, value in self.rows:
            self.out.write(f"  {name:<{width}}  {value}\n")
        self.out.flush()

    def failed(self, error):
        kind = "" if isinstance(error, (StepFailed, LabError)) else f"{type(error).__name__}: "
        self.out.write(self.paint("31", f"FAILED step {self.step} ({self.title}): {kind}{error}")
                       + "\n")
        self.out.flush()
