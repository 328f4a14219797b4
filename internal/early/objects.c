// The objects that peers meet by, and the locks in them: see join.c.

#define _GNU_SOURCE
#include "join.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct early_join early_join;
struct peer join_peer;

int join_fail(enum early_trouble trouble, int error, const char *name)
{
    early_join.trouble = trouble;
    early_join.error = error;
    if (name)
        snprintf(early_join.path, sizeof early_join.path, "%s", name);
    return -1;
}

int join_fail_object(enum early_trouble trouble, int error, const char *name)
{
    join_fail(trouble, error, NULL);
    snprintf(early_join.path, sizeof early_join.path, OBJECTS "/%s", name);
    return -1;
}

// Sets how long may be waited. What counts is the time that was asked for, not what has passed: a job that is
// suspended and resumed has not waited.
void join_set_patience(long milliseconds) { join_peer.patience = milliseconds * 1000; }

// Locks.

static int set_lock(short type, off_t byte)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    return fcntl(join_peer.object, F_SETLK, &l);
}

int join_try_lock(off_t byte) { return set_lock(F_WRLCK, byte) == 0; }
void join_unlock(off_t byte) { set_lock(F_UNLCK, byte); }

// Whether another process has locked one of LENGTH bytes (0: all that follow); if so, WHICH is one of those.
int join_others_lock(off_t byte, off_t length, off_t *which)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = length};
    if (fcntl(join_peer.object, F_GETLK, &l) != 0 || l.l_type == F_UNLCK)
        return 0;
    if (which)
        *which = l.l_start;
    return 1;
}

// Not F_SETLKW, which has no time limit: who has the lock may be stopped. Fails with ETIMEDOUT, or as fcntl(2)
// does.
int join_begin_edit(void)
{
    for (long pause = 20000; !join_try_lock(EDIT); pause = pause < 1000000 ? 2 * pause : pause) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            return -1;
        if (join_peer.patience <= 0) {
            errno = ETIMEDOUT;
            return -1;
        }
        nanosleep(&(struct timespec){.tv_nsec = pause}, NULL);
        join_peer.patience -= pause / 1000;
    }
    return 0;
}

void join_end_edit(void) { join_unlock(EDIT); }

static pid_t who_edits(void)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = EDIT, .l_len = 1};
    return fcntl(join_peer.object, F_GETLK, &l) == 0 && l.l_type != F_UNLCK ? l.l_pid : 0;
}

// Objects.

// Opens one of the objects, or makes it. One that is another user's can be a trap: it is neither used nor
// waited for.
static int open_object(const char *name)
{
    const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    struct stat st;
    int fd = -1;
    for (int tries = 0; fd < 0 && tries < 1000; tries++) {
        fd = openat(join_peer.directory, name, flags);
        if (fd < 0 && errno == ENOENT)
            fd = openat(join_peer.directory, name, flags | O_CREAT | O_EXCL, 0600);
        if (fd < 0 && errno != EEXIST && errno != ENOENT && errno != EINTR)
            break;
    }
    int error = errno;
    if ((fd >= 0 ? fstat(fd, &st) : fstatat(join_peer.directory, name, &st, AT_SYMLINK_NOFOLLOW)) != 0) {
        join_fail_object(EARLY_JOIN_OPEN, fd >= 0 ? errno : error, name);
    } else if (st.st_uid != geteuid()) {
        early_join.number = st.st_uid;
        join_fail_object(EARLY_JOIN_OWNER, 0, name);
    } else if (!S_ISREG(st.st_mode) || (st.st_mode & 07777) != 0600) {
        join_fail_object(EARLY_JOIN_KIND, 0, name);
    } else if (fd < 0) {
        join_fail_object(EARLY_JOIN_OPEN, error, name);
    } else {
        if (fd >= 3) // the caller may have closed standard streams
            return fd;
        int high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (high < 0)
            join_fail_object(EARLY_JOIN_OPEN, errno, name);
        close(fd);
        return high;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

// Allocates memory for a file: without, a full file system would be a SIGBUS later. Returns an errno value. A limit of
// the size of files is one, and not a signal.
static int allocate(int fd, size_t size)
{
    sigset_t one, before;
    sigemptyset(&one);
    sigaddset(&one, SIGXFSZ);
    sigprocmask(SIG_BLOCK, &one, &before);
    int error = posix_fallocate(fd, 0, (off_t)size);
    if (error == EOPNOTSUPP) // a ramfs
        error = ftruncate(fd, (off_t)size) != 0 ? errno : 0;
    while (sigtimedwait(&one, NULL, &(struct timespec){0}) > 0)
        ;
    sigprocmask(SIG_SETMASK, &before, NULL);
    return error;
}

static void *map(int fd, size_t size, const char *name)
{
    int error = allocate(fd, size);
    void *memory = error ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        join_fail_object(EARLY_JOIN_OPEN, error ? error : errno, name);
        return NULL;
    }
    madvise(memory, size, MADV_DONTFORK); // it is no business of the FUSE server
    return memory;
}

int join_open_semaphore(int make)
{
    if (make)
        unlinkat(join_peer.directory, join_peer.semaphore_name, 0); // what it cannot remove is not ours: see open_object
    int fd = open_object(join_peer.semaphore_name);
    if (fd < 0)
        return -1;
    join_peer.semaphore = map(fd, sizeof *join_peer.semaphore, join_peer.semaphore_name);
    close(fd);
    if (join_peer.semaphore && make)
        sem_init(join_peer.semaphore, 1, 0);
    return join_peer.semaphore ? 0 : -1;
}

// Does nothing where that has been done: the names may be another group's by now. EDIT is held.
void join_unlink_objects(void)
{
    struct stat st;
    if (fstat(join_peer.object, &st) != 0 || st.st_nlink == 0)
        return;
    unlinkat(join_peer.directory, join_peer.semaphore_name, 0);
    FAULT("unlinking");
    unlinkat(join_peer.directory, join_peer.object_name, 0);
}

void join_close_object(void)
{
    if (join_peer.record)
        munmap(join_peer.record, sizeof *join_peer.record);
    join_peer.record = NULL;
    close(join_peer.object); // which also unlocks
}

// Opens the shared memory object that has the name now, and begins to edit it.
int join_open_record(void)
{
    for (;;) {
        struct stat st;
        join_peer.object = open_object(join_peer.object_name);
        if (join_peer.object < 0)
            return -1;
        FAULT("opened");
        if (join_begin_edit() != 0) {
            early_join.number = (unsigned)who_edits();
            return join_fail_object(errno == ETIMEDOUT ? EARLY_JOIN_STUCK : EARLY_JOIN_OPEN, errno, join_peer.object_name);
        }
        if (fstat(join_peer.object, &st) != 0)
            return join_fail_object(EARLY_JOIN_OPEN, errno, join_peer.object_name);
        if (st.st_nlink == 0) { // somebody has unlinked it meanwhile
            join_close_object();
            continue;
        }
        if (st.st_size != 0 && st.st_size != sizeof *join_peer.record)
            return join_fail_object(EARLY_JOIN_FORMAT, 0, join_peer.object_name);
        join_peer.record = map(join_peer.object, sizeof *join_peer.record, join_peer.object_name);
        if (!join_peer.record && st.st_size == 0)
            join_unlink_objects(); // which nobody could use either
        return join_peer.record ? 0 : -1;
    }
}
