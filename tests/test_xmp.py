import codecs
import json
import random
import shutil
import subprocess
import tracemalloc
import xml.etree.ElementTree as ET

import pytest

from selfsort.images import Unreadable
from selfsort.photos.xmp import Tags, keywords, merge
from selfsort.photos.xmp_text import MAX_BYTES, MAX_DEPTH

RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
DC = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'
LR = 'xmlns:lr="http://ns.adobe.com/lightroom/1.0/"'
TAGS = Tags(("Beach & <sea>",), (("photo", "Beach & <sea>"),))
OURS = {
    "subject": ["Beach & <sea>"],
    "hierarchicalSubject": ["selfsort|photo|Beach & <sea>"],
    "TagsList": ["selfsort/photo/Beach & <sea>"],
    "subjects": ["Beach & <sea>"],
}

LIGHTROOM = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0-c000 1.000000, 0000/00/00-00:00:00">
 <rdf:RDF {RDF}>
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    {DC}
    {LR}
    xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
   xmp:Rating="4"
   crs:Version="15.4"
   crs:ToneCurveName="Linear &gt; Medium">
   <dc:subject>
    <rdf:Bag>
     <rdf:li>Italy</rdf:li>
     <rdf:li>Rome</rdf:li>
    </rdf:Bag>
   </dc:subject>
   <lr:hierarchicalSubject>
    <rdf:Bag>
     <rdf:li>Italy|Rome</rdf:li>
    </rdf:Bag>
   </lr:hierarchicalSubject>
   <crs:ToneCurvePV2012>
    <rdf:Seq>
     <rdf:li>0, 0</rdf:li>
     <rdf:li>255, 255</rdf:li>
    </rdf:Seq>
   </crs:ToneCurvePV2012>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""
