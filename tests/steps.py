# steps.py - for gdb: steps, line by line and into every function, from the
# first line of moe_predict until it is back in main.  Prints how many steps
# that takes and through how many functions; with LIST set, each of them.
import os

import gdb

gdb.execute("set pagination off")
gdb.execute("set confirm off")
gdb.execute("break moe_predict")
gdb.execute("run")
steps, functions = 0, {}
while gdb.selected_frame().name() != "main" and steps < 100000:
    name = gdb.selected_frame().name()
    functions[name] = functions.get(name, 0) + 1
    gdb.execute("step", to_string=True)
    steps += 1
if "LIST" in os.environ:
    for name in functions:
        print("    %4d %s" % (functions[name], name))
print("steps %d functions %d" % (steps, len(functions)))
gdb.execute("continue")
