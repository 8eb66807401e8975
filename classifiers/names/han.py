"""Latin names written in Chinese characters: which characters of a text may be such a writing, and how they sound.

Names are written with some three hundred characters that were chosen for it, by a table of syllables (Names of the
World's Peoples, Xinhua). A run of two or more of them, and of the points between the words of a name, is read by the
sounds of Mandarin; the run may hold a name anywhere, because Chinese has no spaces.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from anyascii import anyascii

__all__ = ["Run", "last_run", "runs"]

_FEWEST, _MOST = 2, 12  # characters of a name
# The characters of simplified Chinese and those that traditional Chinese writes otherwise. Left out are characters that
# stand in every other sentence (都 得 可 年 日 什 第 因 于 女).
_CHARACTERS = frozenset(
    "阿埃艾爱安昂奥巴拜班邦包保鲍贝蓓本比彼边宾波伯博布柏蔡查柴昌彻茨慈措达戴岱丹德登邓迪蒂丁东杜敦顿多厄恩尔法凡范方"
    "菲费芬丰冯弗佛夫福富伏盖甘冈高戈哥格葛根贡古顾瓜圭哈海汉翰杭豪赫黑亨洪胡华怀惠霍基吉季加嘉贾简江杰捷洁金津京久居"
    "卡凯恺坎康考柯科克肯孔库夸奎昆拉腊莱赖兰朗劳勒雷蕾里理利丽莉黎力连廉莲良列林琳留柳龙隆娄卢鲁露璐伦罗萝洛吕玛马麦"
    "迈曼芒毛梅门蒙孟米密弥敏缪摩莫默墨姆穆拿娜纳乃奈南瑙内尼妮涅宁纽农努诺欧帕派潘庞佩彭蓬皮匹平坡珀普漆齐奇琪恰钱茜"
    "强乔切琴青琼丘热仁儒茹瑞若撒萨塞赛桑瑟森沙莎珊善绍舍申圣施史舒朔斯思丝松苏孙索塔泰坦汤唐陶特滕缇提廷图土托瓦娃旺"
    "威韦维魏薇卫温文翁沃渥乌武伍西希锡席夏辛欣兴休修许雪逊薛雅亚娅扬杨耶叶伊依尹茵英永尤约云泽扎詹张哲珍芝支治朱珠茱"
    "祖佐卓兹姬玲芙芭黛碧妲孚迦伽大小万白牛因狄仑略盛灵卜生曹脱涵雯菈破明愛奧邊賓達鄧東頓爾範費豐馮蓋岡貢顧漢華懷賈簡"
    "傑凱庫萊賴蘭勞裡麗連蓮龍婁盧魯倫羅蘿呂瑪馬麥邁門繆納內寧紐農諾歐龐齊錢強喬瓊賽薩紹聖絲蘇孫湯圖韋維衛溫烏錫興許遜"
    "亞婭揚楊葉約雲澤紮張貞茲潔萬"
)
_POINTS = "·・‧•∙⋅･.‐‑‒–—-＝=\u3000 "
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"
_BETWEEN = re.escape(_POINTS + _INVISIBLE)
_IN_A_RUN = "[{0}]+(?:[{1}]{{1,2}}[{0}]+)*".format("".join(sorted(_CHARACTERS)), _BETWEEN)
_RUN = re.compile(_IN_A_RUN)
_POINT = re.compile(f"[{re.escape(_POINTS)}]+")
_LAST_CHARS = 512  # that are searched for the last run: no name is as long, and a search takes quadratic time
_LAST_RUN = re.compile(f"{_IN_A_RUN}[{_BETWEEN}]{{0,2}}\\Z")
# otherwise than `anyascii` has it
_SAID = {"扎": "za", "紮": "za", "茜": "xi", "万": "wan", "萬": "wan", "勒": "le", "柏": "bo", "翁": "weng"}
# Mandarin's sounds as `sounds` writes them: x as in ship, j as in jam.
_INITIALS = (("zh", "j"), ("ch", "j"), ("q", "j"), ("sh", "x"), ("c", "s"), ("z", "s"))
_NO_CONSONANT = re.compile("[^bdfgjklmnprstvwx]")
_ONE = str.maketrans("ptklfx", "bdgrvs")


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Characters of a text that follow each other, with nothing but points between them, at their places."""

    text: str
    places: Sequence[int]
    syllables: Sequence[tuple[str, str]]

    def parts(self) -> Iterator[tuple[int, int]]:
        """Which characters, first and one past the last, may be a name. Of a long run each part may be one; but of two
        characters, which make an ordinary word as often, only those that stand apart."""
        count = len(self.places)
        for first in range(count):
            if first + _FEWEST <= count and self._is_apart(first):
                yield first, first + _FEWEST
            yield from ((first, last) for last in range(first + _FEWEST + 1, min(first + _MOST, count) + 1))

    def ends(self) -> Iterator[tuple[int, int]]:
        """Which characters at the end may begin one."""
        count = len(self.places)
        return ((first, count) for first in range(max(0, count - _MOST + 1), count))

    def sounds(self, first: int, last: int) -> Collection[str]:
        """How some of the characters may sound, as `sounds.heard_in` has it."""
        hard = "".join([sound for _, sound in self.syllables[first:last]])
        if "j" not in hard and "w" not in hard:
            return (_whole(hard),)
        # Mandarin has no ki and no gi; and 乌 writes a vowel, and a w.
        sounds = {hard, hard.replace("j", "g")}
        return {_whole(sound.replace("w", written)) for sound in sounds for written in ("v", "")}

    def part(self, first: int, last: int) -> tuple[int, int, int, str]:
        """Of some of the characters: their half-open range in the text, how many words they are if points part them and
        no such character stands around them (0: nobody knows), and their romanised letters."""
        start, end = self.places[first], self.places[last - 1] + 1
        parted = end - start > last - first and not self._goes_on(start, end)
        points = len(_POINT.findall(self.text, start, end)) if parted else 0
        roman = "".join(letters for letters, _ in self.syllables[first:last])
        return start, end, points and points + 1, roman

    def _is_apart(self, first: int) -> bool:
        return not self._goes_on(self.places[first], self.places[first + _FEWEST - 1] + 1)

    def _goes_on(self, start: int, end: int) -> bool:
        return self.text[start - 1 : start] in _CHARACTERS or self.text[end : end + 1] in _CHARACTERS


