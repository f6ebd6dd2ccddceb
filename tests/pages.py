"""An HTML page as its elements, for tests: what stands in it, and whether it is well nested."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "hr", "input", "link"}


@dataclass(repr=False, eq=False)  # each holds all of its page
class Element:
    """tag, attributes, the elements around it (outermost first), and all text within."""

    tag: str
    attributes: dict[str, str]
    around: tuple[Element, ...]
    text: str = ""
    within: list[Element] = field(default_factory=list)

    def all(self, *tags: str) -> list[Element]:
        """Elements of these tags within, in order; of all tags where none is named."""
        return [element for element in self.within if not tags or element.tag in tags]

    def __getitem__(self, name: str) -> str:
        return self.attributes[name]


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.root = Element("", {}, ())
        self.open = [self.root]

    def handle_starttag(self, tag: str, attributes: list) -> None:
        element = Element(tag, {name: value or "" for name, value in attributes}, tuple(self.open[1:]))
        for outer in self.open:
            outer.within.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:  # of `<img />`
            return
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>, line {self.getpos()[0]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data


def parsed(html: str) -> Element:
    """The page; AssertionError where its elements are not closed in order."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == [reader.root], f"<{reader.open[-1].tag}> stays open"
    return reader.root


def width_of_rows(table: Element) -> set[int]:
    """How many columns the rows of a table fill, spans counted; one number where the table is even."""
    filled, hanging = set(), []
    for row in table.all("tr"):
        cells = row.all("th", "td")
        filled.add(sum(int(cell.attributes.get("colspan", 1)) for cell in cells) + len(hanging))
        hanging = [left - 1 for left in hanging if left > 1]
        hanging += [int(cell["rowspan"]) - 1 for cell in cells if int(cell.attributes.get("rowspan", 1)) > 1]
    return filled
