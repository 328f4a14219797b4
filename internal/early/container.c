// The namespaces of a container that others have made, and how to find them: see join.c.

#define _GNU_SOURCE
#include "join.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_handle(const struct early_handle *handle)
{
    enum { FD_NSFS_ROOT = -10003 }; // <linux/fcntl.h>, Linux 6.18
    return (int)syscall(SYS_open_by_handle_at, FD_NSFS_ROOT, handle, O_RDONLY | O_CLOEXEC);
}

// When the process whose directory in /proc is open was started, or 0.
uint64_t join_start_time(int process)
{
    char text[1024];
    int fd = openat(process, "stat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    text[n] = 0;
    char *field = strrchr(text, ')'); // the 2nd; what it encloses may be anything
    for (int i = 2; field && i < 22; i++)
        field = strchr(field + 1, ' ');
    return field ? strtoull(field, NULL, 10) : 0;
}

int join_open_process(pid_t pid)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/%d", (int)pid);
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static uint64_t inode(int fd)
{
    struct stat st;
    return fd >= 0 && fstat(fd, &st) == 0 ? st.st_ino : 0;
}

void join_close_namespaces(struct namespaces n)
{
    int error = errno;
    if (n.user >= 0)
        close(n.user);
    if (n.mount >= 0)
        close(n.mount);
    errno = error;
}

// Opens the namespaces of the container by one of its members. A process that got the PID of one that has
// ended was started at another time; one that is not in the container yet is in other namespaces. Fails with
// ESTALE if there is none.
static int open_by_members(const struct record *r, struct namespaces *found)
{
    int error = ESTALE;
    for (uint32_t i = 0; i < r->member_count && i < sizeof r->members / sizeof *r->members; i++) {
        struct namespaces n = {-1, -1};
        errno = 0;
        int process = join_open_process(r->members[i].pid);
        if (process >= 0 && join_start_time(process) == r->members[i].start) {
            n.user = openat(process, "ns/user", O_RDONLY | O_CLOEXEC);
            n.mount = openat(process, "ns/mnt", O_RDONLY | O_CLOEXEC);
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
            error = errno;
        if (process >= 0)
            close(process);
        if (n.user >= 0 && n.mount >= 0 && inode(n.user) == r->user_inode && inode(n.mount) == r->mount_inode) {
            *found = n;
            return 0;
        }
        join_close_namespaces(n);
    }
    errno = error;
    return -1;
}

// Opens the namespaces of the container. Fails with ESTALE if that is gone.
int join_open_container(const struct record *r, struct namespaces *found)
{
    struct namespaces n = {-1, -1};
    if (r->mount.bytes == 0)
        return open_by_members(r, found);
    n.mount = open_handle(&r->mount);
    if (n.mount < 0 && errno == ESTALE)
        return -1;
    n.user = open_handle(&r->user);
    if (n.mount >= 0 && n.user >= 0) {
        *found = n;
        return 0;
    }
    join_close_namespaces(n);
    return open_by_members(r, found); // a seccomp filter may be in the way of handles
}
