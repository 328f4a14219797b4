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
#include "join.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FUTEX_WAIT, FUTEX_WAKE };         // <linux/futex.h>, which musl-gcc does not find
enum { GRACE = 200, LONG_GRACE = 2000 }; // milliseconds: see early_join_settle

static const char magic[16] = "ch-run join 1";

// How many other peers have come, are alive, and not in the container: 0, 1, or 2 for more.
static int others_on_the_way(void)
{
    off_t one;
    if (!join_others_lock(SLOTS, 0, &one))
        return 0;
    return join_others_lock(one + 1, 0, NULL) || (one > SLOTS && join_others_lock(SLOTS, one - SLOTS, NULL)) ? 2 : 1;
}

// Does what is to be done once all have come: unlinks the objects if nobody needs their names any more, and lets
// those go who wait for all to be in.
static void clean_up(void)
{
    struct record *r = join_peer.record;
    if (r->arrived < r->size)
        return;
    int rest = others_on_the_way() + join_peer.here;
    if (rest <= 1 && !r->unlinked) {
        join_unlink_objects();
        FAULT("unlinked");
        r->unlinked = early_join.cleaned = 1;
    }
    if (rest == 0 && !r->complete) {
        r->complete = 1;
        syscall(SYS_futex, &r->complete, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    }
}

static uint64_t namespace_inode(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_ino : 0;
}

// Whether the group was formed where this process is. In other namespaces, PIDs are others, and the kernel says of
// handles of what is there that it is not.
static int is_from_here(const struct record *r)
{
    return r->user_origin == namespace_inode("/proc/self/ns/user") && r->pid_origin == namespace_inode("/proc/self/ns/pid");
}

// Whether what is there was left behind by peers of whom none is left. EDIT is held.
static int left_behind(void)
{
    struct record *r = join_peer.record;
    struct namespaces n;
    if (join_others_lock(SLOTS, 0, NULL) || join_others_lock(BUILD, 1, NULL))
        return 0;
    if (r->arrived >= r->size || r->state != READY)
        return 1;
    if (join_open_container(r, &n) != 0)
        return errno == ESTALE;
    join_close_namespaces(n);
    return 0;
}

// Opens the record and the semaphore of the group, or makes them, and begins to edit the record.
static int open_group(void)
{
    for (;;) {
        if (join_open_record() != 0)
            return -1;
        struct record *r = join_peer.record;
        if (r->magic[0] == 0) { // new, or whoever made it got no further
            FAULT("making");
            if (join_open_semaphore(1) != 0) {
                join_unlink_objects();
                return -1;
            }
            r->size = early_join.group.size;
            r->user_origin = namespace_inode("/proc/self/ns/user");
            r->pid_origin = namespace_inode("/proc/self/ns/pid");
            memcpy(r->magic, magic, sizeof magic);
            return 0;
        }
        if (memcmp(r->magic, magic, sizeof magic) != 0)
            return join_fail_object(EARLY_JOIN_FORMAT, 0, join_peer.object_name);
        if (!is_from_here(r))
            return join_fail(EARLY_JOIN_ORIGIN, 0, NULL);
        if (!left_behind())
            return join_open_semaphore(0);
        join_unlink_objects();
        join_close_object();
    }
}

// Takes a slot. EDIT is held.
static int take_slot(void)
{
    struct record *r = join_peer.record;
    early_join.number = r->size;
    if (r->size != early_join.group.size)
        return join_fail(EARLY_JOIN_SIZE, 0, NULL);
    if (r->arrived >= r->size)
        return join_fail(EARLY_JOIN_FULL, 0, NULL);
    join_peer.slot = r->arrived;
    if (!join_try_lock(SLOTS + (off_t)join_peer.slot))
        return join_fail_object(EARLY_JOIN_OPEN, errno, join_peer.object_name);
    FAULT("taking");
    join_peer.here = 1;
    r->arrived++;
    clean_up();
    return 0;
}

static int arrive(void)
{
    join_peer.object = -1;
    if (open_group() != 0 || take_slot() != 0) {
        join_close_object();
        return -1;
    }
    join_end_edit();
    FAULT("arrived");
    return 0;
}

// Gives the slot back: this process is in the container, or has given up.
static void leave(int in)
{
    struct record *r = join_peer.record;
    if (!join_peer.here || join_begin_edit() != 0)
        return; // if it was stuck; the kernel gives the slot back
    if (in) {
        if (r->mount.bytes == 0 && r->member_count < sizeof r->members / sizeof *r->members) {
            int self = join_open_process(getpid());
            r->members[r->member_count] = (struct member){getpid(), join_start_time(self)};
            r->member_count++;
            close(self);
        }
        r->in++;
        early_join.left = r->size > r->in ? r->size - r->in : 0;
    }
    join_peer.here = 0;
    join_unlock(SLOTS + (off_t)join_peer.slot);
    FAULT("leaving");
    clean_up();
    join_end_edit();
    FAULT("left");
}

static void sleep_until_announced(long milliseconds)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end); // which is what sem_timedwait(3) wants
    end.tv_nsec += milliseconds * 1000000;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    int announced = sem_timedwait(join_peer.semaphore, &end) == 0;
    join_peer.patience -= announced ? 1000 : milliseconds * 1000;
}

