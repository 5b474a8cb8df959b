"""Text in pictures as a facet: read once, kept in the catalog, searched; and what words and amounts it holds."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from selfsort.clusters import Clusters
from selfsort.errors import DataError
from selfsort.images import PictureFile
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.photos.facets import Facet, read_facet_of_run
from selfsort.photos.ocr import check_installed, read_lines
from selfsort.runtime import Progress, silent

#: Raise when the same picture would give another text.
VERSION = 1
FACET = "text"
#: Lines that are less sure are left out.
MIN_CONFIDENCE = 0.6
_SNIPPET = 60

#: English words that tell nothing; others than English ones are told by how many pictures have them.
_COMMON = (
    "about after all also am an and any are as at be because been but by can could did do does don doing down each for "
    "from further get got had has have having he her here him his how if in into is isn it its just ll me more most my "
    "no nor not now of off on once only or other our out over own re same she should so some such than that the their "
    "them then there these they this those through to too under until up us ve very was we were what when where which "
    "while who whom why will with would you your"
)
_STOP_WORDS = frozenset(_COMMON.split())
#: Of scripts that put no spaces between words: Han, Hiragana, Katakana.
_UNSPACED = (
    (0x3040, 0x30FF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)

_BEFORE = r"[$€£¥₩₹₽₺₫฿₱₴₪]|(?<![^\W\d_])(?:RM|Rs\.?|R\$|(?:US|CA|C|A|NZ|HK|NT|S)\$|Fr\.)"
_CODES = (
    r"(?<![^\W\d_])(?:USD|EUR|GBP|CNY|RMB|JPY|KRW|INR|MYR|SGD|HKD|TWD|AUD|CAD|NZD|CHF|SEK|NOK|DKK|PLN|CZK|HUF|RUB|TRY|"
    r"BRL|MXN|ZAR|THB|IDR|PHP|VND|AED|SAR|ILS)(?![^\W\d_])"
)
_AFTER = r"[$€£¥₩₹₽₺₫฿₱₴₪円元원]|(?:kr|zł|Kč|Ft)(?![^\W\d_])"
_WHOLE = r"\d{1,3}(?:[,.'’]\d{3})+(?!\d)|\d+"
_MONEY = re.compile(
    rf"(?<![\d.,])(?:(?:{_BEFORE}|{_CODES})[ ]?-?(?:{_WHOLE})(?:[.,]\d{{1,2}})?(?![\d%]|[.,]\d)"
    rf"|-?(?:{_WHOLE})(?:[.,]\d{{1,2}})?[ ]?(?:{_CODES}|{_AFTER})"
    rf"|-?(?:{_WHOLE})[.,]\d\d(?![\d%]|[.,:/-]\d|[ ]?%))"
)


def text_facet() -> Facet:
    """Return the facet for `read_facets`; raises `DataError` if what text is read with is not installed."""
    check_installed()
    return Facet(VERSION, read_text, searched="text")


def read_text(data: bytes | PictureFile) -> dict[str, Any]:
    """Return the text of a picture file, as JSON's types.

    Parameters
    ----------
    data : bytes or PictureFile

    Returns
    -------
    dict
        ``text`` (lines from top to bottom), ``share`` (of the picture's area that is lines of text, 0 to 1),
        ``n_lines``, ``size`` (median height of lines over that of the picture; 0 without text).

    Raises
    ------
    Unreadable
        If it is no picture.
    """
    lines = [line for line in read_lines(data) if line.confidence >= MIN_CONFIDENCE]
    if all(len(line.text) == 1 for line in lines):  # a wheel is no O, a fence no H
        lines = []
    return {
        "text": "\n".join(line.text for line in lines),
        "share": round(min(1.0, sum(line.area for line in lines)), 4),
        "n_lines": len(lines),
        "size": round(float(np.median([line.height for line in lines])), 4) if lines else 0.0,
    }


def read_texts_of_run(run: str | Path, *, progress: Progress = silent) -> dict[str, int]:
    """Read the text of the pictures of a finished run into its catalog; a call that was stopped goes on.

    Parameters
    ----------
    run : path
        Of `selfsort.organize`; its pictures must be where they were. Those that are not, or were changed, are left out.
    progress : callable
        Stage "text"; counts pictures.

    Returns
    -------
    dict
        ``n_pictures`` different ones in the run, ``n_read`` those that were tried now, ``n_known`` those of which it is
        known whether they have text, ``n_with_text``.

    Raises
    ------
    DataError
        If there is no run, no catalog, no pictures, or what text is read with is not installed.
    """
    found = read_facet_of_run(run, FACET, text_facet(), progress=progress)
    return {
        "n_pictures": len(found.contents),
        "n_read": found.n_read,
        "n_known": found.n_known,
        "n_with_text": sum(bool(fact["text"]) for fact in found.facts.values()),
    }


def search_run(run: str | Path, words: str) -> list[dict[str, str]]:
    """Find pictures of a run by their text.

    Parameters
    ----------
    run : path
    words : str
        All of them must be in the text, in any order; parts of words are found too, in any case and width.

    Returns
    -------
    list of dict
        ``path`` and ``snippet``, in the order of paths.

    Raises
    ------
    DataError
        If there is no run or no catalog, or no text was read yet.
    """
    clusters = Clusters.load(run)
    if not words.split():
        raise DataError("There is nothing to search for: no word was given.")
    with Catalog(catalog_path(Path(run).resolve()), read_only=True) as catalog:
        facts = catalog.facts(FACET)
        found = set(catalog.search(words))
    if not facts:
        raise DataError(f"No text was read in the pictures of {run} yet. Give: selfsort text {run}")
    paths = zip(clusters.items.column("path").to_pylist(), clusters.items.column("id").to_pylist(), strict=True)
    return [
        {"path": path, "snippet": snippet(facts[content]["text"], words)}
        for path, content in paths
        if content in found and facts.get(content)
    ]


def snippet(text: str, words: str) -> str:
    """Return the part of a text around the first of the words, in one line.

    >>> snippet("Grocery  Milk 3.20  Total 12.50", "total")
    'Grocery Milk 3.20 Total 12.50'
    """
    line = " ".join(unicodedata.normalize("NFKC", text).split())
    folded = line.casefold()
    at = max(0, folded.find(unicodedata.normalize("NFKC", words).casefold().split()[0]))
    if len(folded) != len(line):  # some letters are two in small ones
        at = min(at, len(line))
    start, end = max(0, at - _SNIPPET), at + _SNIPPET
    return ("…" if start else "") + line[start:end].strip() + ("…" if end < len(line) else "")


def tokens(text: str) -> list[str]:
    """Divide a text into what can be counted, whatever its language.

    Words of two letters or more, in one case and width, but for common English ones; pairs of neighbors where a script
    puts no spaces; and numbers.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of str
        In the order of the text, with repetitions.

    Examples
    --------
    >>> tokens("The TOTAL is 12.50, see Ｐａｇｅ 3b")
    ['total', '12.50', 'see', 'page', '3']
    >>> tokens("会议记录 Tokyo東京")
    ['会议', '议记', '记录', 'tokyo', '東京']
    """
    return list(_tokens(unicodedata.normalize("NFKC", text).casefold()))


def amounts(text: str) -> list[str]:
    """Return what reads like an amount of money: with a currency, or with two decimals as on receipts.

    >>> amounts("2 x Tea RM 7.00  Total: 1,234.50  11.04.2018  50.00%  €5  12,90 EUR")
    ['RM 7.00', '1,234.50', '€5', '12,90 EUR']
    """
    return [match[0] for match in _MONEY.finditer(unicodedata.normalize("NFKC", text))]


def _tokens(text: str) -> Iterator[str]:
    for sort, group in groupby(_numbers_marked(text), key=lambda pair: pair[1]):
        part = "".join(character for character, _ in group)
        if sort == "unspaced":
            yield from (a + b for a, b in pairwise(part))
        elif sort == "number" or (sort == "word" and _n_letters(part) > 1 and part not in _STOP_WORDS):
            yield part


def _numbers_marked(text: str) -> Iterator[tuple[str, str]]:
    """Yield characters with what they are part of; a sign between two digits is part of a number."""
    for i, character in enumerate(text):
        sort = _sort(character)
        if character in ".,:/-'" and 0 < i < len(text) - 1 and _sort(text[i - 1]) == _sort(text[i + 1]) == "number":
            sort = "number"
        yield character, sort


def _sort(character: str) -> str:
    if any(first <= ord(character) <= last for first, last in _UNSPACED) and character.isalpha():
        return "unspaced"
    category = unicodedata.category(character)
    return "number" if category == "Nd" else "word" if category[0] in "LM" else ""


def _n_letters(word: str) -> int:
    return sum(unicodedata.category(character)[0] == "L" for character in word)