def runs(text: str) -> Iterator[Run]:
    """All runs of a text."""
    return (_run(text, found) for found in _RUN.finditer(text))


def last_run(text: str) -> Run | None:
    """The run that the end of a text interrupts."""
    found = _LAST_RUN.search(text, max(0, len(text) - _LAST_CHARS))
    return _run(text, found) if found else None


def _run(text: str, found: re.Match[str]) -> Run:
    places = [place for place in range(*found.span()) if text[place] in _CHARACTERS]
    return Run(text, places, [_SYLLABLES[text[place]] for place in places])


def _whole(sound: str) -> str:
    """A sound whose letters are one already, without what lies across two characters; n and m are one only then."""
    sound = sound.replace("ng", "n").replace("m", "n")
    return "".join([letter for letter, before in zip(sound, " " + sound, strict=False) if letter != before])


def _syllable(character: str) -> tuple[str, str]:
    """(letters, sound) of a character, all that `heard_in` does not tell apart as one, and w for a w."""
    letters = _SAID.get(character) or anyascii(character).lower()
    sound = letters
    for spelled, said in _INITIALS:
        sound = sound.replace(spelled, said)
    return letters, _NO_CONSONANT.sub("", sound).translate(_ONE)


# All now: `anyascii` reads files, which would hold up a server's answers.
_SYLLABLES = {character: _syllable(character) for character in _CHARACTERS}
