# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether pages of HTML are well formed, need nothing from elsewhere, and have links that lead somewhere."""
import sys
from html.parser import HTMLParser

VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}
LOADED = {"src", "poster", "data", "srcset"}


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.faults = [], set(), set(), []

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id":
                if value in self.ids:
                    self.faults.append(f"line {self.getpos()[0]}: a second id {value}")
                self.ids.add(value)
            if name == "href" and value.startswith("#"):
                self.links.add(value[1:])
            if name in LOADED and not value.startswith("data:") or tag == "link":
                self.faults.append(f"line {self.getpos()[0]}: loads {value}")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"line {self.getpos()[0]}: </{tag}> closes nothing")

    def finish(self):
        self.close()
        self.faults += [f"<{tag}> is not closed" for tag in self.open]
        self.faults += [f"no place #{link}" for link in sorted(self.links - self.ids)]


def faults_of(path):
    page = Page()
    with open(path, encoding="utf-8") as file:
        page.feed(file.read())
    page.finish()
    return page.faults


if __name__ == "__main__":
    faults = [f"{path}: {fault}" for path in sys.argv[1:] for fault in faults_of(path)]
    print("\n".join(faults))
    sys.exit(bool(faults))