// Begins to make the container, if nobody else does: EDITION is the last one known not to be of any use.
static int win(uint32_t edition)
{
    struct record *r = join_peer.record;
    if (!join_try_lock(BUILD))
        return 0;
    if (r->state == FAILED || r->edition != edition) {
        join_unlock(BUILD);
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
    if (snprintf(join_peer.object_name, sizeof join_peer.object_name, "%s", name) >= (int)sizeof join_peer.object_name
        || snprintf(join_peer.semaphore_name, sizeof join_peer.semaphore_name, SEM_PREFIX "%s", tag) >= (int)sizeof join_peer.semaphore_name)
        return;
    join_peer.record = NULL;
    join_peer.object = openat(join_peer.directory, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (join_peer.object < 0)
        return;
    enum { AGE = 60 }; // seconds after which one that is empty is not just being made, by whatever program
    if (fstat(join_peer.object, &st) != 0 || st.st_uid != geteuid() || !S_ISREG(st.st_mode) || (st.st_mode & 07777) != 0600
        || !join_try_lock(EDIT)) {
        join_close_object();
        return;
    }
    if (st.st_size == 0 && st.st_mtime < time(NULL) - AGE)
        join_unlink_objects();
    if (st.st_size == sizeof *join_peer.record) {
        join_peer.record = mmap(NULL, sizeof *join_peer.record, PROT_READ, MAP_SHARED, join_peer.object, 0);
        if (join_peer.record == MAP_FAILED)
            join_peer.record = NULL;
        else if (join_peer.record->magic[0] == 0
            || (memcmp(join_peer.record->magic, magic, sizeof magic) == 0 && is_from_here(join_peer.record) && left_behind()))
            join_unlink_objects();
    }
    join_close_object();
}

// Removes what groups of this user left behind that will not be completed: of which a peer was killed before it
// came, for one. It is done by the second peer, who usually has nothing better to do.
static void sweep(void)
{
    const struct peer own = join_peer;
    struct dirent *e;
    DIR *directory = opendir(OBJECTS);
    while (directory && (e = readdir(directory)))
        if (strncmp(e->d_name, SHM_PREFIX, strlen(SHM_PREFIX)) == 0 && strcmp(e->d_name, own.object_name) != 0)
            sweep_one(e->d_name);
    if (directory)
        closedir(directory);
    join_peer = own;
}

// Waits until this process is to make the container, or can enter it: NAMESPACES are open then.
static int await(struct namespaces *namespaces)
{
    struct record *r = join_peer.record;
    if (join_peer.slot == 1)
        sweep();
    for (long slice = 2;; slice = slice < 64 ? 2 * slice : slice) {
        uint32_t edition = r->edition, state = r->state;
        int vacant = state == FORMING;
        if (state == FAILED) {
            early_join.facts.winner = r->winner;
            memcpy(early_join.text, r->failure, sizeof early_join.text - 1);
            return join_fail(EARLY_JOIN_FAILED, 0, NULL);
        }
        if (state == READY) {
            FAULT("ready");
            if (join_open_container(r, namespaces) == 0) {
                early_join.facts = r->facts;
                atomic_thread_fence(memory_order_acquire);
                early_join.facts.image[sizeof early_join.facts.image - 1] = 0;
                early_join.facts.home[sizeof early_join.facts.home - 1] = 0;
                if (r->edition == edition && r->state == READY) {
                    early_join.role = EARLY_LOSER;
                    return 0;
                }
                join_close_namespaces(*namespaces);
                continue;
            }
            vacant = errno == ESTALE;
            if (!vacant && errno != EAGAIN)
                return join_fail(EARLY_JOIN_CONTAINER, errno, NULL);
        }
        if (vacant && win(edition)) // for the first time, or as the winner has died, or the container ended
            return 0;
        long rest = join_peer.patience / 1000;
        if (rest <= 0) {
            early_join.number = r->arrived;
            early_join.facts.winner = r->winner;
            return join_fail(EARLY_JOIN_TIMEOUT, 0, NULL);
        }
        FAULT("waiting");
        sleep_until_announced(rest < slice ? rest : slice);
    }
}

// Enters the user namespace and keeps the mount namespace for later, when everything has been read that is
// on the host.
static int enter(struct namespaces n)
{
    early_join.mount_namespace = n.mount;
    if (setns(n.user, CLONE_NEWUSER) != 0)
        return join_fail(EARLY_JOIN_ENTER, errno, NULL);
    close(n.user);
    return 0;
}

static int meet(void)
{
    struct namespaces n;
    mode_t mask = umask(0);
    join_set_patience(1000L * early_join.group.timeout);
    snprintf(join_peer.object_name, sizeof join_peer.object_name, SHM_PREFIX "%s", early_join.group.tag);
    snprintf(join_peer.semaphore_name, sizeof join_peer.semaphore_name, SEM_PREFIX "%s", early_join.group.tag);
    join_peer.directory = open(OBJECTS, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (join_peer.directory >= 0 && join_peer.directory < 3)
        join_peer.directory = fcntl(join_peer.directory, F_DUPFD_CLOEXEC, 3); // the low one stays, closed by execve(2)
    if (join_peer.directory < 0)
        return join_fail(EARLY_JOIN_OPEN, errno, OBJECTS);
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
    join_set_patience(GRACE);
    leave(1);
    return enter(n);
}

// Enters the container of a process.
static int visit(void)
{
    const char *const names[] = {"ns/user", "ns/mnt"};
    int fds[2], process = join_open_process(early_join.group.pid);
    for (int i = 0; i < 2; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/%s", (int)early_join.group.pid, names[i]);
        fds[i] = process < 0 ? -1 : openat(process, names[i], O_RDONLY | O_CLOEXEC);
        if (fds[i] < 0)
            return join_fail(errno == ENOENT || errno == ESRCH ? EARLY_JOIN_NO_PID : EARLY_JOIN_PID, errno, path);
    }
    struct namespaces n = {fds[0], fds[1]};
    if (!join_is_container(process, n))
        return join_fail(EARLY_JOIN_OUTSIDE, 0, NULL);
    close(process);
    early_join.role = EARLY_GUEST;
    return enter(n);
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

// Wakes those who wait. Who arrives later sees the state at once.
static void announce(void)
{
    for (unsigned i = 1; i < join_peer.record->arrived; i++)
        sem_post(join_peer.semaphore);
}

// Tells the others that the container stands: this process, the winner, is in it.
void early_join_publish(const struct early_facts *facts, const struct early_handle *user, const struct early_handle *mount)
{
    struct record *r = join_peer.record;
    struct stat st;
    if (!r)
        return;
    early_mind_time();
    join_set_patience(GRACE);
    FAULT("publishing");
    r->facts = *facts;
    r->facts.winner = getpid();
    r->user = *user;
    r->mount = *mount;
    r->user_inode = stat("/proc/self/ns/user", &st) == 0 ? st.st_ino : 0;
    r->mount_inode = stat("/proc/self/ns/mnt", &st) == 0 ? st.st_ino : 0;
    int self = join_open_process(getpid());
    r->members[0] = (struct member){getpid(), join_start_time(self)};
    r->member_count = 1;
    close(self);
    r->edition++;
    r->state = READY;
    FAULT("published");
    announce();
    join_unlock(BUILD);
    leave(1);
}

// Tells the others that there will be no container, and why.
void early_join_fail(const char *text)
{
    struct record *r = join_peer.record;
    if (!r || early_join.role != EARLY_WINNER || r->state != FORMING)
        return;
    early_mind_time();
    join_set_patience(GRACE);
    if (join_begin_edit() != 0)
        return; // by ending, this process leaves it to another one
    snprintf(r->failure, sizeof r->failure, "%s", text);
    r->state = FAILED;
    join_unlink_objects(); // who comes later tries it for himself
    r->complete = 1;
    join_end_edit();
    announce();
}

// Waits a moment for the peers that have not come yet: until all are in, at most GRACE after the last that came, and
// LONG_GRACE in all.
void early_join_settle(void)
{
    struct record *r = join_peer.record;
    if (!r)
        return;
    early_mind_time();
    join_set_patience(GRACE);
    const struct timespec grace = {.tv_nsec = GRACE * 1000000L};
    uint32_t before = 0, now = r->arrived + r->in;
    for (int rounds = 0; !r->complete && now != before && rounds < LONG_GRACE / GRACE;) {
        FAULT("settling");
        if (syscall(SYS_futex, &r->complete, FUTEX_WAIT, 0, &grace, NULL, 0) == 0 || errno != ETIMEDOUT)
            continue;
        rounds++;
        before = now;
        now = r->arrived + r->in;
    }
    if (!r->complete && join_begin_edit() == 0) {
        clean_up(); // if who would have done it has died
        join_end_edit();
    }
}
