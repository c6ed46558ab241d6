"""Progress lines: who has done how much, how fast, how long still."""

from pytest_gptoss.run.progress import Progress


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_lines_come_now_and_then_with_rate_and_estimate():
    told, clock = [], Clock()
    progress = Progress(told.append, every_s=5, clock=clock)
    progress.start({"npu": 10, "gpu": 10})
    for _ in range(4):
        clock.now += 1
        progress.step("npu")
    assert told == []
    clock.now += 1
    progress.step("gpu")
    assert told == ["gptoss: npu 4/10, gpu 1/10 (1.0/s, about 15 s left)"]
    progress.step("gpu")
    assert len(told) == 1


def test_a_new_stage_counts_anew():
    told, clock = [], Clock()
    progress = Progress(told.append, every_s=1, clock=clock)
    progress.start({"a": 1})
    progress.start({"b": 2})
    clock.now = 2
    progress.step("b")
    assert told == ["gptoss: b 1/2 (0.5/s, about 2 s left)"]


def test_of_many_labels_the_least_advanced_are_listed():
    told, clock = [], Clock()
    progress = Progress(told.append, every_s=1, clock=clock)
    progress.start({f"n{place:02d}": 4 for place in range(64)})
    for place in range(63):
        progress.step(f"n{place:02d}")
    clock.now = 2
    progress.step("n00")
    line = told[-1]
    assert line.startswith("gptoss: n63 0/4, n01 1/4, ")
    assert "60 others 61/240" in line
    assert len(line) < 100
