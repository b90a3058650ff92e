/* speed_torch.c - PyTorch, as a child process that is asked over pipes, so
   that its samples stand between those of the others.  The other side, and
   what is said, is in speed_torch.py. */

#define _GNU_SOURCE
#include "speed.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const Workload *now;
static FILE *to_child, *from_child;
static char line[200], version[200];

/* Its next line, without the end; NULL: it is gone. */
static const char *answer(void)
{
    if (fgets(line, sizeof line, from_child) == NULL)
        return NULL;
    line[strcspn(line, "\n")] = '\0';
    return line;
}

static const char *ask(const char *question)
{
    const char *text;

    fprintf(to_child, "%s\n", question);
    fflush(to_child);
    text = answer();
    if (text == NULL)
        give_up("torch", "the child process has ended");
    return text;
}

static void become_python(int in, int out)
{
    static char python[] = SPEED_PYTHON, script[] = SPEED_SCRIPT;
    char *arguments[3];

    arguments[0] = python;
    arguments[1] = script;
    arguments[2] = NULL;
    dup2(in, 0);
    dup2(out, 1);
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    setenv("OMP_NUM_THREADS", "1", 1);
    execvp(python, arguments);
    _exit(127);
}

/* The child ends when the pipe to it does. */
static const char *start(void)
{
    int down[2], up[2];
    pid_t child;

    if (pipe(down) != 0 || pipe(up) != 0)
        return NULL;
    fflush(stdout);
    signal(SIGPIPE, SIG_IGN);
    child = fork();
    if (child < 0)
        return NULL;
    if (child == 0) {
        close(down[1]);
        close(up[0]);
        become_python(down[0], up[1]);
    }
    close(down[0]);
    close(up[1]);
    to_child = fdopen(down[1], "wb");
    from_child = fdopen(up[0], "rb");
    if (!to_child || !from_child || !answer())
        return NULL;
    snprintf(version, sizeof version, "%s", line);
    return version;
}

static void send_floats(const float *at, int rows, int columns)
{
    fwrite(at, sizeof *at, (size_t)rows * (size_t)columns, to_child);
}

static const char *prepare(const Workload *w)
{
    const char *form;
    int l;

    if (w->task != PREDICT && !learns(w))
        return NULL;
    now = w;
    fprintf(to_child, "prepare %s %d %d %d %d %g %d", learns(w) ? "step"
            : "predict", w->experts, w->top_k, w->rows, w->cases,
            (double)RATE, w->inputs);
    for (l = 0; l < w->layers; l++)
        fprintf(to_child, " %d", w->layer[l].out);
    fprintf(to_child, "\n");
    send_floats(w->params, 1, (int)w->count);
    send_floats(w->x, w->cases, w->inputs);
    send_floats(w->d, w->cases, w->outputs);
    fflush(to_child);
    form = answer();
    if (form == NULL)
        give_up("torch", "the child process has ended");
    return form;
}

static void result(float *out)
{
    size_t count = learns(now) ? now->count
                 : (size_t)now->cases * (size_t)now->outputs;

    ask("result");
    if (fread(out, sizeof *out, count, from_child) != count)
        give_up("torch", "the child process has ended");
}

static double run(int times)
{
    char question[40];

    snprintf(question, sizeof question, "run %d", times);
    return strtod(ask(question), NULL);
}

static void release(void)
{
    ask("release");
}

const Peer peer_torch = {"PyTorch", 0, start, prepare, result, run, release};
