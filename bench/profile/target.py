"""target.py KIND DEPTH: a loop whose impossible stacks are decidable.

Functions whose names end in 1 never call those that end in 2, and the other way round.

calls       functions of 10 ns, the worst case: as short as cache lines take to be read
work        the same calls, each with some 150 ns of work
generators  generators that are driven and suspended
idle        a thread that sleeps
count       prints how long a fixed piece of work took, again and again; with THREADS
            native threads that sleep beside it (the third argument)
"""

import sys
import threading
import time

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


def cw1(x):
    x = x * 3 + 1; x = x ^ 5; x = x % 1000; x = x * 3 + 1; x = x ^ 5; x = x % 1000
    return x


def cw2(x):
    x = x * 3 + 1; x = x ^ 5; x = x % 1000; x = x * 3 + 1; x = x ^ 5; x = x % 1000
    return x


def bw1(x):
    x = x * 3 + 1; x = x ^ 5; x = x % 1000; x = x * 3 + 1; x = x ^ 5; x = x % 1000
    return cw1(x) + cw1(x)


def bw2(x):
    x = x * 3 + 1; x = x ^ 5; x = x % 1000; x = x * 3 + 1; x = x ^ 5; x = x % 1000
    return cw2(x) + cw2(x)


def aw1(x):
    x = x * 3 + 1; x = x ^ 5; x = x % 1000; x = x * 3 + 1; x = x ^ 5; x = x % 1000
    return bw1(x) + bw1(x)


def aw2(x):
    x = x * 3 + 1; x = x ^ 5; x = x % 1000; x = x * 3 + 1; x = x ^ 5; x = x % 1000
    return bw2(x) + bw2(x)


def work():
    while True:
        aw1(3)
        aw2(4)


def run(one, two):
    x, y = g1(), g2()
    while True:
        one(x)
        two(y)


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def count():
    for _ in range(int(sys.argv[3]) if len(sys.argv) > 3 else 0):
        threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    while sys.stdin.readline():
        begin = time.perf_counter()
        fib(22)
        print(time.perf_counter() - begin, flush=True)


def deep(n):
    if n:
        deep(n - 1)
    elif kind == "calls":
        run(a1, a2)
    elif kind == "work":
        work()
    elif kind == "generators":
        run(n1, n2)
    elif kind == "count":
        count()
    else:
        time.sleep(3600)


print("ready", flush=True)
deep(depth)
