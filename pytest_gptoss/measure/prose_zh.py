"""The Chinese sister of :mod:`pytest_gptoss.measure.prose`: seeded, and no sentence comes twice.

Sentences are joined without spaces, as Chinese is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from pytest_gptoss.measure.prose import _list, _Shape, _walk

__all__ = ["capacity", "filler", "sentences", "text"]

_TIMES = _list("早上, 中午, 晚上, 夜里, 每天, 周末, 冬天, 夏天, 春天, 秋天")
_TRAITS = _list("年老, 年轻, 高大, 安静, 快乐, 聪明, 勇敢, 善良, 可爱, 认真")
_BEINGS = _list("小狗, 小猫, 农民, 老师, 医生, 工人, 孩子, 画家, 司机, 学生, 兔子, 白马")
_PLACES = _list("河边, 花园里, 桥上, 森林里, 学校门口, 车站, 湖边, 窗前, 山上, 市场里, 树下, 门前")
_ACTIONS = _list("唱歌, 跑步, 睡觉, 休息, 散步, 等人, 工作, 玩耍, 吃饭, 喝水, 看书, 画画")
_THINGS = _list("天空, 大海, 雪山, 面包, 牛奶, 苹果, 太阳, 月亮, 石头, 大门, 道路, 衣服, 草地, 灯光")
_QUALITIES = _list("绿色的, 蓝色的, 白色的, 新的, 冷的, 甜的, 暖和的, 圆的, 很重的, 开着的, 很长的, 明亮的")

_GRAMMAR = (
    _Shape(45, "{}，{}的{}在{}{}。", (_TIMES, _TRAITS, _BEINGS, _PLACES, _ACTIONS)),
    _Shape(35, "{}的{}在{}{}。", (_TRAITS, _BEINGS, _PLACES, _ACTIONS)),
    _Shape(20, "{}，{}是{}。", (_TIMES, _THINGS, _QUALITIES)),
)


def sentences(seed: int) -> Iterator[str]:
    """Give every sentence once, in an order that only the seed decides; ``capacity()`` of them."""
    return _walk(seed, _GRAMMAR)


def text(seed: int, sentences: int) -> str:
    """Join the first ``sentences`` sentences of the stream.

    Raises ValueError where there are fewer sentences than that.
    """
    if not 0 <= sentences <= capacity():
        raise ValueError(
            f"{sentences} Chinese sentences were asked for, there are between 0 and {capacity()} "
            "without repeating one: ask for fewer"
        )
    return "".join(islice(_walk(seed, _GRAMMAR), sentences))


def filler(words: int, turn: int = 0) -> str:
    """One sentence made longer by ``words`` characters, of the being whose ``turn`` it is."""
    return f"{_BEINGS[turn % len(_BEINGS)]}在河边{'很' * words}安静。"


def capacity() -> int:
    """Count the different sentences."""
    return sum(shape.size for shape in _GRAMMAR)
