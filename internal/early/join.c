// The rendezvous of peers: who of those that were started with one tag makes the container, and how the
// others get into it. It happens before the Go runtime starts, as setns(2) of a user namespace, like
// unshare(2), is refused to a process with threads.
//
// # Objects
//
// A shared memory object holds the record of the group, and a semaphore announces that the container
// stands (shm_overview(7), sem_overview(7)). Neither tells when a process dies that was to do something,
// but the kernel releases its file locks then (fcntl(2), F_SETLK). So whatever a peer owns is a locked
// byte of the shared memory object:
//
//	BUILD   making the container: who has it is the winner
//	EDIT    changing the membership or the names of the objects; held for microseconds
//	SLOTS+i being peer number i, that has come and is not in the container yet
//
// They are locks of the process, not of the open file (F_OFD_SETLK), so that processes forked meanwhile
// do not have them.
//
// # Course
//
// A peer arrives: it takes a slot. Then it waits until either the record says how to get in, or BUILD is
// free, which makes it the winner: that is how it is at the beginning, and also when the winner has
// died. It leaves its slot when it is in or, the winner, has told the others how; and then it settles:
// it waits a moment for those who have not come yet, so that the container does not end before
// they are in if the command is short, and that somebody is there to clean up if the last one dies.
//
// The objects are unlinked as soon as all peers have come and all, or all but one, are in: that one no longer
// needs the names, and need not survive for the others to know that there is nothing left to do. Who
// comes before that, beyond the number, is one too many. Who comes afterwards begins another group.
//
// An object that nobody is alive of, without a container that is, was left behind by peers that were killed
// and is replaced by a new one.

#define _GNU_SOURCE
#include "early.h"
#include "fault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define OBJECTS "/dev/shm"
#define SHM_PREFIX "ch-run_shm-"
#define SEM_PREFIX "sem.ch-run_sem-" // as the C library names it

enum { FUTEX_WAIT, FUTEX_WAKE }; // <linux/futex.h>, which musl-gcc does not find
enum { BUILD, EDIT, SLOTS };
enum state { FORMING, READY, FAILED };
enum { GRACE = 200 }; // milliseconds that those who are in wait without anybody arriving

// Where there are no namespace file handles, who is in the container.
struct member {
    int32_t pid;
    uint64_t start; // in clock ticks since boot (proc_pid_stat(5))
};

struct record {
    char magic[16];
    uint32_t size;             // of the group
    _Atomic uint32_t arrived;  // how many slots have been taken
    _Atomic uint32_t in;       // how many have left them for the container
    _Atomic uint32_t complete; // a futex: the objects have been unlinked
    _Atomic uint32_t state;
    _Atomic uint32_t edition; // of the rest, which is valid when READY
    _Atomic int32_t winner;   // its PID, also while it is FORMING
    struct early_handle user, mount;
    uint64_t user_inode, mount_inode;
    _Atomic uint32_t member_count;
    struct member members[1024];
    struct early_facts facts;
    char failure[sizeof early_join.text];
};
static const char magic[16] = "ch-run join 1";

struct early_join early_join = {.mount_namespace = -1};

static struct peer {
    int directory, object; // descriptors
    struct record *record;
    sem_t *semaphore;
    char object_name[256], semaphore_name[256];
    unsigned slot;
    int here; // the slot is still taken
    struct timespec deadline;
} peer;

static int fail(enum early_trouble trouble, int error, const char *name)
{
    early_join.trouble = trouble;
    early_join.error = error;
    if (name)
        snprintf(early_join.path, sizeof early_join.path, "%s", name);
    return -1;
}

static int fail_object(enum early_trouble trouble, int error, const char *name)
{
    fail(trouble, error, NULL);
    snprintf(early_join.path, sizeof early_join.path, OBJECTS "/%s", name);
    return -1;
}

// Milliseconds until the deadline; not above zero when it is over.
static long remaining(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (peer.deadline.tv_sec - now.tv_sec) * 1000 + (peer.deadline.tv_nsec - now.tv_nsec) / 1000000;
}

static void set_deadline(void)
{
    clock_gettime(CLOCK_MONOTONIC, &peer.deadline);
    peer.deadline.tv_sec += early_join.group.timeout;
}

// Locks.

static int set_lock(short type, off_t byte)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    return fcntl(peer.object, F_SETLK, &l);
}

static int try_lock(off_t byte) { return set_lock(F_WRLCK, byte) == 0; }
static void unlock(off_t byte) { set_lock(F_UNLCK, byte); }

