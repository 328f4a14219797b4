// How the Go runtime gets memory, linked with --wrap (ld(1)). In its first milliseconds it touches some 200 pages, here and
// there in what it has asked for, and each of them takes a page fault: a tenth of a launch where a hypervisor keeps the page
// tables. It is less work for the kernel to provide at once the regions where most of them are, with pages that nobody
// needs among them (madvise(2), MADV_POPULATE_WRITE, Linux 5.14). Older kernels refuse, and nothing is lost.

#define _GNU_SOURCE
#include "early.h"

#include <sys/mman.h>

enum { KIB = 1 << 10, POPULATE_WRITE = 23 }; // MADV_POPULATE_WRITE

// Of the heap, how much the launch touches, and the server until the command runs: of 16 pages 10 or more.
enum { LAUNCH_HEAP = 704 * KIB, SERVER_HEAP = 1024 * KIB };

// What the runtime keeps about itself comes from chunks of this size (persistentChunkSize in its source), of which it fills
// the beginning.
enum { CHUNK = 256 * KIB, CHUNK_BEGIN = 56 * KIB };

// Where the heap begins (mallocinit in the runtime's source). Since Go 1.26 that is at random, unless a program
// is built with GOEXPERIMENT=norandomizedheapbase64.
#ifdef __aarch64__
#define HEAP ((void *)0x4000000000)
#else
#define HEAP ((void *)0xc000000000)
#endif

void *__real_mmap(void *, size_t, int, int, int, off_t);

void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    void *p = __real_mmap(address, length, protection, flags, fd, offset);
    if (p == MAP_FAILED || protection != (PROT_READ | PROT_WRITE) || fd != -1)
        return p;
    if (p == HEAP && length >= SERVER_HEAP)
        madvise(p, early_state.server ? SERVER_HEAP : LAUNCH_HEAP, POPULATE_WRITE);
    else if (length == CHUNK)
        madvise(p, CHUNK_BEGIN, POPULATE_WRITE);
    return p;
}

// The same for variables. Go's linker puts those that are not initialised last, and of these the small ones first. Only once
// there will be no more processes that share them until one writes.
void early_touch_variables(void)
{
    extern char __init_array_start[], __bss_start[]; // what is before may be read-only
    enum { PAGE = 4 * KIB, BSS_BEGIN = 160 * KIB };
    uintptr_t begin = ((uintptr_t)__init_array_start | (PAGE - 1)) + 1;
    uintptr_t end = ((uintptr_t)__bss_start | (PAGE - 1)) + 1 + BSS_BEGIN;
    madvise((void *)begin, end - begin, POPULATE_WRITE);
}
