"""The Chinese grammar of :mod:`pytest_gptoss.scenarios.prose`."""

from __future__ import annotations

from pytest_gptoss.scenarios.grammar import Grammar, Shape, listed

__all__ = ["CHINESE"]

_TIMES = listed("早上, 中午, 晚上, 夜里, 每天, 周末, 冬天, 夏天, 春天, 秋天")
_TRAITS = listed("年老, 年轻, 高大, 安静, 快乐, 聪明, 勇敢, 善良, 可爱, 认真")
_BEINGS = listed("小狗, 小猫, 农民, 老师, 医生, 工人, 孩子, 画家, 司机, 学生, 兔子, 白马")
_PLACES = listed("河边, 花园里, 桥上, 森林里, 学校门口, 车站, 湖边, 窗前, 山上, 市场里, 树下, 门前")
_ACTIONS = listed("唱歌, 跑步, 睡觉, 休息, 散步, 等人, 工作, 玩耍, 吃饭, 喝水, 看书, 画画")
_THINGS = listed("天空, 大海, 雪山, 面包, 牛奶, 苹果, 太阳, 月亮, 石头, 大门, 道路, 衣服, 草地, 灯光")
_QUALITIES = listed("绿色的, 蓝色的, 白色的, 新的, 冷的, 甜的, 暖和的, 圆的, 很重的, 开着的, 很长的, 明亮的")


def _filler(words: int, turn: int) -> str:
    return f"{_BEINGS[turn % len(_BEINGS)]}在河边{'很' * words}安静。"


CHINESE = Grammar(
    shapes=(
        Shape(45, "{}，{}的{}在{}{}。", (_TIMES, _TRAITS, _BEINGS, _PLACES, _ACTIONS)),
        Shape(35, "{}的{}在{}{}。", (_TRAITS, _BEINGS, _PLACES, _ACTIONS)),
        Shape(20, "{}，{}是{}。", (_TIMES, _THINGS, _QUALITIES)),
    ),
    joint="",
    filler=_filler,
)
"""191,760 sentences, over two million tokens."""
