"""Keywords in XMP sidecars, put into what is there: all that is not ours stays as it is, to the byte.

The text is not parsed into a tree and written anew, which would lose prefixes, comments, quotes and white space. A
parser says where our few properties stand (`selfsort.photos.xmp_text`), and only these places are edited.

References: ISO 16684-1 (XMP), which allows every property once, as an element or an attribute of a ``rdf:Description``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from xml.sax.saxutils import escape

from selfsort.images import Unreadable
from selfsort.photos.xmp_text import (
    HIERARCHY,
    META,
    NOTED,
    PROPERTIES,
    RDF,
    SEPARATOR,
    SUBJECT,
    TAGS_LIST,
    Element,
    Name,
    decoded,
    find_rdf,
    rdf_attributes,
    split,
)

#: How a tree of tags begins that is ours.
ROOT = "selfsort"
#: Container of each property where it is new.
_ARRAYS = {SUBJECT: "Bag", HIERARCHY: "Bag", TAGS_LIST: "Seq", NOTED: "Bag"}
_CONTAINERS = {(RDF, "Bag"), (RDF, "Seq"), (RDF, "Alt")}
_DECLARATIONS = " ".join(f'xmlns:{prefix}="{name[0]}"' for name, prefix in PROPERTIES.items())
_NEW = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="{META}" x:xmptk="selfsort">
 <rdf:RDF xmlns:rdf="{RDF}">
  <rdf:Description rdf:about="" {_DECLARATIONS}>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
""".encode()
#: A longer space between keywords is not taken up for ours.
_MAX_SPACE = 200
_ATTRIBUTE = re.compile(rb"\s++([^\s=/>\"']++)\s*+=\s*+(?:\"[^\"]*+\"|'[^']*+')")
#: What XML cannot hold, whatever it is written as.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Tags:
    """What a sidecar should say.

    Attributes
    ----------
    subjects : tuple of str
        Flat keywords.
    paths : tuple of tuple of str
        Tags in a tree, from its root's child to the leaf.
    """

    subjects: tuple[str, ...] = ()
    paths: tuple[tuple[str, ...], ...] = ()

    def __or__(self, other: Tags) -> Tags:
        return Tags(
            tuple(dict.fromkeys(self.subjects + other.subjects)), tuple(dict.fromkeys(self.paths + other.paths))
        )


def merge(existing: bytes | None, tags: Tags) -> bytes:
    """Return a sidecar with these tags of ours, and with no others of ours.

    Parameters
    ----------
    existing : bytes, optional
        The sidecar that is there.
    tags : Tags

    Returns
    -------
    bytes
        The same object if there is nothing to change.

    Raises
    ------
    Unreadable
        If what is there is no XMP, is damaged, or says keywords in a way that is not understood.
    """
    source = _NEW if existing is None else existing
    bom, encoding, data = decoded(source)
    document = _Document(data)
    edits = [edit for edit in document.edits(tags) if data[edit[0] : edit[1]] != edit[2]]
    if not edits:
        return source
    parts, at = [], 0
    for start, end, new in sorted(edits, key=lambda edit: edit[:2]):
        parts += [data[at:start], new]
        at = end
    data = b"".join([*parts, data[at:]])
    if not document.keeps(tags, _Document(data)):
        raise Unreadable("its keywords cannot be changed without changing others")
    return bom + data.decode().encode(encoding, "xmlcharrefreplace")


def keywords(sidecar: bytes) -> dict[str, list[str]]:
    """Return what a sidecar says under ``subject``, ``hierarchicalSubject``, ``TagsList`` and our own ``subjects``.

    Raises `selfsort.images.Unreadable`.
    """
    found = _Document(decoded(sidecar)[2]).keywords()
    return {name[1]: items for name, items in found.items()}


