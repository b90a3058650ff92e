/* count.c - a plugin for qemu 7: how many instructions the guest has run, on
   stderr.  Debian ships no header for it, so what it uses is declared here.
     gcc -shared -fPIC count.c -o count.so
     qemu-system-arm -plugin ./count.so ... */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct qemu_plugin_tb;
typedef void (*on_block)(uint64_t id, struct qemu_plugin_tb *block);
typedef void (*on_exit)(uint64_t id, void *user);

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, on_block call);
void qemu_plugin_register_atexit_cb(uint64_t id, on_exit call, void *user);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *block,
                                              int operation, void *at,
                                              uint64_t more);
int qemu_plugin_install(uint64_t id, const void *info, int count,
                        char **arguments);

extern int qemu_plugin_version;
int qemu_plugin_version = 1;

static uint64_t instructions;

/* Add a block's instructions whenever it is entered (operation 0). */
static void translated(uint64_t id, struct qemu_plugin_tb *block)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(block, 0, &instructions,
                                             qemu_plugin_tb_n_insns(block));
}

static void ended(uint64_t id, void *user)
{
    (void)id;
    (void)user;
    fprintf(stderr, "instructions %llu\n", (unsigned long long)instructions);
}

int qemu_plugin_install(uint64_t id, const void *info, int count,
                        char **arguments)
{
    (void)info;
    (void)count;
    (void)arguments;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
