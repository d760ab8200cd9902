"""target.py calls|generators DEPTH: a loop whose impossible stacks are decidable.

Functions whose names end in 1 never call those that end in 2, and the other way round.
"""

import sys

kind, depth = sys.argv[1], int(sys.argv[2])


def c1():
    return 1


def c2():
    return 2


def b1():
    return c1() + c1()


def b2():
    return c2() + c2()


def a1(_):
    return b1() + b1()


def a2(_):
    return b2() + b2()


def g1():
    while True:
        yield c1() + c1()


def g2():
    while True:
        yield c2() + c2()


def n1(g):
    next(g)
    for x in g:
        if x:
            break


def n2(g):
    next(g)
    for x in g:
        if x:
            break


def run(one, two):
    x, y = g1(), g2()
    while True:
        one(x)
        two(y)


def deep(n):
    if n:
        deep(n - 1)
    elif kind == "calls":
        run(a1, a2)
    else:
        run(n1, n2)


print("ready", flush=True)
deep(depth)
