// From reset to main(), and the debugger's calls by which the emulator prints and ends.

#include "harness.h"

extern const char stack_end[];
int main(void);

static uint32_t host(uint32_t operation, const void *argument) {
    register uint32_t r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void print(const char *text) {
    host(0x04, text);
}

_Noreturn void end(uint32_t code) {
    const uint32_t block[2] = {0x20026 /* the program ended */, code};
    for (;;) {
        host(0x20, block);
    }
}

static void fault(void) {
    print("a fault of the processor\n");
    end(2);
}

void reset(void) {
    *(volatile uint32_t *)0xe000ed88 |= 0xf << 20;  // floating point, and with it MVE
    __asm volatile("dsb\n isb" ::: "memory");
    end(main());
}

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    stack_end, reset, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault,
};
