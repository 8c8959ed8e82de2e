"""Classes whose names tell left from right: for them a mirrored clip has the wrong label."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

# Accents are dropped before the comparison. "links" and "lewa" are worth more as a warning than
# the few clips of cuff links that lose a mirror image.
_WORDS = frozenset(
    "left right leftward leftwards rightward rightwards lefthand righthand lefthanded righthanded "
    "leftside rightside leftmost rightmost lefty righty "
    "clockwise anticlockwise counterclockwise cw ccw acw "
    "links rechts linke rechte linker rechter linken rechten "
    "uhrzeigersinn gegenuhrzeigersinn linksherum rechtsherum linksom rechtsom "
    "gauche droite antihoraire "
    "izquierda izquierdo derecha derecho "
    "sinistra sinistro destra destro antiorario "
    "esquerda esquerdo direita direito "
    "vanster hoger venstre hojre hoyre medurs moturs "
    "vasen oikea vasemmalle oikealle "
    "lewo prawo lewa prawa lewy prawy doleva doprava vlevo vpravo "
    "sol sag kiri kanan "
    "влево вправо слева справа левый правый левая правая налево направо лево право "
    "αριστερα δεξια שמאלה ימינה שמאל ימין "
    "يسار يمين يسارا يمينا اليسار اليمين बाएं दाएं बाएँ दाएँ".split()
)
# In scripts without spaces between words a part of the name is enough.
_PARTS = (
    "左",
    "右",
    "顺时针",
    "逆时针",
    "順時針",
    "逆時針",
    "時計回り",
    "왼쪽",
    "오른쪽",
    "좌측",
    "우측",
)
_JOINED = re.compile(
    r"(swipe|turn|move|slide|pan|look|go|wave|shift|scroll|roll|rotate|point|kick|push|pull|step|"
    r"lean|tilt|drag|throw|jump|strafe|steer|face|head|hand|arm|leg|foot|side|to)s?(left|right)"
)


def direction_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """The class names that contain a word for left, right or a sense of rotation.

    Words of about 25 languages are known, however they are joined to others ("SwipeLeft",
    "swipe_left", "turning hand counter-clockwise"); so are pairs such as "turn_l" and "turn_r".
    """
    words = {name: _split(name) for name in classes}
    all_words = set(words.values())
    return tuple(name for name in classes if _tells_side(name, words[name], all_words))


def _tells_side(name: str, words: tuple[str, ...], others: set[tuple[str, ...]]) -> bool:
    if any(part in name for part in _PARTS):
        return True
    if any(word in _WORDS or _JOINED.fullmatch(word) for word in words):
        return True
    swapped = tuple({"l": "r", "r": "l"}.get(word, word) for word in words)
    return swapped != words and swapped in others


def _split(name: str) -> tuple[str, ...]:
    """Words in small letters without accents: "SwipeLeft_2" gives swipe, left, 2."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=\D)(?=\d)", " ", name)
    bare = "".join(c for c in unicodedata.normalize("NFKD", spaced) if not unicodedata.combining(c))
    return tuple(re.findall(r"[^\W_]+", bare.casefold().replace("ø", "o").replace("ı", "i")))