// Whether another process has locked one of LENGTH bytes (0: all that follow); if so, NEXT is behind it.
static int others_lock(off_t byte, off_t length, off_t *next)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = length};
    if (fcntl(peer.object, F_GETLK, &l) != 0 || l.l_type == F_UNLCK)
        return 0;
    if (next)
        *next = l.l_start + 1;
    return 1;
}

// Not F_SETLKW, which has no time limit: who has the lock may be stopped. Fails with ETIMEDOUT, or as fcntl(2)
// does.
static int begin_edit(void)
{
    for (long pause = 20000; !try_lock(EDIT); pause = pause < 1000000 ? 2 * pause : pause) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            return -1;
        if (remaining() <= 0) {
            errno = ETIMEDOUT;
            return -1;
        }
        nanosleep(&(struct timespec){.tv_nsec = pause}, NULL);
    }
    return 0;
}

static void end_edit(void) { unlock(EDIT); }

// How many other peers have come, are alive, and not in the container: 0, 1, or 2 for more.
static int others_on_the_way(void)
{
    off_t next;
    if (!others_lock(SLOTS, 0, &next))
        return 0;
    return others_lock(next, 0, NULL) ? 2 : 1;
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
        fd = openat(peer.directory, name, flags);
        if (fd < 0 && errno == ENOENT)
            fd = openat(peer.directory, name, flags | O_CREAT | O_EXCL, 0600);
        if (fd < 0 && errno != EEXIST && errno != ENOENT && errno != EINTR)
            break;
    }
    int error = errno;
    if ((fd >= 0 ? fstat(fd, &st) : fstatat(peer.directory, name, &st, AT_SYMLINK_NOFOLLOW)) != 0) {
        fail_object(EARLY_JOIN_OPEN, fd >= 0 ? errno : error, name);
    } else if (st.st_uid != geteuid()) {
        early_join.number = st.st_uid;
        fail_object(EARLY_JOIN_OWNER, 0, name);
    } else if (!S_ISREG(st.st_mode) || (st.st_mode & 07777) != 0600) {
        fail_object(EARLY_JOIN_KIND, 0, name);
    } else if (fd < 0) {
        fail_object(EARLY_JOIN_OPEN, error, name);
    } else {
        if (fd >= 3) // the caller may have closed standard streams
            return fd;
        int high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (high < 0)
            fail_object(EARLY_JOIN_OPEN, errno, name);
        close(fd);
        return high;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

// Maps an object, with memory for all of it: without, a full file system would be a SIGBUS later.
static void *map(int fd, size_t size, const char *name)
{
    int error = posix_fallocate(fd, 0, (off_t)size);
    void *memory = error ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        fail_object(EARLY_JOIN_OPEN, error ? error : errno, name);
        return NULL;
    }
    madvise(memory, size, MADV_DONTFORK); // it is no business of the FUSE server
    return memory;
}

static int open_semaphore(int make)
{
    if (make)
        unlinkat(peer.directory, peer.semaphore_name, 0); // what it cannot remove is not ours: see open_object
    int fd = open_object(peer.semaphore_name);
    if (fd < 0)
        return -1;
    peer.semaphore = map(fd, sizeof *peer.semaphore, peer.semaphore_name);
    close(fd);
    if (peer.semaphore && make)
        sem_init(peer.semaphore, 1, 0);
    return peer.semaphore ? 0 : -1;
}

// Does nothing where that has been done: the names may be another group's by now. EDIT is held.
static void unlink_objects(void)
{
    struct stat st;
    if (fstat(peer.object, &st) != 0 || st.st_nlink == 0)
        return;
    unlinkat(peer.directory, peer.semaphore_name, 0);
    FAULT("unlinking");
    unlinkat(peer.directory, peer.object_name, 0);
}

static void close_object(void)
{
    if (peer.record)
        munmap(peer.record, sizeof *peer.record);
    peer.record = NULL;
    close(peer.object); // which also unlocks
}

// The container.

static int open_handle(const struct early_handle *handle)
{
    enum { FD_NSFS_ROOT = -10003 }; // <linux/fcntl.h>, Linux 6.18
    return (int)syscall(SYS_open_by_handle_at, FD_NSFS_ROOT, handle, O_RDONLY | O_CLOEXEC);
}

// When the process whose directory in /proc is open was started, or 0.
static uint64_t start_time(int process)
{
    char text[1024];
    unsigned long long start = 0;
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
    return field && sscanf(field, "%llu", &start) == 1 ? start : 0;
}

