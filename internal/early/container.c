// The namespaces of a container that others have made, and how to find them: see join.c.

#define _GNU_SOURCE
#include "join.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
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

// Whether the namespaces of the process whose directory in /proc is open can be those of a container: other than this
// process's, and belonging together. The server of an image is in the user namespace of one, but not inside.
int join_is_container(int process, struct namespaces n)
{
    enum { NS_GET_USERNS = 0xb701 }; // ioctl_ns(2)
    struct stat own;
    char name[32] = "";
    int owner = ioctl(n.mount, NS_GET_USERNS), comm = openat(process, "comm", O_RDONLY | O_CLOEXEC);
    int belongs = owner >= 0 && inode(owner) == inode(n.user);
    if (owner >= 0)
        close(owner);
    if (comm >= 0) {
        belongs &= read(comm, name, sizeof name - 1) < 0 || strcmp(name, EARLY_SERVER_NAME "\n") != 0;
        close(comm);
    }
    return belongs && stat("/proc/self/ns/user", &own) == 0 && own.st_ino != inode(n.user);
}

// Opens the namespaces of the container by the PID of a member. A process that got the PID of one that has ended was
// started at another time. Fails with ESTALE if there is no such member, with EAGAIN if it is not in the
// container yet, and otherwise because the kernel will not have it.
static int open_by_member(const struct record *r, const struct member *member, struct namespaces *found)
{
    struct namespaces n = {-1, -1};
    errno = 0;
    int process = join_open_process(member->pid);
    uint64_t start = process < 0 ? 0 : join_start_time(process);
    if (start == member->start && start != 0) {
        n.user = openat(process, "ns/user", O_RDONLY | O_CLOEXEC);
        n.mount = n.user < 0 ? -1 : openat(process, "ns/mnt", O_RDONLY | O_CLOEXEC);
    }
    int error = errno;
    if (process >= 0)
        close(process);
    if (n.mount < 0) {
        join_close_namespaces(n);
        int gone = start != 0 ? start != member->start : error == 0;
        errno = gone || error == ENOENT || error == ESRCH ? ESTALE : error;
        return -1;
    }
    if (inode(n.user) != r->user_inode || inode(n.mount) != r->mount_inode) {
        join_close_namespaces(n);
        errno = EAGAIN;
        return -1;
    }
    *found = n;
    return 0;
}

// Opens them by whichever member it is possible. The error is that of the first one who is not gone.
static int open_by_members(const struct record *r, struct namespaces *found)
{
    int error = ESTALE;
    for (uint32_t i = 0; i < r->member_count && i < sizeof r->members / sizeof *r->members; i++) {
        if (open_by_member(r, &r->members[i], found) == 0)
            return 0;
        if (error == ESTALE)
            error = errno;
    }
    errno = error;
    return -1;
}

// Opens the namespaces of the container. Fails with ESTALE if that is gone, and with EAGAIN if those who are about to
// be in it are not yet. With any other error, it may be there.
int join_open_container(const struct record *r, struct namespaces *found)
{
    struct namespaces n = {-1, -1};
    if (r->mount.bytes == 0)
        return open_by_members(r, found);
    n.mount = open_handle(&r->mount);
    if (n.mount < 0 && errno == ESTALE)
        return -1;
    n.user = n.mount < 0 ? -1 : open_handle(&r->user);
    if (n.user >= 0) {
        *found = n;
        return 0;
    }
    int error = errno; // a seccomp filter may be in the way of handles
    join_close_namespaces(n);
    if (open_by_members(r, found) == 0)
        return 0;
    errno = error;
    return -1;
}
