from __future__ import annotations


def test_two(world):
    world.write()
    lives = world.live().well()
    print(lives.ends, lives.stages("clinic"))


def test_two_b(world, no_report):
    world.write()
    lives = world.live().well()
    print(lives.ends, lives.stages("lab"))