static int open_process(pid_t pid)
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

// The namespaces of a container, open.
struct namespaces {
    int user, mount;
};

static void close_namespaces(struct namespaces n)
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
        int process = open_process(r->members[i].pid);
        if (process >= 0 && start_time(process) == r->members[i].start) {
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
        close_namespaces(n);
    }
    errno = error;
    return -1;
}

// Opens the namespaces of the container. Fails with ESTALE if that is gone.
static int open_container(const struct record *r, struct namespaces *found)
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
    close_namespaces(n);
    return open_by_members(r, found); // a seccomp filter may be in the way of handles
}

// Members.

// Unlinks the objects if nobody needs their names any more.
static void clean_up(void)
{
    struct record *r = peer.record;
    if (r->complete || r->arrived < r->size || others_on_the_way() + peer.here > 1)
        return;
    unlink_objects();
    FAULT("unlinked");
    r->complete = 1;
    early_join.cleaned = 1;
    syscall(SYS_futex, &r->complete, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

// Whether what is there was left behind by peers of whom none is left. EDIT is held.
static int left_behind(void)
{
    struct record *r = peer.record;
    struct namespaces n;
    if (others_lock(SLOTS, 0, NULL) || others_lock(BUILD, 1, NULL))
        return 0;
    if (r->arrived >= r->size || r->state != READY)
        return 1;
    if (open_container(r, &n) != 0)
        return errno == ESTALE;
    close_namespaces(n);
    return 0;
}

// Opens the shared memory object that has the name now, and begins to edit it.
static int open_record(void)
{
    for (;;) {
        struct stat st;
        peer.object = open_object(peer.object_name);
        if (peer.object < 0)
            return -1;
        FAULT("opened");
        if (begin_edit() != 0 || fstat(peer.object, &st) != 0)
            return fail_object(EARLY_JOIN_OPEN, errno, peer.object_name);
        if (st.st_nlink == 0) { // somebody has unlinked it meanwhile
            close_object();
            continue;
        }
        if (st.st_size != 0 && st.st_size != sizeof *peer.record)
            return fail_object(EARLY_JOIN_FORMAT, 0, peer.object_name);
        peer.record = map(peer.object, sizeof *peer.record, peer.object_name);
        if (!peer.record && st.st_size == 0)
            unlink_objects(); // which nobody could use either
        return peer.record ? 0 : -1;
    }
}

// Opens the record and the semaphore of the group, or makes them, and begins to edit the record.
static int open_group(void)
{
    for (;;) {
        if (open_record() != 0)
            return -1;
        struct record *r = peer.record;
        if (r->magic[0] == 0) { // new, or whoever made it got no further
            FAULT("making");
            if (open_semaphore(1) != 0) {
                unlink_objects();
                return -1;
            }
            r->size = early_join.group.size;
            memcpy(r->magic, magic, sizeof magic);
            return 0;
        }
        if (memcmp(r->magic, magic, sizeof magic) != 0)
            return fail_object(EARLY_JOIN_FORMAT, 0, peer.object_name);
        if (!left_behind())
            return open_semaphore(0);
        unlink_objects();
        close_object();
    }
}

// Takes a slot. EDIT is held.
static int take_slot(void)
{
    struct record *r = peer.record;
    early_join.number = r->size;
    if (r->size != early_join.group.size)
        return fail(EARLY_JOIN_SIZE, 0, NULL);
    if (r->arrived >= r->size)
        return fail(EARLY_JOIN_FULL, 0, NULL);
    peer.slot = r->arrived;
    if (!try_lock(SLOTS + (off_t)peer.slot))
        return fail_object(EARLY_JOIN_OPEN, errno, peer.object_name);
    FAULT("taking");
    peer.here = 1;
    r->arrived++;
    clean_up();
    return 0;
}

static int arrive(void)
{
    peer.object = -1;
    if (open_group() != 0 || take_slot() != 0) {
        close_object();
        return -1;
    }
    end_edit();
    FAULT("arrived");
    return 0;
}

// Gives the slot back: this process is in the container, or has given up.
static void leave(int in)
{
    struct record *r = peer.record;
    if (!peer.here || begin_edit() != 0)
        return; // if it was stuck; the kernel gives the slot back
    if (in) {
        if (r->mount.bytes == 0 && r->member_count < sizeof r->members / sizeof *r->members) {
            int self = open_process(getpid());
            r->members[r->member_count] = (struct member){getpid(), start_time(self)};
            r->member_count++;
            close(self);
        }
        r->in++;
        early_join.left = r->size > r->in ? r->size - r->in : 0;
    }
    peer.here = 0;
    unlock(SLOTS + (off_t)peer.slot);
    FAULT("leaving");
    clean_up();
    end_edit();
    FAULT("left");
}

static void sleep_until_announced(long milliseconds)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end); // which is what sem_timedwait(3) wants
    end.tv_nsec += milliseconds * 1000000;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    sem_timedwait(peer.semaphore, &end);
}

