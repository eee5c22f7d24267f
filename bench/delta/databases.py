"""Makes two pairs of SQLite databases: one built anew, one changed in place.

Usage: databases.py DIR    (makes DIR/sqlite/{old,new} and DIR/sqlite-edit/{old,new})

The same rows on any machine; the bytes depend on the version of SQLite.
"""

import pathlib
import random
import shutil
import sqlite3
import sys


def build(path, changed):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    db = sqlite3.connect(path)
    rng = random.Random(5)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(rng.choice(letters) for _ in range(rng.randint(3, 10))) for _ in range(4000)]
    db.execute("create table pkg(id integer primary key,name text,version text,summary text,size int)")
    db.execute("create index n on pkg(name)")
    db.execute("create table dep(a int,b int,c text)")
    db.execute("create index d on dep(a,b)")
    for row in range(30000):
        name = "-".join(rng.choice(words) for _ in range(2))
        version = f"{rng.randint(0, 9)}.{rng.randint(0, 30)}.{rng.randint(0, 9)}"
        summary = " ".join(rng.choice(words) for _ in range(rng.randint(4, 14)))
        size = rng.randint(1000, 10**7)
        needs = [
            (row, rng.randint(0, 29999), rng.choice([">=1", "<2", "*"]))
            for _ in range(rng.randint(0, 4))
        ]
        fate = random.Random(row * 7 + 1).random()
        if changed and fate < 0.02:
            continue
        if changed and fate < 0.10:
            version, size = version + ".1", size + 1234
        db.execute("insert into pkg values(?,?,?,?,?)", (row, name, version, summary, size))
        db.executemany("insert into dep values(?,?,?)", needs)
    db.commit()
    db.execute("vacuum")
    db.close()


def edit(path):
    db = sqlite3.connect(path)
    rng = random.Random(9)
    for row in rng.sample(range(30000), 1500):
        more = rng.randint(1, 500)
        db.execute("update pkg set version=version||?, size=size+? where id=?", (".2", more, row))
    for row in range(30000, 30600):
        name, summary = f"new-{rng.randint(0, 10**6)}", f"a new package {rng.random()}"
        values = (row, name, "1.0", summary, rng.randint(0, 10**6))
        db.execute("insert into pkg values(?,?,?,?,?)", values)
    db.commit()
    db.close()


def main():
    out = pathlib.Path(sys.argv[1])
    build(out / "sqlite/old/a.db", False)
    build(out / "sqlite/new/a.db", True)
    for side in ["old", "new"]:
        place = out / "sqlite-edit" / side
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(out / "sqlite/old/a.db", place / "a.db")
    edit(out / "sqlite-edit/new/a.db")


main()
