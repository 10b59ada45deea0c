"""Turns kernel sources and the law's headers into one C file.

usage: embed.py OUT.c SOURCE...
       embed.py OUT.c --text NAME SOURCE

Each source becomes an entry of anl_cl_sources, named as its file without the folder and suffix.
Lines with #include are left out: cl/program.c hands the compiler the sources it needs, in order.
Comments and indentation are left out too, so that a change of words does not miss every cache.
--text: one source, as a terminated string of that name.
"""
import os
import re
import sys


def strip(text):
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(l for l in lines if l and not l.startswith("#include")) + "\n"


def array(name, data):
    rows = [", ".join(str(b) for b in data[i:i + 24]) for i in range(0, len(data), 24)]
    return "static const char %s[] = {\n%s\n};\n" % (name, ",\n".join(rows))


def text(out, name, path):
    with open(path, encoding="ascii") as f:
        data = strip(f.read()).encode("ascii") + b"\0"
    with open(out, "w", encoding="ascii") as f:
        f.write("/* Made by cl/embed.py. */\nextern const char %s[];\n" % name)
        f.write(array(name, data).replace("static ", "", 1))


def main(out, paths):
    arrays, entries = [], []
    for path in paths:
        name = os.path.splitext(os.path.basename(path))[0]
        with open(path, encoding="ascii") as f:
            data = strip(f.read()).encode("ascii")
        arrays.append(array("text_" + name, data))
        entries.append('{ "%s", text_%s, sizeof text_%s },' % (name, name, name))
    with open(out, "w", encoding="ascii") as f:
        f.write('/* Made by cl/embed.py. */\n#include "cl/cl.h"\n')
        f.write("".join(arrays))
        f.write("const struct anl_cl_source anl_cl_sources[] = {\n%s\n};\n" % "\n".join(entries))
        f.write("const int anl_cl_n_sources = %d;\n" % len(entries))


if __name__ == "__main__":
    if sys.argv[2] == "--text":
        text(sys.argv[1], *sys.argv[3:])
    else:
        main(sys.argv[1], sys.argv[2:])
