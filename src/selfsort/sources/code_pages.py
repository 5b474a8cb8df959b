"""Which code page names in an archive are in, where it does not say: the one in which they look most like words.

Zips have no field for it. Windows packs names in the code page of its language, and programs on other systems read them
as that of the first PC. The names of one archive are judged together; each character speaks for or against a code page.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable

#: In this order: of equals the first is taken.
_CODE_PAGES = ("gb18030", "cp932", "cp950", "cp949", "cp866", "cp1251", "koi8-r", "cp437", "cp850", "cp1252")
#: What no archive says counts as this code page, by the zip format.
_DEFAULT = "cp437"
#: Common characters of Chinese (both scripts) and Japanese, and words for pictures, places and times.
_HAN = frozenset(
    "的一是不了在人有我他这個个上们們来來到时時大地为為子中你说說生国國年着就那和要她出也得里裡后後自以会會家可下而过過天去能对對小多然于於心学學"
    "么麼之都好看起发發当當没沒成只如事把还還用第样樣道想作种種开開美总總从從无無情己面最女但现現前些所同日手又行意动動方期它头頭经經长長儿兒回位"
    "分爱愛老因很给給名法间間斯知世什两兩次使身者被高已亲親其进進此话話常与與活正感见見明问問力理尔爾点點文几幾定本公特做外孩相西果走将將月十实實向"
    "声聲车車全信重三机機工物气氣每并別别真打太新比才便夫再书書部水像眼等体體却加电電主界门門利海受听聽表德少克代员員许許先口由死安写寫性马馬光白"
    "或住难難望教命花结結乐樂色更拉东東神记記处處让讓母父应應直字场場平报報友关關放至张張认認接告入笑内内英军軍候民岁歲往何度山觉覺路带帶万萬男边邊"
    "风風解叫任金快原吃妈媽变變通师師立象数數四失满滿战戰远遠格士音轻輕目条條照片图圖像相册冊截屏微信旅游遊北京上海香港广廣州深圳台湾灣生日婚礼禮"
    "家庭朋友孩子宝寶毕畢业業春夏秋冬节節假期早晚午昨今周週星期元旦二五六七八九百千号號副本文件夹夾资資料下载載备備份风景动物猫貓狗食画畫像写真旅行"
    "運動会京都東京大阪結婚式誕生卒業入学祭桜花見温泉夏休冬休正月家族友達子供犬"
)
_HANGUL = frozenset(
    "이다는을의가에고한하지도로은사기리를어자나서인아그시해대들만수정일보라제있전주부원성구공여상장스오마비조신우무국소년게면동경과진안화"
    "물모내회미용선생드세유개방관학산집발양중강와반문식교행연계름후월날친엄빠족결혼여름겨울봄가을바다음악치트북제주울남광천휴돌잔"
)
#: What one character speaks for a code page (for each byte that it takes), or against it.
_COMMON, _LIKELY, _POSSIBLE, _UNLIKELY, _STRANGE = 1.0, 0.7, 0.2, -0.3, -1.0
_N_NAMES = 500  # tell enough
#: Names that look less like words than this are read by the default.
_LEAST = 0.25


def code_page(names: Iterable[bytes]) -> str:
    r"""Return the code page in which names look most like words.

    Parameters
    ----------
    names : iterable of bytes
        As they stand in an archive that does not say their code page; none of them is UTF-8.

    Returns
    -------
    str
        A name for `bytes.decode`.

    Examples
    --------
    >>> code_page(["照片一.jpg".encode("gbk")]), code_page([b"caf\x82.jpg"])
    ('gb18030', 'cp437')
    """
    text = b"/".join(itertools.islice(names, _N_NAMES))
    scores = {page: _score(text, page) for page in _CODE_PAGES}
    best = max(_CODE_PAGES, key=lambda page: scores[page])
    return best if scores[best] >= _LEAST else _DEFAULT


def _score(names: bytes, page: str) -> float:
    """Return what speaks for a code page, per byte that is not ASCII; -1 if it cannot be."""
    try:
        text = names.decode(page)
    except UnicodeDecodeError:
        return -1.0
    around = f"/{text}/"
    said, n_bytes = 0.0, 0
    for before, character, after in zip(around, text, around[2:], strict=False):
        if character > "\x7f":
            width = len(character.encode(page))
            said, n_bytes = said + width * _said(character, before, after), n_bytes + width
    return said / max(n_bytes, 1)


def _said(character: str, before: str, after: str) -> float:
    """Return how likely a character is in a name, between its neighbors."""
    code = ord(character)
    if character in _HAN or character in _HANGUL or 0x3041 <= code <= 0x30FE:  # the last are kana
        return _COMMON
    if 0xAC00 <= code <= 0xD7A3:
        return _LIKELY / 2 if _is_in(character, "euc_kr") else _UNLIKELY
    if 0x4E00 <= code <= 0x9FFF:
        frequent = _is_in(character, "gb2312") and character.encode("gb2312") < b"\xd8"  # its first 3,755
        return _POSSIBLE if frequent else _UNLIKELY
    if unicodedata.category(character) not in ("Ll", "Lu", "Lm", "Lo") or 0xFF61 <= code <= 0xFF9F:
        return _STRANGE / 2 if 0x3000 <= code <= 0x303F or 0xFF00 <= code <= 0xFF5E else _STRANGE
    latin, beside_latin = code < 0x250, any(part.isascii() and part.isalpha() for part in (before, after))
    if character.isupper() and before.islower():  # no word is written so
        return _STRANGE
    if latin:
        return _LIKELY if beside_latin else _UNLIKELY
    if not 0x400 <= code < 0x460:
        return _STRANGE
    return _STRANGE if beside_latin else _COMMON if character.islower() else _LIKELY


def _is_in(character: str, characters: str) -> bool:
    try:
        character.encode(characters)
    except UnicodeEncodeError:
        return False
    return True