DARKTABLE = f"""<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF {RDF}>
  <rdf:Description rdf:about=""
    xmlns:darktable="http://darktable.sf.net/"
    {DC}
    {LR}
   darktable:xmp_version="5"
   darktable:history_end="2">
   <darktable:history>
    <rdf:Seq>
     <rdf:li
      darktable:num="0"
      darktable:operation="exposure"
      darktable:params="gz12eJxjYGBgYAFiCQYYOOHEgAYY0QWg"/>
    </rdf:Seq>
   </darktable:history>
   <dc:subject>
    <rdf:Seq>
     <rdf:li>dog</rdf:li>
    </rdf:Seq>
   </dc:subject>
   <lr:hierarchicalSubject>
    <rdf:Seq>
     <rdf:li>animals|dog</rdf:li>
    </rdf:Seq>
   </lr:hierarchicalSubject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""
DIGIKAM = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF {RDF}>
  <!-- a comment -->
  <rdf:Description rdf:about=""
    xmlns:digiKam="http://www.digikam.org/ns/1.0/"
    xmlns:acdsee="http://ns.acdsee.com/iptc/1.0/"
    xmlns:MicrosoftPhoto="http://ns.microsoft.com/photo/1.0/"
    {DC}
   digiKam:ColorLabel="0"
   acdsee:categories="&lt;Categories&gt;&lt;Category Assigned=&quot;1&quot;&gt;Ünü&lt;/Category&gt;&lt;/Categories&gt;">
   <digiKam:TagsList>
    <rdf:Seq>
     <rdf:li>People/Ünü 雪</rdf:li>
    </rdf:Seq>
   </digiKam:TagsList>
   <MicrosoftPhoto:LastKeywordXMP>
    <rdf:Bag>
     <rdf:li>People/Ünü 雪</rdf:li>
    </rdf:Bag>
   </MicrosoftPhoto:LastKeywordXMP>
   <dc:subject>
    <rdf:Bag>
     <rdf:li><![CDATA[Ünü 雪]]></rdf:li>
    </rdf:Bag>
   </dc:subject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""
STYLES = {"Lightroom": LIGHTROOM, "darktable": DARKTABLE, "digiKam": DIGIKAM}


def simple(inside="", description="", root=""):
    return (
        f'<rdf:RDF {RDF} {DC} {root}><rdf:Description rdf:about="" {description}>{inside}</rdf:Description></rdf:RDF>'
    )


def parsed(data):
    """Read a sidecar with another parser than ours."""
    return ET.fromstring(data.decode(json.detect_encoding(data)).removeprefix("\ufeff"))


def bag(*items, kind="Bag"):
    return f"<rdf:{kind}>" + "".join(f"<rdf:li>{item}</rdf:li>" for item in items) + f"</rdf:{kind}>"


def test_a_new_sidecar_says_only_what_is_ours():
    made = merge(None, TAGS)
    assert keywords(made) == OURS
    parsed(made)
    assert merge(made, TAGS) is made
    assert keywords(merge(made, Tags())) == {name: [] for name in OURS}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("line", ["\n", "\r\n"])
def test_what_was_there_stays_to_the_byte(style, encoding, line):
    text = STYLES[style].replace("\n", line)
    if encoding not in ("utf-8", "utf-8-sig"):
        text = text.replace(' encoding="UTF-8"', "")
    before = text.encode(encoding)
    after = merge(before, TAGS)
    theirs = keywords(before)
    assert keywords(after) == {name: theirs[name] + OURS[name] for name in OURS}
    assert after[:3] == before[:3]  # the mark of the encoding
    assert merge(after, Tags()) == before
    other = merge(after, Tags(("Hill",), (("Hill",),)))
    assert keywords(other)["hierarchicalSubject"] == [*theirs["hierarchicalSubject"], "selfsort|Hill"]
    assert merge(other, Tags()) == before


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "windows-1252", "US-ASCII"])
def test_encodings_that_lack_letters_get_them_by_number(encoding):
    accent = "&#233;" if encoding == "US-ASCII" else "é"
    text = f'<?xml version="1.0" encoding="{encoding}"?>' + simple(f"<dc:subject>{bag(accent)}</dc:subject>")
    after = merge(text.encode(encoding), Tags(("雪",), (("雪",),)))
    assert keywords(after)["subject"] == ["é", "雪"]
    assert b"&#38634;" in after


@pytest.mark.parametrize(
    ("inside", "description"),
    [
        ("<dc:subject>mine</dc:subject>", ""),
        ("<dc:subject><!-- why --> mine </dc:subject>", ""),
        ("<dc:subject><![CDATA[mine]]></dc:subject>", ""),
        ("", 'dc:subject="mine"'),
        ("", "a:b='>\"' xmlns:a='urn:a' dc:subject = 'mine' a:c='dc:subject=\"no\"'"),
        (f"<dc:subject>{bag('mine', kind='Alt')}</dc:subject>", ""),
        (f"<dc:subject>{bag('mine')}</dc:subject><dc:subject>{bag()}</dc:subject>", ""),
    ],
)
def test_a_keyword_in_any_form_stays(inside, description):
    after = merge(simple(inside, description).encode(), TAGS)
    assert keywords(after) == OURS | {"subject": ["mine", *OURS["subject"]]}
    assert keywords(merge(after, Tags()))["subject"] == ["mine"]
    if "why" in inside:
        assert b"<!-- why -->" in after
    if "urn:a" in description:
        root = parsed(after)
        assert root[0].attrib["{urn:a}b"] == '>"'
        assert root[0].attrib["{urn:a}c"] == 'dc:subject="no"'


@pytest.mark.parametrize(
    "text",
    [
        simple("<dc:subject/>"),
        simple("<dc:subject></dc:subject>"),
        simple("<dc:subject><rdf:Bag/></dc:subject>"),
        simple(f"<dc:subject>{bag()}</dc:subject>"),
        f"<rdf:RDF {RDF}/>",
        f"<rdf:RDF {RDF}></rdf:RDF>",
        f'<rdf:RDF {RDF}><rdf:Description rdf:about=""/></rdf:RDF>',
        f"<RDF {RDF.replace('xmlns:rdf', 'xmlns')}/>",
        f"<RDF {RDF.replace('xmlns:rdf', 'xmlns')}><Description/></RDF>",
        f'<r:RDF xmlns:dc="urn:other" {RDF.replace("rdf=", "r=")}><r:Description/></r:RDF>',
    ],
)
def test_where_there_were_none(text):
    after = merge(text.encode(), TAGS)
    assert keywords(after) == OURS
    root = parsed(after)
    names = {child.tag for child in root[0]}
    assert "{http://purl.org/dc/elements/1.1/}subject" in names
    assert keywords(merge(after, Tags()))["subject"] == []


def test_a_keyword_that_somebody_has_already_is_not_ours():
    mine = simple(f"<dc:subject>{bag('Beach', 'Café')}</dc:subject>").encode()
    after = merge(mine, Tags(("Beach", "Cafe\u0301"), (("Beach",),)))
    assert keywords(after)["subject"] == ["Beach", "Café"]
    assert keywords(after)["subjects"] == []
    assert keywords(merge(after, Tags(("Hill",))))["subject"] == ["Beach", "Café", "Hill"]


def test_separators_and_what_xml_cannot_hold():
    after = keywords(merge(None, Tags(("a|b/c\x00\ud800",), (("a|b/c\x00",),))))
    assert after["subject"] == ["a|b/c__"]
    assert after["hierarchicalSubject"] == ["selfsort|a_b/c_"]
    assert after["TagsList"] == ["selfsort/a|b_c_"]


def test_items_that_are_no_plain_text_stay():
    qualified = '<rdf:li rdf:parseType="Resource"><rdf:value>x</rdf:value></rdf:li>'
    before = simple(f"<dc:subject><rdf:Bag>{qualified}</rdf:Bag></dc:subject>").encode()
    after = merge(before, TAGS)
    assert qualified.encode() in after
    assert merge(after, Tags()) == before


BOMB = '<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9)
)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "damaged"),
        (b"not xml", "damaged"),
        (b"\0" * 100, "damaged"),
        (LIGHTROOM[:900].encode(), "damaged"),
        ((BOMB + "]>" + simple("<dc:subject>&j;</dc:subject>")).encode(), "document type"),
        (b'<!DOCTYPE r SYSTEM "file:///etc/passwd">' + simple().encode(), "document type"),
        (b'<!DOCTYPE r [<!ENTITY x SYSTEM "/etc/passwd">]>' + simple("&x;").encode(), "document type"),
        (b"<html/>", "no XMP"),
        (b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>', "no XMP"),
        (f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{simple()}{simple()}</x:xmpmeta>'.encode(), "several"),
        (simple("<undeclared:x/>").encode(), "damaged"),
        (simple("\udce9").encode("utf-8", "surrogateescape"), "not in the encoding"),
        (('<?xml version="1.0" encoding="EBCDIC-CP-US"?>' + simple()).encode(), "encoding"),
        (('<?xml version="1.0" encoding="idna"?>' + simple()).encode(), "encoding"),
        (codecs.BOM_UTF16_LE + simple().encode("utf-16-le")[:-1], "not in the encoding"),
        (simple("<a>" * MAX_DEPTH + "</a>" * MAX_DEPTH).encode(), "elements in"),
        (b" " * (MAX_BYTES + 1), "larger than"),
        (simple(f"<dc:subject>{bag(*'x' * 100_001)}</dc:subject>").encode(), "more than"),
        (simple('<dc:subject rdf:resource="urn:x"/>').encode(), "not understood"),
        (simple(f"<dc:subject>{bag('a')}{bag('b')}</dc:subject>").encode(), "not understood"),
        (simple("<dc:subject><x/></dc:subject>").encode(), "not understood"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_read_is_said_to_be(data, why):
    with pytest.raises(Unreadable, match=why):
        merge(data, TAGS)


def test_what_is_big_stays_small():
    """Neither a long space between keywords is taken up for ours, nor is each of many namespaces kept many times."""
    spaced = simple(f"<dc:subject>{bag('a', 'b')}</dc:subject>").replace("</rdf:li>", "</rdf:li>" + " " * 100_000)
    assert len(merge(spaced.encode(), TAGS)) < len(spaced) + 2000
    names = " ".join(f'xmlns:a{i}="urn:{i}"' for i in range(2000))
    many = f"<rdf:RDF {RDF} {names}>" + '<rdf:Description xmlns:dc="urn:x"/>' * 2000 + "</rdf:RDF>"
    tracemalloc.start()
    try:
        merge(many.encode(), TAGS)
        assert tracemalloc.get_traced_memory()[1] < 30 << 20
    finally:
        tracemalloc.stop()


def damaged(rng, data):
    """Return bytes with something wrong, as disks and enemies make them."""
    data = bytearray(data)
    at, kind = rng.randrange(len(data) + 1), rng.randrange(8)
    if kind == 0:
        del data[at:]
    elif kind == 1:
        for _ in range(rng.randint(1, 5)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif kind == 2:
        data[:0] = (BOMB + "]>").encode()
    elif kind == 3:
        deep = rng.randint(1, 20_000)
        data[at:at] = b"<a>" * deep + b"</a>" * rng.choice([deep, 0])
    elif kind == 4:
        data[at:at] = data[rng.randrange(len(data)) :][: rng.randint(0, 400)]
    elif kind == 5:
        data[at:at] = rng.choice([b"<![CDATA[", b"]]>", b"&x;", b"&#0;", b"<!--", b"/>", b"\"'", b"\0", b"\xff\xfe"])
    elif kind == 6:
        data[at:at] = bytes(rng.choice(b" <x") for _ in range(20_000))
    else:
        del data[at : at + rng.randint(1, 200)]
    return bytes(data)


def edited(rng, text):
    """Return a text as editors and other programs might have left it, mostly still well-formed."""
    lines = text.splitlines(keepends=True) or [""]
    at, kind = rng.randrange(len(lines)), rng.randrange(9)
    if kind == 0:
        lines.insert(at, lines[rng.randrange(len(lines))])
    elif kind == 1:
        del lines[at]
    elif kind == 2:
        lines[at] = lines[at].replace('"', "'")
    elif kind == 3:
        lines[at] = lines[at].replace(">", "><!-- > ' -->").replace("/><!--", "/>  <!--")
    elif kind == 4:
        return text.replace("rdf:", "r:").replace("xmlns:rdf", "xmlns:r")
    elif kind == 5:
        lines[at] = lines[at].replace(">", ">" + "&amp;\U0001f600é&#x96ea;<![CDATA[<>]]>" * rng.randrange(2), 1)
    elif kind == 6:
        return text.replace("\n", rng.choice(["\r\n", "\r", "", " \t\n\n"]))
    elif kind == 7:
        lines[at] = lines[at].replace("Bag", "Seq") if rng.randrange(2) else lines[at].replace("rdf:li", "rdf:_1")
    else:
        lines[at] = lines[at].replace(">", f">{'<?pi <a> ?>' * rng.randint(1, 3000)}", 1)
    return "".join(lines)


def mutated(seed):
    rng = random.Random(seed)
    text = rng.choice([*STYLES.values(), merge(None, TAGS).decode(), simple(f"<dc:subject>{bag('a')}</dc:subject>")])
    for _ in range(rng.randrange(4)):
        text = edited(rng, text)
    data = text.encode(
        rng.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1"]), "replace"
    )
    return damaged(rng, data) if rng.randrange(3) == 0 else data


@pytest.mark.parametrize("block", range(10))
def test_fifty_mutations_are_read_or_refused(block):
    """500 in all: never a crash, and what is written can be read, with everything that was there."""
    n_read = 0
    for seed in range(block * 50, block * 50 + 50):
        data = mutated(seed)
        try:
            after = merge(data, TAGS)
        except Unreadable:
            continue
        n_read += 1
        parsed(after)
        now, before = keywords(after), keywords(data)
        assert set(before["subject"]) | set(OURS["subject"]) == set(now["subject"])
        assert "selfsort|photo|Beach & <sea>" in now["hierarchicalSubject"]
        theirs = [text for text in before["hierarchicalSubject"] if not text.startswith("selfsort|")]
        assert [text for text in now["hierarchicalSubject"] if not text.startswith("selfsort|")] == theirs
    assert 5 < n_read < 45  # both happen


exiftool = pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")


def read(path):
    command = ["exiftool", "-json", "-validate", "-warning", "-error", "-G1", "-a", "-struct", "-all", str(path)]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)[0]
    return {name: value if isinstance(value, list) else [value] for name, value in found.items()}


def complaints(found):
    return {name: value for name, value in found.items() if name.endswith((":Warning", ":Error", ":Validate"))}


@exiftool
@pytest.mark.parametrize("style", [None, *STYLES])
def test_exiftool_reads_what_is_written(tmp_path, style):
    path = tmp_path / "a.xmp"
    before = STYLES[style].encode() if style else None
    theirs = keywords(before) if before else {name: [] for name in OURS}
    path.write_bytes(before or merge(None, Tags()))
    complaints_before = complaints(read(path))  # digiKam's own has one
    path.write_bytes(merge(before, TAGS))
    found = read(path)
    assert complaints(found) == complaints_before
    assert found["XMP-dc:Subject"] == theirs["subject"] + OURS["subject"]
    assert found["XMP-lr:HierarchicalSubject"] == theirs["hierarchicalSubject"] + OURS["hierarchicalSubject"]
    assert found["XMP-digiKam:TagsList"] == theirs["TagsList"] + OURS["TagsList"]
    subprocess.run(["exiftool", "-q", "-overwrite_original", "-XMP-xmp:Label=x", str(path)], check=True)
    assert keywords(merge(path.read_bytes(), Tags())) == theirs  # our note survives its writing anew


@exiftool
def test_what_exiftool_wrote_is_merged_into(tmp_path):
    path = tmp_path / "b.xmp"
    options = ["-XMP-dc:Subject=mine", "-XMP-dc:Title=T & x", "-XMP-xmp:Rating=3", "-XMP-lr:HierarchicalSubject=a|b"]
    subprocess.run(["exiftool", "-q", *options, str(path)], check=True)
    before = path.read_bytes()
    path.write_bytes(merge(before, TAGS))
    found = read(path)
    assert complaints(found) == {"ExifTool:Validate": ["OK"]}
    assert found["XMP-dc:Subject"] == ["mine", *OURS["subject"]]
    assert found["XMP-lr:HierarchicalSubject"] == ["a|b", *OURS["hierarchicalSubject"]]
    assert found["XMP-digiKam:TagsList"] == OURS["TagsList"]
    assert (found["XMP-dc:Title"], found["XMP-xmp:Rating"]) == (["T & x"], [3])
    assert merge(path.read_bytes(), Tags()) == before
