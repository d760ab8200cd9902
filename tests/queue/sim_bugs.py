#!/usr/bin/env python3
"""Whether the simulator finds bugs: put one in, build, run, take it out.

    tests/queue/sim_bugs.py [NAME...]

Works on a copy of the sources in a folder of its own.  Each bug is a text in
one file and what stands there instead.  Prints after how many steps each was
found; exits 1 if one was not.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
STEPS = {"memory": 2_000_000, "sqlite": 60_000}

# name, store, file of src/queue, what stands there, what is to stand there
BUGS = [
    ("any attempt may finish", "memory", "memory_task.c",
     " || task->attempt != attempt)", ")"),
    ("any owner may finish", "memory", "memory_task.c",
     "task->owner->who.id != owner || ", ""),
    ("a member's end is not counted", "memory", "memory_rules.c",
     "        rules->left--;\n", ""),
    ("a waiting task begins one member early", "memory", "memory_rules.c",
     "if (rules->left == 0)\n            let_go", "if (rules->left <= 1)\n            let_go"),
    ("a failed member fails nothing", "memory", "memory_rules.c",
     "if (rules->must_succeed && how.state", "if (false && how.state"),
    ("one more of a lane runs", "memory", "memory_lane.c",
     "lane->running < lane->running_max;", "lane->running <= lane->running_max;"),
    ("who leaves a lane lets nobody in", "memory", "memory_lane.c",
     "    guaco__memory_lanes_kick(self, task);\n}\n\n/* ---- by the clock",
     "}\n\n/* ---- by the clock"),
    ("a turn that another lane stops is lost", "memory", "memory_lane.c",
     "        guaco__memory_lanes_kick(self, task);\n        return false;",
     "        return false;"),
    ("a start takes nothing of the rate", "memory", "memory_lane.c",
     "        lane->full_us = full_us;\n    }", "    }"),
    ("a clock set back stalls a rate", "memory", "memory_lane.c",
     "    if (self->now_ms < self->latest_ms)\n        pull_wakes(self);\n", ""),
    ("an expired key is still held", "memory", "memory_rules.c",
     "unique != NULL && unique->end_ms > self->now_ms", "unique != NULL"),
    ("a key is held though its task ended", "memory", "memory_rules.c",
     "    if (rules->until != GUACO_UNIQUE_TIME)\n        free_key(self, task);\n", ""),
    ("a key is not free once it started", "memory", "memory_rules.c",
     "task->rules->until == GUACO_UNIQUE_STARTED", "false"),
    ("the next stage does not join", "memory", "memory_rules.c",
     "    next->rules->joins = from->rules->joins;\n", ""),
    ("a tick counts twice", "memory", "memory_recur.c",
     "        recur->def.last_ms != tick->expect_ms)", "        false)"),
    ("a tick of a former deployment counts", "memory", "memory_recur.c",
     "recur->def.generation != tick->generation || ", ""),
    ("a paused queue gives", "memory", "memory_task.c",
     "queue == NULL || queue->is_paused", "queue == NULL"),
    ("a canceled task is released to run again", "memory", "memory_task.c",
     "    if (task->is_canceled)\n        return guaco__memory_end_canceled(",
     "    if (false)\n        return guaco__memory_end_canceled("),
    ("a canceled task comes back by a reap", "memory", "memory_owner.c",
     "    if (task->is_canceled &&", "    if (false &&"),
    ("deaths are not counted", "memory", "memory_owner.c",
     "            task->deaths++;", "            (void)0;"),
    ("a suspect runs beside others", "memory", "memory_task.c",
     "if (claim->alone)\n        rc = give_from(self, claim, owner, &queue->suspects, 1);",
     "if (true)\n        rc = give_from(self, claim, owner, &queue->suspects, claim->max);"),
    ("what a put that failed made stays", "memory", "memory_task.c",
     "        if (rc != GUACO_OK)\n            unmake(self, task);",
     "        if (rc != GUACO_OK && i > 0)\n            unmake(self, task);"),
    ("a purge tells nobody", "memory", "memory_admin.c",
     "        if (!dead)\n", "        if (false)\n"),
    ("tasks come before they are due", "memory", "memory_task.c",
     "put->due_ms > self->now_ms", "put->due_ms > self->now_ms + 2000"),
    ("last in, first out", "memory", "memory_task.c",
     "    return x->id < y->id;\n}\n\n/* ---- queues", "    return x->id > y->id;\n}\n\n/* ---- queues"),
    ("a lock's lease does not end", "memory", "memory_lock.c",
     "holder->end_ms <= now_ms", "false"),
    ("a lock outlives its owner", "memory", "memory_owner.c",
     "    guaco__memory_unlock_owner(self, op->owner);\n", ""),
    ("a lock has one holder more", "memory", "memory_lock.c",
     "op->holders >= op->slots", "op->holders > op->slots"),
    ("any attempt may be released", "sqlite", "sqlite_statements.h",
     "WHERE id = ?1 AND owner = ?2 AND attempt = ?3", "WHERE id = ?1 AND ?2 = ?2 AND ?3 = ?3"),
    ("a range that is dropped takes what came back", "sqlite", "sqlite_lane.c",
     "        self->kicks[self->kick_count++] = rule->lanes[i];",
     "        (void)guaco__sqlite_lanes_kick(self, &rule->lanes[i], 1);"),
    ("a lane's count is not saved", "sqlite", "sqlite_lane.c",
     "        lanes[i].running++;\n", ""),
    ("the last member is not seen", "sqlite", "sqlite_rules.c",
     "sqlite3_column_int64(stmt, 7) <= 1;", "sqlite3_column_int64(stmt, 7) <= 0;"),
    ("an expired key is still held", "sqlite", "sqlite_rules.c",
     "sqlite3_column_int64(stmt, 1) > self->now_ms)", "true)"),
]


def run(*command: str | pathlib.Path, cwd: pathlib.Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, check=False, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=900,
    )
    return done.stdout if done.returncode == 0 else f"FAILED\n{done.stdout}"


def find(tree: pathlib.Path, bug: tuple[str, str, str, str, str]) -> bool:
    """Put the bug in, and say whether and when it was found."""
    name, store, file, there, instead = bug
    path = tree / "src/queue" / file
    sound = path.read_text()
    if sound.count(there) < 1:
        print(f"{store}: {name}: the text is not in {file}")
        return False
    path.write_text(sound.replace(there, instead, 1))
    try:
        built = run("ninja", "-C", "build", "tests/queue/test_sim", cwd=tree)
        if built.startswith("FAILED"):
            print(f"{store}: {name}: does not build\n{built[-800:]}")
            return False
        said = run("build/tests/queue/test_sim", "--store", store, "--steps",
                   str(STEPS[store]), "--seed", "7", cwd=tree)
    finally:
        path.write_text(sound)
    if not said.startswith("FAILED"):
        print(f"{store}: {name}: NOT FOUND")
        return False
    step = re.search(r"step (\d+), ([^:]*): (.*)", said)
    why = f"step {step[1]}, {step[3]}" if step else said.splitlines()[-1]
    print(f"{store}: {name}: {why}", flush=True)
    return True


def main() -> int:
    wanted = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        tree = pathlib.Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(
            "build*", ".venv*", ".pythons", ".git", ".cache"))
        made = run("meson", "setup", "build", "-Dpython=", cwd=tree)
        if made.startswith("FAILED"):
            print(made)
            return 1
        found = [find(tree, bug) for bug in BUGS
                 if not wanted or bug[0] in wanted]
    print(f"{sum(found)} of {len(found)} found")
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main())