// Begins to make the container, if nobody else does: EDITION is the last one known not to be of any use.
static int win(uint32_t edition)
{
    struct record *r = peer.record;
    if (!try_lock(BUILD))
        return 0;
    if (r->state == FAILED || r->edition != edition) {
        unlock(BUILD);
        return 0;
    }
    r->state = FORMING;
    r->winner = getpid();
    early_join.role = EARLY_WINNER;
    FAULT("won");
    return 1;
}

// Removes the objects of that name if they were left behind. Those in use, or not understood, stay.
static void sweep_one(const char *name)
{
    const char *tag = name + strlen(SHM_PREFIX);
    struct stat st;
    if (snprintf(peer.object_name, sizeof peer.object_name, "%s", name) >= (int)sizeof peer.object_name
        || snprintf(peer.semaphore_name, sizeof peer.semaphore_name, SEM_PREFIX "%s", tag) >= (int)sizeof peer.semaphore_name)
        return;
    peer.record = NULL;
    peer.object = openat(peer.directory, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (peer.object < 0)
        return;
    if (fstat(peer.object, &st) == 0 && st.st_uid == geteuid() && S_ISREG(st.st_mode) && st.st_size == sizeof *peer.record
        && try_lock(EDIT)) {
        peer.record = mmap(NULL, sizeof *peer.record, PROT_READ, MAP_SHARED, peer.object, 0);
        if (peer.record == MAP_FAILED)
            peer.record = NULL;
        else if (memcmp(peer.record->magic, magic, sizeof magic) == 0 && left_behind())
            unlink_objects();
    }
    close_object();
}

// Removes what groups of this user left behind that will not be completed: of which a peer was killed before it
// came, for one. It is done by a peer that has nothing better to do.
static void sweep(void)
{
    const struct peer own = peer;
    struct dirent *e;
    DIR *directory = opendir(OBJECTS);
    while (directory && (e = readdir(directory)))
        if (strncmp(e->d_name, SHM_PREFIX, strlen(SHM_PREFIX)) == 0 && strcmp(e->d_name, own.object_name) != 0)
            sweep_one(e->d_name);
    if (directory)
        closedir(directory);
    peer = own;
}

// Waits until this process is to make the container, or can enter it: NAMESPACES are open then.
static int await(struct namespaces *namespaces)
{
    struct record *r = peer.record;
    for (long slice = 2;; slice = slice < 64 ? 2 * slice : slice) {
        uint32_t edition = r->edition, state = r->state;
        if (state == FAILED) {
            early_join.facts.winner = r->winner;
            memcpy(early_join.text, r->failure, sizeof early_join.text - 1);
            return fail(EARLY_JOIN_FAILED, 0, NULL);
        }
        if (state == READY) {
            FAULT("ready");
            if (open_container(r, namespaces) == 0) {
                early_join.facts = r->facts;
                if (r->edition == edition && r->state == READY) {
                    early_join.role = EARLY_LOSER;
                    return 0;
                }
                close_namespaces(*namespaces);
                continue;
            }
            if (errno != ESTALE)
                return fail(EARLY_JOIN_ENTER, errno, NULL);
        }
        if (win(edition)) // for the first time, or as the winner has died, or the container ended
            return 0;
        long rest = remaining();
        if (rest <= 0) {
            early_join.number = r->arrived;
            early_join.facts.winner = r->winner;
            return fail(EARLY_JOIN_TIMEOUT, 0, NULL);
        }
        FAULT("waiting");
        if (peer.slot == 1 && slice == 2)
            sweep();
        sleep_until_announced(rest < slice ? rest : slice);
    }
}

// Enters the user namespace and keeps the mount namespace for later, when everything has been read that is
// on the host.
static int enter(struct namespaces n)
{
    early_join.mount_namespace = n.mount;
    if (setns(n.user, CLONE_NEWUSER) != 0)
        return fail(EARLY_JOIN_ENTER, errno, NULL);
    close(n.user);
    return 0;
}

static int meet(void)
{
    struct namespaces n;
    mode_t mask = umask(0);
    set_deadline();
    snprintf(peer.object_name, sizeof peer.object_name, SHM_PREFIX "%s", early_join.group.tag);
    snprintf(peer.semaphore_name, sizeof peer.semaphore_name, SEM_PREFIX "%s", early_join.group.tag);
    peer.directory = open(OBJECTS, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (peer.directory >= 0 && peer.directory < 3)
        peer.directory = fcntl(peer.directory, F_DUPFD_CLOEXEC, 3); // the low one stays, closed by execve(2)
    if (peer.directory < 0)
        return fail(EARLY_JOIN_OPEN, errno, OBJECTS);
    int failed = arrive();
    umask(mask);
    if (failed)
        return -1;
    if (await(&n) != 0) {
        leave(0);
        return -1;
    }
    if (early_join.role == EARLY_WINNER)
        return 0;
    FAULT("container-open");
    set_deadline();
    leave(1);
    return enter(n);
}

// Enters the container of a process.
static int visit(void)
{
    const char *const names[] = {"user", "mnt"};
    int fds[2];
    struct stat own, other;
    for (int i = 0; i < 2; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)early_join.group.pid, names[i]);
        fds[i] = open(path, O_RDONLY | O_CLOEXEC);
        if (fds[i] < 0)
            return fail(errno == ENOENT ? EARLY_JOIN_NO_PID : EARLY_JOIN_PID, errno, path);
    }
    if (stat("/proc/self/ns/user", &own) == 0 && fstat(fds[0], &other) == 0 && own.st_ino == other.st_ino)
        return fail(EARLY_JOIN_OUTSIDE, 0, NULL);
    early_join.role = EARLY_GUEST;
    return enter((struct namespaces){fds[0], fds[1]});
}

