"""One order's page: what `listener explain` tells, as HTML.

The document is a tree, and texts are put into it as texts: an order number that is HTML is shown, never obeyed.
"""

from collections.abc import Iterable
from itertools import zip_longest
from xml.etree.ElementTree import Element, SubElement, tostring

from listener.log import Redact, escape
from listener.status.assets import Assets
from listener.story.timeline import Story
from listener.story.wording import instant


class Document:
    """A page of the listener with a heading, and a way back to the first one."""

    def __init__(self, title: str, assets: Assets, redact: Redact) -> None:
        self._redact = redact
        self._root = Element("html", {"lang": "en"})
        head = SubElement(self._root, "head")
        SubElement(head, "meta", {"charset": "utf-8"})
        self.add(head, "title", f"{title} · listener")
        SubElement(head, "meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"})
        SubElement(head, "meta", {"name": "color-scheme", "content": "light dark"})
        SubElement(head, "link", {"rel": "stylesheet", "href": f"{assets.base}/page.css"})
        SubElement(head, "link", {"rel": "icon", "href": f"{assets.base}/grey.svg"})
        body = SubElement(self._root, "body", {"class": "order"})
        navigation = SubElement(body, "nav", {"aria-label": "Way back"})
        self.add(navigation, "a", "← Status of the listener", href="/")
        self.main = SubElement(body, "main")
        self.add(self.main, "h1", title)

    def add(self, parent: Element, tag: str, text: str, **attributes: str) -> Element:
        """Add an element that holds a text, on one line and without our secrets."""
        element = SubElement(parent, tag, attributes)
        element.text = escape(self._redact(text))
        return element

    def prose(self, parent: Element, tag: str, text: str, **attributes: str) -> Element:
        """Add an element that holds sentences; what they have between backquotes is a command."""
        element = self.add(parent, tag, text, **attributes)
        element.text, *rest = (element.text or "").split("`")
        for command, between in zip_longest(rest[::2], rest[1::2], fillvalue=""):
            code = SubElement(element, "code")
            code.text, code.tail = command, between
        return element

    def html(self) -> str:
        """Return the document as it is sent."""
        return "<!doctype html>\n" + tostring(self._root, encoding="unicode", method="html")


def order_page(story: Story, assets: Assets, redact: Redact) -> str:
    """Return the page of an order that is known."""
    page = Document(f"Order {story.number}", assets, redact)
    page.prose(page.main, "p", story.sentence, **{"class": "lead"})
    for remark in story.remarks:
        page.prose(page.main, "p", remark, **{"class": "remark"})
    page.add(page.main, "h2", "What happened")
    timeline = SubElement(page.main, "ol", {"class": "timeline"})
    for event in story.timeline:
        line = SubElement(timeline, "li")
        page.add(line, "time", instant(event.at), datetime=event.at.isoformat())
        page.prose(line, "span", event.what)
    page.add(page.main, "h2", "What happens next")
    page.prose(page.main, "p", f"{story.next[:1].upper()}{story.next[1:]}.")
    return page.html()


def message_page(title: str, sentences: Iterable[str], assets: Assets, redact: Redact) -> str:
    """Return a page that says why there is nothing to be shown."""
    page = Document(title, assets, redact)
    for sentence in sentences:
        page.prose(page.main, "p", sentence, **{"class": "lead"})
    return page.html()