class _Document:
    """The keywords of a sidecar, and how to change them."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._rdf = find_rdf(data)
        self._about = [child for child in self._rdf.children if "parseType" not in rdf_attributes(child)]

    def keywords(self) -> dict[Name, list[str]]:
        """Return the items of each of our properties."""
        return {name: [text for text in self._items(name) if text is not None] for name in PROPERTIES}

    def keeps(self, tags: Tags, edited: _Document) -> bool:
        """Tell whether an edited document has these tags, no others of ours, and all that are not ours."""
        wanted, after = self._wanted(tags), edited.keywords()
        for name, items in self.keywords().items():
            keep = {_plain(text) for text in wanted[name]}
            left = [text for text in items if not self._is_ours(name, text) or _plain(text) in keep]
            if sorted([*left, *self._lacking(name, wanted[name])]) != sorted(after[name]):
                return False
        return True

    def edits(self, tags: Tags) -> Iterator[tuple[int, int, bytes]]:
        """Yield start, end and what has to stand there."""
        wanted = self._wanted(tags)
        new: list[bytes] = []
        for name in PROPERTIES:
            elements = [child for about in self._about for child in about.children if child.name == name]
            if elements:
                for i, element in enumerate(elements):
                    add = self._lacking(name, wanted[name]) if i == 0 else []
                    yield from self._edited(element, add, wanted[name])
                continue
            items = wanted[name]
            for about, key in self._attributes(name):
                value = about.attributes[key]
                if items or self._is_ours(name, value):  # a keyword that is said so leaves no place for a second one
                    yield self._without_attribute(about, key)
                    items = [*([] if self._is_ours(name, value) else [value]), *items]
            if items:
                new.append(self._written(name, items))
        if new:
            yield self._inserted(new)

    def _wanted(self, tags: Tags) -> dict[Name, list[str]]:
        others = {_plain(text) for text in self._items(SUBJECT) if text and not self._is_ours(SUBJECT, text)}
        subjects = _distinct(text for text in map(_legal, tags.subjects) if text and _plain(text) not in others)
        return {
            SUBJECT: subjects,
            HIERARCHY: _distinct(_joined(path, "|") for path in tags.paths),
            TAGS_LIST: _distinct(_joined(path, "/") for path in tags.paths),
            NOTED: subjects,
        }

    @cached_property
    def _noted(self) -> set[str]:
        return {_plain(text) for text in self._items(NOTED) if text is not None}

    def _is_ours(self, name: Name, text: str) -> bool:
        if name == SUBJECT:
            return _plain(text) in self._noted
        return name == NOTED or text.strip().startswith(f"{ROOT}{'|' if name == HIERARCHY else '/'}")

    def _items(self, name: Name) -> list[str | None]:
        """Return the items of a property; None for one that is no plain text."""
        found: list[str | None] = [about.attributes[key] for about, key in self._attributes(name)]
        for about in self._about:
            for element in about.children:
                if element.name == name:
                    container = _container(element)
                    if container is None:
                        found += [element.text] if element.text else []
                    else:
                        found += [_item(child) for child in container.children]
        return found

    def _attributes(self, name: Name) -> list[tuple[Element, str]]:
        return [(about, key) for about in self._about for key in about.attributes if split(key) == name]

    def _lacking(self, name: Name, wanted: Sequence[str]) -> list[str]:
        there = {_plain(text) for text in self._items(name) if text is not None}
        return [text for text in wanted if _plain(text) not in there]

    def _edited(self, element: Element, add: list[str], wanted: Sequence[str]) -> Iterator[tuple[int, int, bytes]]:
        """Yield the edits of a property that is there: what to add, and what is wanted of ours."""
        container, keep = _container(element), {_plain(text) for text in wanted}

        def goes(text: str | None) -> bool:
            return text is not None and self._is_ours(element.name, text) and _plain(text) not in keep

        if container is None:
            text = element.text
            if not add and not (text and goes(text)):
                return
            raw = self._data[element.content : element.close].strip() if text and not goes(text) else b""
            items = [*([raw] if raw else []), *(escape(text).encode() for text in add)]
            yield from self._refilled(element, self._array(element, items) if items else b"")
            return
        children = container.children
        gone = [child for child in children if goes(_item(child))]
        if gone and len(gone) == len(children) and not add:
            yield self._space_before(element), element.end, b""
            return
        for child in gone:
            yield self._space_before(child), child.end, b""
        if add:
            space = self._data[self._space_before(children[-1]) : children[-1].start] if children else b""
            space = space if len(space) <= _MAX_SPACE else b"\n     "
            tag = _sibling(container.raw, "li")
            lines = b"".join(space + f"<{tag}>{escape(text)}</{tag}>".encode() for text in add)
            if container.empty:
                yield from self._refilled(container, lines)
            else:
                at = children[-1].end if children else container.content
                yield at, at, lines

    def _refilled(self, element: Element, content: bytes) -> Iterator[tuple[int, int, bytes]]:
        if element.empty:
            yield element.content - 2, element.content, b">" + content + f"</{element.raw}>".encode()
        else:
            yield element.content, element.close, content

    def _array(self, element: Element, items: Iterable[bytes]) -> bytes:
        """Return a container for a property that had none; its prefix is that of the document's own RDF."""
        array, item = (_sibling(self._rdf.raw, part) for part in (_ARRAYS[element.name], "li"))
        lines = b"".join(f"<{item}>".encode() + text + f"</{item}>".encode() for text in items)
        return f"<{array}>".encode() + lines + f"</{array}>".encode()

    def _written(self, name: Name, items: Sequence[str]) -> bytes:
        """Return a property that was not there."""
        prefix, kind = PROPERTIES[name], _ARRAYS[name]
        scope = self._about[0].scope if self._about else self._rdf.scope
        declaration = "" if scope.get(prefix) == name[0] else f' xmlns:{prefix}="{name[0]}"'
        array, item = _sibling(self._rdf.raw, kind), _sibling(self._rdf.raw, "li")
        lines = [f"\n   <{prefix}:{name[1]}{declaration}>", f"    <{array}>"]
        lines += [f"     <{item}>{escape(text)}</{item}>" for text in items]
        return "\n".join([*lines, f"    </{array}>", f"   </{prefix}:{name[1]}>"]).encode()

    def _inserted(self, properties: list[bytes]) -> tuple[int, int, bytes]:
        content = b"".join(properties)
        if self._about:
            place = self._about[0]
        else:
            place, tag = self._rdf, _sibling(self._rdf.raw, "Description")
            about = f"{self._rdf.raw.rpartition(':')[0]}:about" if ":" in self._rdf.raw else None
            declared = f' xmlns:rdf="{RDF}"' if about is None else ""
            content = f'\n  <{tag}{declared} {about or "rdf:about"}="">'.encode() + content + f"\n  </{tag}>".encode()
        if place.empty:
            return place.content - 2, place.content, b">" + content + f"\n  </{place.raw}>".encode()
        at = place.close
        while self._data[at - 1 : at].isspace() and at > place.content:
            at -= 1
        return at, at, content

    def _without_attribute(self, element: Element, key: str) -> tuple[int, int, bytes]:
        _, local, prefix = key.split(SEPARATOR)  # an attribute of a namespace always has a prefix
        for match in _ATTRIBUTE.finditer(self._data, element.start, element.content):
            if match[1].decode() == f"{prefix}:{local}":
                return match.start(), match.end(), b""
        raise AssertionError(key)  # the parser has read it

    def _space_before(self, element: Element) -> int:
        at = element.start
        while self._data[at - 1 : at].isspace():
            at -= 1
        return at


def _container(element: Element) -> Element | None:
    """Return the array in a property, None if it is a plain text. Raises Unreadable if it is neither."""
    if rdf_attributes(element):
        raise Unreadable(f"its {element.raw} has a form that is not understood")
    if not element.children:
        return None
    if len(element.children) > 1 or element.children[0].name not in _CONTAINERS or element.text:
        raise Unreadable(f"its {element.raw} has a form that is not understood")
    return element.children[0]


def _item(element: Element) -> str | None:
    plain = element.name == (RDF, "li") and not element.children and not rdf_attributes(element)
    return element.text if plain else None


def _sibling(raw: str, local: str) -> str:
    """Return a name with the prefix of another."""
    prefix, colon, _ = raw.rpartition(":")
    return f"{prefix}{colon}{local}"


def _legal(text: str) -> str:
    return " ".join(_NO_XML.sub("_", text).split())


def _joined(path: Iterable[str], separator: str) -> str:
    return separator.join((ROOT, *(_legal(part).replace(separator, "_") for part in path)))


def _distinct(texts: Iterable[str]) -> list[str]:
    return list({_plain(text): text for text in texts}.values())


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip())
