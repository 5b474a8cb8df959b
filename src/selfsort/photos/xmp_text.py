"""Where properties of XMP, such as the keywords of a sidecar, stand in its text.

Document types are refused, so there are no entities to expand and none to fetch; size, depth and number are bounded.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Container
from dataclasses import dataclass, field
from xml.parsers import expat

from selfsort.images import Unreadable

Name = tuple[str, str]
RDF, META = "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "adobe:ns:meta/"
SUBJECT: Name = ("http://purl.org/dc/elements/1.1/", "subject")
HIERARCHY: Name = ("http://ns.adobe.com/lightroom/1.0/", "hierarchicalSubject")
TAGS_LIST: Name = ("http://www.digikam.org/ns/1.0/", "TagsList")
#: Which of the flat keywords are ours: those that were there before we came are not.
NOTED: Name = ("urn:selfsort:sidecar:1.0/", "subjects")
#: Our properties, with the prefixes that they are usually written with.
PROPERTIES = {SUBJECT: "dc", HIERARCHY: "lr", TAGS_LIST: "digiKam", NOTED: "selfsort"}
#: A sidecar of more bytes, or with elements in more elements, is left as it is.
MAX_BYTES, MAX_DEPTH = 16 << 20, 64
_MAX_ELEMENTS = 100_000
_START_TAG = re.compile(rb"<([^\s/>]++)(?:[^\"'>]++|\"[^\"]*+\"|'[^']*+')*+>")
_DECLARED = re.compile(r"""<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_BOMS = (  # of 32 bits first: the mark of 16 bits is how it begins
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ENCODINGS = {"utf-8", "ascii", "iso8859-1", "iso8859-15", "cp1252"}
#: Between the parts of what the parser calls a name; no XML can hold it.
SEPARATOR = "\x01"


@dataclass
class Element:
    """An element and where it stands, in bytes.

    Attributes
    ----------
    name : (str, str)
        Namespace and name.
    start, end : int
        Of its tags and what is between them.
    content, close : int
        Where what is between them begins and ends.
    raw : str
        Its name as it stands there.
    empty : bool
        Whether it is one tag, ``<a/>``.
    attributes : dict of str to str
        By what `split` divides.
    scope : dict of str to str
        Prefix -> namespace, of the prefixes in `PROPERTIES`; a document may have any number of others.
    """

    name: Name
    start: int
    content: int
    raw: str
    empty: bool
    attributes: dict[str, str]
    scope: dict[str, str]
    children: list[Element] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    close: int = 0
    end: int = 0

    @property
    def text(self) -> str:
        """All text directly in it, without the space around."""
        return "".join(self.said).strip()


def decoded(source: bytes) -> tuple[bytes, str, bytes]:
    """Return the byte order mark, the encoding, and the rest in UTF-8."""
    if len(source) > MAX_BYTES:
        raise Unreadable(f"the sidecar is larger than {MAX_BYTES >> 20} MiB")
    bom, encoding = next((of for of in _BOMS if source.startswith(of[0])), (b"", ""))
    body = source[len(bom) :]
    if not encoding and body[1:2] == b"\0":
        encoding = "utf-16-le"
    elif not encoding and body[:1] == b"\0":
        encoding = "utf-16-be"
    try:
        text = body.decode(encoding or "latin-1")  # which shows a declaration, if nothing else
        declared = _DECLARED.match(text)
        name = codecs.lookup(declared[1] if declared else encoding or "utf-8").name
        if not encoding and name in _ENCODINGS:
            encoding, text = name, body.decode(name)
        if not encoding or not encoding.startswith(name):  # "utf-16" without its byte order
            raise Unreadable(f"the sidecar has an encoding that is not known: {name}")
        return bom, encoding, text.encode()
    except LookupError as error:
        raise Unreadable("the sidecar has an encoding that is not known") from error
    except ValueError as error:
        raise Unreadable("the sidecar is damaged: it is not in the encoding that it should be in") from error


def find_rdf(data: bytes, names: Container[Name] = PROPERTIES) -> Element:
    """Return the ``rdf:RDF`` of a sidecar in UTF-8, with its descriptions and what they hold of some properties.

    Raises `selfsort.images.Unreadable` where there is none, or the text is no XML.
    """
    root = _Reader(data, names).root
    assert root is not None  # a text without one is no XML
    found = [e for e in (root, *root.children) if e.name == (RDF, "RDF")]
    if len(found) != 1:
        raise Unreadable("the sidecar is no XMP: it has no rdf:RDF, or several")
    return found[0]


def read_properties(source: bytes, names: Container[Name]) -> dict[Name, str]:
    """Return what XMP says of simple properties, as elements or as attributes; raise `Unreadable` if it is damaged."""
    if b"\0" not in source[:4]:  # no UTF-16
        source = source.strip(b"\0 \t\r\n")
    _, _, data = decoded(source)
    found: dict[Name, str] = {}
    for about in find_rdf(data, names).children:
        told = [(split(key), value) for key, value in about.attributes.items()]
        told += [(element.name, element.text) for element in about.children]
        for name, text in told:
            if name in names and text.strip():
                found.setdefault(name, text.strip())
    return found


def split(name: str) -> Name:
    """Return namespace and name of what the parser calls namespace, name and prefix in one."""
    parts = name.split(SEPARATOR)
    return (parts[0], parts[1]) if len(parts) > 1 else ("", name)


def rdf_attributes(element: Element) -> set[str]:
    """Return the names of the attributes of RDF itself."""
    return {local for namespace, local in map(split, element.attributes) if namespace == RDF}


class _Reader:
    """Listens to the parser, and keeps what is of interest."""

    def __init__(self, data: bytes, names: Container[Name]) -> None:
        self._data, self._names = data, names
        self._stack: list[Element | None] = []
        self._declared: dict[str, str] = {}
        self.root: Element | None = None
        self._n_kept = 0
        parser = expat.ParserCreate("utf-8", SEPARATOR)
        parser.namespace_prefixes = True
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.StartNamespaceDeclHandler = self._declare
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._say
        self._parser = parser
        try:
            parser.Parse(data, True)
        except expat.ExpatError as error:
            raise Unreadable(f"the sidecar is damaged: {error}") from error
        finally:
            del self._parser  # it holds us

    def _declare(self, prefix: str | None, uri: str | None) -> None:
        if prefix in PROPERTIES.values():
            self._declared[str(prefix)] = uri or ""

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._stack) >= MAX_DEPTH:
            raise Unreadable(f"the sidecar has elements in more than {MAX_DEPTH} elements")
        parent = self._stack[-1] if self._stack else None
        declared, self._declared = self._declared, {}
        found = split(name)
        if not self._stack and found[0] != META and found != (RDF, "RDF"):
            raise Unreadable("the sidecar is no XMP")
        if self._stack and (parent is None or not self._is_of_interest(parent, found)):
            self._stack.append(None)
            return
        self._n_kept += 1
        if self._n_kept > _MAX_ELEMENTS:
            raise Unreadable(f"the sidecar has more than {_MAX_ELEMENTS:,} keywords")
        start = self._parser.CurrentByteIndex
        tag = _START_TAG.match(self._data, start)
        assert tag is not None  # the parser has read it
        scope = parent.scope if parent else {}
        if declared:
            scope = scope | declared
        empty = self._data[tag.end() - 2 : tag.end()] == b"/>"
        element = Element(found, start, tag.end(), tag[1].decode(), empty, attributes, scope)
        if parent is None:
            self.root = element
        else:
            parent.children.append(element)
        self._stack.append(element)

    def _is_of_interest(self, parent: Element, name: Name) -> bool:
        if parent.name[0] == META or parent.name == (RDF, "RDF"):
            return name in ((RDF, "RDF"), (RDF, "Description"))
        return name in self._names if parent.name == (RDF, "Description") else True

    def _end(self, name: str) -> None:
        element = self._stack.pop()
        if element is None:
            return
        element.close = element.end = element.content
        if not element.empty:
            element.close = self._parser.CurrentByteIndex
            element.end = self._data.index(b">", element.close) + 1

    def _say(self, text: str) -> None:
        element = self._stack[-1]
        if element is not None:
            element.said.append(text)


def _refuse_doctype(*_: object) -> None:
    raise Unreadable("the sidecar declares a document type, which XMP has none of")
