// A plugin for QEMU that counts the guest's instructions: out=FILE gets, at every call of a function whose name contains
// mark=TEXT, a line with their number so far.
//
//     cc -O2 -shared -fPIC -DAPI=1 instructions.c -o instructions.so      (API=2 from QEMU 9 on)
//     qemu-aarch64 -plugin ./instructions.so,mark=layer_mark,out=counts PROGRAM
//
// QEMU's plugin interface is declared here as its documentation has it, so that no header of QEMU's is needed.

#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t plugin_id;
typedef struct block block;
typedef struct instruction instruction;

__attribute__((visibility("default"))) int qemu_plugin_version = API;
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, block *));
void qemu_plugin_register_vcpu_tb_exec_cb(block *, void (*)(unsigned, void *), int flags, void *);
size_t qemu_plugin_tb_n_insns(const block *);
instruction *qemu_plugin_tb_get_insn(const block *, size_t);
const char *qemu_plugin_insn_symbol(const instruction *);
uint64_t qemu_plugin_insn_vaddr(const instruction *);

static uint64_t count;
// The lowest address seen with the mark's name: where it begins. Blocks inside it have the name, too.
static uint64_t entry;
static char mark[128];
static FILE *out;

static void executed(unsigned cpu, void *instructions) { count += (uintptr_t)instructions; }

static void marked(unsigned cpu, void *instructions) {
    fprintf(out, "%llu\n", (unsigned long long)count);
    fflush(out);
    executed(cpu, instructions);
}

static void translated(plugin_id id, block *tb) {
    const instruction *first = qemu_plugin_tb_get_insn(tb, 0);
    const char *symbol = qemu_plugin_insn_symbol(first);
    uint64_t address = qemu_plugin_insn_vaddr(first);
    if (symbol && strstr(symbol, mark) && (!entry || address < entry)) entry = address;
    void *instructions = (void *)(uintptr_t)qemu_plugin_tb_n_insns(tb);
    qemu_plugin_register_vcpu_tb_exec_cb(tb, address == entry ? marked : executed, 0, instructions);
}

__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "mark=", 5)) snprintf(mark, sizeof mark, "%s", argv[i] + 5);
        if (!strncmp(argv[i], "out=", 4)) out = fopen(argv[i] + 4, "w");
    }
    if (!mark[0] || !out) {
        fprintf(stderr, "instructions: needs mark=TEXT and out=FILE that can be written\n");
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