// Joins the group, or the process, that early_join names. The record in early_join says what came of it.
void early_join_begin(void)
{
    early_join.asked = 1;
    if (early_join.group.pid == 0 && early_join.group.size == 1)
        early_join.role = EARLY_WINNER; // nobody else will come
    else if (early_join.group.pid ? visit() : meet())
        early_join.role = EARLY_ALONE;
}

// Tells the others that the container stands: this process, the winner, is in it.
void early_join_publish(const struct early_facts *facts, const struct early_handle *user, const struct early_handle *mount)
{
    struct record *r = peer.record;
    struct stat st;
    if (!r)
        return;
    early_mind_time();
    set_deadline();
    FAULT("publishing");
    r->facts = *facts;
    r->facts.winner = getpid();
    r->user = *user;
    r->mount = *mount;
    r->user_inode = stat("/proc/self/ns/user", &st) == 0 ? st.st_ino : 0;
    r->mount_inode = stat("/proc/self/ns/mnt", &st) == 0 ? st.st_ino : 0;
    int self = open_process(getpid());
    r->members[0] = (struct member){getpid(), start_time(self)};
    r->member_count = 1;
    close(self);
    r->edition++;
    r->state = READY;
    FAULT("published");
    for (unsigned i = 1; i < r->size; i++)
        sem_post(peer.semaphore);
    unlock(BUILD);
    leave(1);
}

// Tells the others that there will be no container, and why.
void early_join_fail(const char *text)
{
    struct record *r = peer.record;
    if (!r || early_join.role != EARLY_WINNER || r->state != FORMING)
        return;
    early_mind_time();
    set_deadline();
    if (begin_edit() != 0)
        return;
    snprintf(r->failure, sizeof r->failure, "%s", text);
    r->state = FAILED;
    unlink_objects(); // who comes later tries it for himself
    r->complete = 1;
    end_edit();
    for (unsigned i = 1; i < r->size; i++)
        sem_post(peer.semaphore);
}

// Waits a moment for the peers that have not come yet.
void early_join_settle(void)
{
    struct record *r = peer.record;
    if (!r)
        return;
    early_mind_time();
    set_deadline();
    const struct timespec grace = {.tv_nsec = GRACE * 1000000L};
    for (uint32_t before = 0, now = r->arrived + r->in; !r->complete && now != before;) {
        FAULT("settling");
        if (syscall(SYS_futex, &r->complete, FUTEX_WAIT, 0, &grace, NULL, 0) == 0 || errno != ETIMEDOUT)
            continue;
        before = now;
        now = r->arrived + r->in;
    }
    if (!r->complete && begin_edit() == 0) {
        clean_up(); // if who would have done it has died
        end_edit();
    }
}
