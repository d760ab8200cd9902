"""How long tests wait for what must come.

One figure for all: a wait that ends when its state comes costs nothing, however
late its deadline is, and a machine that does much else may be slow.
"""

DEADLINE_S = 60.0

# result(*WAIT): blocking, the deadline.
WAIT = True, DEADLINE_S
