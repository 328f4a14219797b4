// The constructor and the final exec. Plain C because unshare(2) refuses CLONE_NEWUSER to a process
// with more than one thread, and the Go runtime has several before main(); because the runtime
// changes signal dispositions and limits before Go code can see what they were; and because the
// restoration must end in execve(2) on one and the same thread.

#define _GNU_SOURCE
#include "early.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

// The kernel's signal set and struct sigaction: the C libraries hide the signals that they use
// themselves, and the caller may have ignored those too.
enum { SIGNALS = 64 };
struct kernel_sigaction {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

static uint64_t bit(int s) { return UINT64_C(1) << (s - 1); }

int __real_sigaction(int, const struct sigaction *, struct sigaction *);

struct early_state early_state = {.server_socket = -1, .image = -1, .load = -1};
const char *const early_marks[] = {"ch-run:launch", "ch-run:serve", "ch-run:join", "ch-run:join-serve", NULL};

// The limits that Go changes, or that are in its way: for the launch, the soft one is the hard one.
static const int limits[] = {RLIMIT_NOFILE, RLIMIT_AS, RLIMIT_DATA, RLIMIT_NPROC, RLIMIT_FSIZE};
enum { LIMITS = sizeof limits / sizeof *limits, NEEDED_FILES = 16 };

// What Go, or the pinning, disturbs.
static struct {
    uint64_t ignored, mask;
    struct rlimit limits[LIMITS];
    mode_t umask;
    int closed[3];
    unsigned long affinity[128]; // 8,192 CPUs
    long affinity_size;          // bytes; 0 if it was not changed
    int timerslack;              // nanoseconds; 0 if it was not changed
} saved;

// musl calls constructors without arguments. The kernel puts argc, argv[] and the environment
// next to each other on the stack (System V ABI, "Process Initialization"), so argc is the word
// that, walking down from the environment, equals the number of pointers passed.
static int find_arguments(char ***argv)
{
    char **end = environ - 1;
    intptr_t n = 0;
    while ((intptr_t)end[-1 - n] != n)
        n++;
    *argv = end - n;
    return (int)n;
}

// The variables that a Go runtime reads are meant for the command, should that be a Go program; a bad
// value would end the launch in a stack trace. Until Go code runs they are out of sight, and
// CH_RUN_GODEBUG and its like stand in for them.
enum { HIDDEN = 16 };
static struct {
    char **where, *what;
} hidden[HIDDEN];
static int hidden_count;

void early_hide_variables(void)
{
    static const char *const names[] = {"GODEBUG=", "GOGC=", "GOMAXPROCS=", "GOMEMLIMIT=", "GOTRACEBACK="};
    static const char own[] = "CH_RUN_";
    static char nothing[] = "";

    for (char **e = environ; *e && hidden_count < HIDDEN; e++) {
        size_t offset = strncmp(*e, own, sizeof own - 1) == 0 ? sizeof own - 1 : 0;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            if (strncmp(*e + offset, names[i], strlen(names[i])) != 0)
                continue;
            if (offset && strcmp(names[i], "GOMEMLIMIT=") == 0) // a bad value of which is a stack trace
                break;
            hidden[hidden_count].where = e;
            hidden[hidden_count++].what = *e;
            *e = offset ? *e + offset : nothing;
            break;
        }
    }
}

// Where the arguments are, and the environment that follows them.
static char *arguments_begin, *arguments_end;

static void find_room(int argc, char **argv)
{
    arguments_begin = arguments_end = argv[0];
    for (int i = 0; i < argc; i++)
        if (argv[i] == arguments_end)
            arguments_end += strlen(arguments_end) + 1;
    for (char **e = environ; *e; e++)
        if (*e == arguments_end)
            arguments_end += strlen(arguments_end) + 1;
}

void early_serving(const char *title)
{
    early_in_use = 1;
    size_t room = (size_t)(arguments_end - arguments_begin);
    memset(arguments_begin, 0, room);
    snprintf(arguments_begin, room, "%s", title);
}

void early_show_variables(void)
{
    for (; hidden_count > 0; hidden_count--)
        *hidden[hidden_count - 1].where = hidden[hidden_count - 1].what;
}

static void save(void)
{
    for (int s = 1; s <= SIGNALS; s++) {
        struct kernel_sigaction a;
        if (syscall(SYS_rt_sigaction, s, NULL, &a, sizeof a.mask) == 0 && a.handler == SIG_IGN)
            saved.ignored |= bit(s);
    }
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &saved.mask, sizeof saved.mask);
    for (int i = 0; i < LIMITS; i++)
        getrlimit(limits[i], &saved.limits[i]);
    umask(saved.umask = umask(0));
    for (int fd = 0; fd < 3; fd++)
        saved.closed[fd] = fcntl(fd, F_GETFD) == -1;

    early_state.privileged = getauxval(AT_SECURE) != 0;
    getresuid(&early_state.ruid, &early_state.euid, &early_state.suid);
    getresgid(&early_state.rgid, &early_state.egid, &early_state.sgid);
    early_state.parent = getppid(); // once, as it may end
}

// Gives the Go runtime the room that it needs, of which most is reserved and never used. Without it
// the runtime would end in a stack trace, so this is an error that Go cannot report.
static void make_room(void)
{
    static const struct {
        int resource, megabytes;
        const char *name;
    } needed[] = {{RLIMIT_AS, 800, "virtual memory (ulimit -v)"}, {RLIMIT_DATA, 64, "data (ulimit -d)"}};

    if (saved.limits[0].rlim_max < NEEDED_FILES) {
        dprintf(2, "ch-run[%d]: error: the limit of open files (ulimit -n) is %llu, and to start takes %d (hint: raise the limit in your job) (early.c:%d)\n",
            getpid(), (unsigned long long)saved.limits[0].rlim_max, NEEDED_FILES, __LINE__);
        _exit(31);
    }
    for (int i = 0; i < LIMITS; i++) {
        struct rlimit all = {.rlim_cur = saved.limits[i].rlim_max, .rlim_max = saved.limits[i].rlim_max};
        if (saved.limits[i].rlim_cur != all.rlim_cur)
            setrlimit(limits[i], &all);
        for (size_t n = 0; n < sizeof needed / sizeof *needed; n++) {
            if (limits[i] != needed[n].resource || all.rlim_max >= (rlim_t)needed[n].megabytes << 20)
                continue;
            dprintf(2, "ch-run[%d]: error: the limit of %s is %llu MiB, and to start takes %d MiB (hint: raise the limit in your job) (early.c:%d)\n",
                getpid(), needed[n].name, (unsigned long long)all.rlim_max >> 20, needed[n].megabytes, __LINE__);
            _exit(31);
        }
    }
}

// Stay on this CPU for the launch: the threads of the Go runtime then need no wake-up of another.
static void pin(void)
{
    unsigned long one[sizeof saved.affinity / sizeof saved.affinity[0]] = {0};
    const unsigned bits = 8 * sizeof one[0];
    int cpu = sched_getcpu();
    long size = syscall(SYS_sched_getaffinity, 0, sizeof saved.affinity, saved.affinity);
    if (cpu < 0 || size <= 0 || (size_t)cpu >= 8 * (size_t)size)
        return;
    one[cpu / bits] |= 1UL << (cpu % bits);
    if (syscall(SYS_sched_setaffinity, 0, (size_t)size, one) == 0)
        saved.affinity_size = size;
}

// Undoes it. The kernel remembers which CPUs a process asked for, and keeps to them when its cpuset grows
// (sched_setaffinity(2)); who had not asked for any gets all that there are.
static void unpin(void)
{
    unsigned long all[sizeof saved.affinity / sizeof saved.affinity[0]], now[sizeof all / sizeof *all] = {0};
    memset(all, 0xff, sizeof all);
    syscall(SYS_sched_setaffinity, 0, (size_t)saved.affinity_size, all);
    if (syscall(SYS_sched_getaffinity, 0, (size_t)saved.affinity_size, now) != saved.affinity_size
        || memcmp(now, saved.affinity, (size_t)saved.affinity_size) != 0)
        syscall(SYS_sched_setaffinity, 0, (size_t)saved.affinity_size, saved.affinity);
}

// The Go runtime's monitor thread sleeps 20 microseconds at a time to begin with, and pinned to one CPU
// each of its wake-ups interrupts the launch (about 20 of them, 10 % of a launch). A timer slack,
// which threads inherit, lets the kernel put them off until it is awake anyway.
static void be_patient(void)
{
    saved.timerslack = prctl(PR_GET_TIMERSLACK);
    if (saved.timerslack > 0)
        prctl(PR_SET_TIMERSLACK, 100000000L);
}

// Undoes it, for those who have to wait for no longer than they say.
void early_mind_time(void)
{
    if (saved.timerslack > 0)
        prctl(PR_SET_TIMERSLACK, (long)saved.timerslack);
}

// The signals that a Go runtime (blockableSig and _SigUnblock in its source), or a C library's threads,
// unblock whatever mask they were started with. All threads can receive them then.
static const int unblocked[] = {SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGTERM, SIGSTKFLT, SIGSYS, SIGPROF, SIGCHLD,
    SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, 32, 33, 34};
enum { UNBLOCKED = sizeof unblocked / sizeof *unblocked };

// The signals that the runtime handles for its own sake: faults, and the preemption of goroutines.
static int needed_by_go(int s)
{
    return s == SIGSEGV || s == SIGBUS || s == SIGFPE || s == SIGILL || s == SIGTRAP || s == SIGURG;
}

static volatile uint64_t held; // signals to be sent again when the mask is the caller's

static void hold(int s) { held |= bit(s); }

// Takes note of the signals that the caller blocks and that will be unblocked all the same: of those
// that are pending now, and by a handler of those to come. All others do what they do to any program.
static void hold_signals(void)
{
    uint64_t pending = 0;
    syscall(SYS_rt_sigpending, &pending, sizeof pending);
    for (int i = 0; i < UNBLOCKED; i++) {
        uint64_t one = bit(unblocked[i]) & saved.mask & pending;
        if (one && syscall(SYS_rt_sigtimedwait, &one, NULL, &(struct timespec){0}, sizeof one) > 0)
            hold(unblocked[i]);
    }
    // Only now: musl unblocks 33 and 34 when the first handler is installed.
    for (int i = 0; i < UNBLOCKED; i++) {
        int s = unblocked[i];
        if (bit(s) & saved.mask & ~saved.ignored && !needed_by_go(s))
            __real_sigaction(s, &(struct sigaction){.sa_handler = hold, .sa_flags = SA_ONSTACK | SA_RESTART}, NULL);
    }
}

// The Go runtime asks for handlers of all signals by way of the C library. It gets only those that it
// needs: with the others it would drop signals (USR1), turn them into stack traces (QUIT), and be
// killed by those that the caller ignores (TERM). Linked with --wrap, see ld(1).
int __wrap_sigaction(int s, const struct sigaction *action, struct sigaction *old)
{
    if (!needed_by_go(s) || saved.ignored & bit(s))
        action = NULL;
    return action || old ? __real_sigaction(s, action, old) : 0;
}

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t written = write(fd, text, strlen(text));
    int error = errno;
    close(fd);
    errno = error;
    return written < 0 ? -1 : 0;
}

// The outer user namespace maps the caller to 0, the inner one will map 0 to the container's IDs
// (user_namespaces(7)). The inner maps are left to Go, which knows the options --uid and --gid;
// the inner namespace can be created only once the outer maps are written.
static void make_namespaces(void)
{
    char uid_map[32], gid_map[32];
    snprintf(uid_map, sizeof uid_map, "0 %u 1\n", (unsigned)early_state.euid);
    snprintf(gid_map, sizeof gid_map, "0 %u 1\n", (unsigned)early_state.egid);

    int failed = (early_state.step = EARLY_OUTER, unshare(CLONE_NEWUSER))
        || (early_state.step = EARLY_SETGROUPS, write_file("/proc/self/setgroups", "deny"))
        || (early_state.step = EARLY_UID_MAP, write_file("/proc/self/uid_map", uid_map))
        || (early_state.step = EARLY_GID_MAP, write_file("/proc/self/gid_map", gid_map))
        || (early_state.step = EARLY_INNER, unshare(CLONE_NEWUSER | CLONE_NEWNS));
    if (failed)
        early_state.error = errno;
    else
        early_state.step = EARLY_DONE;
}

// A starting Go runtime opens a handful of files about the machine and its cgroup, and reads the whole
// mount table, to decide on a number of threads that the pinning has decided already (4 % of a
// launch, more where the host has many mounts). It does without what it cannot open, so it finds
// no descriptor free. Package early raises the limit again, before any other package needs a file.
static void deny_files(void)
{
    struct rlimit few;
    getrlimit(RLIMIT_NOFILE, &few);
    few.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &few);
}

// Spares the Go runtime of the server what took a seventh of its start: the monitor's wake-ups every 20
// microseconds, as in be_patient, until it has started; and places for more threads than take part in a launch, of
// which a machine with 128 processors would have so many that a launch took 1.2 times as long. Package fuse counts on
// these, and asks for more when the launch is over.
static void be_ready(void)
{
    static char processors[] = "GOMAXPROCS=3";
    hidden_count = 0;
    if (environ[0])
        environ[0] = processors;
    prctl(PR_SET_TIMERSLACK, 1000000L);
}

// The process of the FUSE server: see start_server. Only what has to be done by the one thread that there is,
// since it is the threads' own and inherited by those to come, or what the Go runtime is to find done.
static void become_server(int socket, const char *image)
{
    // Nothing of the caller's: session and terminal, files, signals. But the image, so that it can be looked
    // at before the launch says that it is the one.
    setsid();
    if (image)
        early_state.image = open(image, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (chdir("/") != 0)
        _exit(0);
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++) // where there is no such device, anything else keeps Go from looking for it
        if (dup2(null >= 0 ? null : socket, fd) != fd)
            _exit(0);
    // Where they will be, and in their places nothing else. Out of the way first: what is to be 3 may be 4.
    int files[] = {socket, early_state.image, open("/proc/loadavg", O_RDONLY | O_CLOEXEC)};
    enum { FIRST = 3, FILES = sizeof files / sizeof *files };
    for (int i = 0; i < FILES; i++)
        files[i] = files[i] < 0 ? -1 : fcntl(files[i], F_DUPFD_CLOEXEC, FIRST + FILES);
    for (int i = 0; i < FILES; i++)
        if (files[i] < 0)
            close(FIRST + i);
        else if (dup3(files[i], FIRST + i, O_CLOEXEC) != FIRST + i)
            _exit(0);
    early_state.image = files[1] < 0 ? -1 : FIRST + 1;
    early_state.load = files[2] < 0 ? -1 : FIRST + 2;
    if (syscall(SYS_close_range, FIRST + FILES, ~0U, 0) != 0) // Linux 5.9
        for (int fd = FIRST + FILES; fd < 65536; fd++)
            close(fd);
    for (int s = 1; s <= SIGNALS; s++)
        __real_sigaction(s, &(struct sigaction){.sa_handler = needed_by_go(s) || s == SIGABRT || s == SIGSYS ? SIG_DFL : SIG_IGN}, NULL);
    uint64_t none = 0;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
    saved.ignored = held = 0;
    prctl(PR_SET_NAME, EARLY_SERVER_NAME);
    be_ready();

    // No privilege.
    struct { uint32_t version; int pid; } header = {0x20080522, 0}; // _LINUX_CAPABILITY_VERSION_3
    struct { uint32_t effective, permitted, inheritable; } nothing[2] = {{0}};
    if (syscall(SYS_capset, &header, nothing) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        _exit(0);

    // Landlock (landlock(7)), where the kernel has it: no path in any file system, and no signal to, or
    // abstract socket of, anybody outside.
    struct { uint64_t files, network, scopes; } rights = {(1 << 13) - 1, 0, 0};
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
    size_t size = version >= 6 ? 24 : version >= 4 ? 16 : 8;
    rights.files |= version >= 2 ? 1 << 13 : 0; // renaming and linking
    rights.files |= version >= 3 ? 1 << 14 : 0; // truncating
    rights.files |= version >= 5 ? 1 << 15 : 0; // ioctl(2) of devices
    rights.network = version >= 4 ? 3 : 0;      // TCP
    rights.scopes = version >= 6 ? 3 : 0;
    int rules = version > 0 ? (int)syscall(SYS_landlock_create_ruleset, &rights, size, 0) : -1;
    if (rules >= 0) {
        syscall(SYS_landlock_restrict_self, rules, 0);
        close(rules);
    }
    early_state.server = 1;
    early_state.server_socket = 3;
}

// Waits for the process between, which ends as soon as it has forked.
void early_reap(void)
{
    if (early_state.server_parent > 0)
        while (waitpid(early_state.server_parent, NULL, __WALL) < 0 && errno == EINTR)
            ;
    early_state.server_parent = 0;
}

// The process between: forks the server, and ends.
struct between {
    int socket;      // the server's
    jmp_buf *server; // where it goes on
};

static int be_between(void *argument)
{
    struct between *b = argument;
    pid_t server = fork();
    if (server == 0)
        longjmp(*b->server, 1);
    if (server < 0)
        dprintf(b->socket, EARLY_NO_SERVER "can't fork: %s", strerror(errno));
    _exit(0);
}

// Makes the process that will serve the image, so that its Go runtime starts at the same time as that of
// the launch; in the caller's namespaces, where the image will not be mounted: the kernel ends the connection
// when nobody is left who could use it, and the server must not be one. It is forked twice, because whoever
// has a process for a child can be surprised by its death; and the process between dies silently (clone(2):
// without a termination signal), because the caller may block SIGCHLD, and would find one pending. That one
// needs no memory of its own (CLONE_VM, CLONE_VFORK), but a stack. early_reap waits for it.
static void start_server(const char *image)
{
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
        early_state.server_error = errno;
        return;
    }
    for (int i = 0; i < 2; i++) // the caller may have closed standard streams
        if (sockets[i] < 3) {
            int low = sockets[i];
            sockets[i] = fcntl(low, F_DUPFD_CLOEXEC, 3);
            close(low);
        }
    // If this process is the one that orphans are given to (PR_SET_CHILD_SUBREAPER), not this one.
    int reaper = 0;
    prctl(PR_GET_CHILD_SUBREAPER, &reaper);
    if (reaper)
        prctl(PR_SET_CHILD_SUBREAPER, 0L);
    jmp_buf here;
    if (setjmp(here) != 0) {
        close(sockets[0]);
        become_server(sockets[1], image);
        return;
    }
    char stack[16 << 10] __attribute__((aligned(16)));
    struct between b = {.socket = sockets[1], .server = &here};
    pid_t between = clone(be_between, stack + sizeof stack, CLONE_VM | CLONE_VFORK, &b);
    // The kernel often has it wait for this processor although another one is idle, half a millisecond, until the
    // Go runtime here creates a thread.
    if (between > 0)
        sched_yield();
    close(sockets[1]);
    early_state.server_socket = sockets[0];
    early_state.server_parent = between;
    if (between < 0)
        early_state.server_error = errno;
    if (reaper) {
        early_reap();
        prctl(PR_SET_CHILD_SUBREAPER, 1L);
    }
}

// Which of early_marks argv[0] is, or -1. A mark for joining is completed by the group.
static int find_mark(const char *word, struct early_group *group)
{
    for (int mark = 0; early_marks[mark]; mark++) {
        size_t length = strlen(early_marks[mark]);
        int joins = mark == EARLY_MARK_JOIN || mark == EARLY_MARK_JOIN_SERVE;
        if (strncmp(word, early_marks[mark], length) != 0 || word[length] != (joins ? ':' : 0))
            continue;
        if (!joins)
            return mark;
        unsigned long numbers[3];
        char *rest = (char *)word + length;
        for (int i = 0; i < 3; i++)
            numbers[i] = *rest == ':' ? strtoul(rest + 1, &rest, 10) : 0;
        if (*rest != ':')
            continue;
        group->size = (unsigned)numbers[0];
        group->timeout = (unsigned)numbers[1];
        group->pid = (pid_t)numbers[2];
        snprintf(group->tag, sizeof group->tag, "%s", rest + 1);
        return mark;
    }
    return -1;
}

// A file is an image, or will be an error.
static int is_file(const char *path)
{
    struct stat st;
    return path && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

// Starts what serves the image, if there is one to SERVE, or an IMAGE that has to be. And makes the namespaces of the
// container, unless it is that of the peers whom this process was to JOIN.
static void contain(int join, int serve, const char *image)
{
    int leads = !join || early_join.role == EARLY_WINNER;
    if (leads && (serve || is_file(image)))
        start_server(image);
    if (!early_state.server) { // which goes on to work when the launch is over
        if (leads)
            make_namespaces();
        pin();
        be_patient();
    }
    deny_files();
    early_touch_variables();
}

__attribute__((constructor)) static void early_main(void)
{
    char **argv;
    int argc = find_arguments(&argv);
    struct early_scan scan;

    find_room(argc, argv);
    early_hide_variables();
    save();
    make_room();
    hold_signals();
    int mark = argc >= 2 ? find_mark(argv[0], &early_join.group) : -1;
    early_state.relaunched = mark >= 0;
    if (early_state.privileged || early_state.ruid != early_state.euid || early_state.rgid != early_state.egid)
        return; // Go refuses to go on
    if (mark >= 0) {
        if (mark >= EARLY_MARK_JOIN) {
            early_join.reference = early_reference(argv + 1, argc - 1);
            early_join_begin();
        }
        contain(mark >= EARLY_MARK_JOIN, mark == EARLY_MARK_SERVE || mark == EARLY_MARK_JOIN_SERVE, NULL);
    } else if (early_scan(argc, argv, &scan)) {
        int join = scan.join || scan.pid;
        if (join && (scan.command >= argc || !early_find_group(&scan, &early_join.group)))
            return;
        if (join) {
            early_join.reference = early_reference(argv, scan.command);
            early_join_begin();
            early_take_short_way(argv, &scan);
        }
        contain(join, 0, scan.image);
    }
}

// Gives the process back to the caller's settings. Only those dispositions are set that Go has changed,
// since setting one forgets the signals that are pending for it; and the handler for what the caller
// blocks stays until execve(2) resets it, because the other threads, which do not block it, are there
// until then.
static void restore(int flags)
{
    for (int s = 1; s <= SIGNALS; s++)
        if (needed_by_go(s) && !((saved.ignored | saved.mask) & bit(s)))
            __real_sigaction(s, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    for (int i = 0; i < LIMITS; i++)
        setrlimit(limits[i], &saved.limits[i]);
    umask(saved.umask);
    // The Go runtime opens /dev/null on standard streams that are closed.
    for (int fd = 0; fd < 3; fd++)
        if (saved.closed[fd] && !(fd == 1 && flags & EARLY_KEEP_STDOUT) && !(fd == 2 && flags & EARLY_KEEP_STDERR))
            fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (saved.timerslack > 0)
        prctl(PR_SET_TIMERSLACK, (long)saved.timerslack);
    if (saved.affinity_size)
        unpin();
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &saved.mask, NULL, sizeof saved.mask);
    for (int s = 1; s <= SIGNALS; s++)
        if (held & bit(s))
            raise(s); // stays pending: only what the caller blocks is held
}

// Executes the first of CANDIDATES that can be, as execvp(3) does: a file without a known format
// is given to /bin/sh. Returns an errno value if none could.
static int try_all(char **candidates, char **argv, char **envp)
{
    int denied = 0, error = ENOENT;
    for (; *candidates; candidates++) {
        execve(*candidates, argv, envp);
        error = errno;
        if (error == ENOEXEC) {
            size_t argc = 0;
            while (argv[argc])
                argc++;
            char *shell[argc + 3];
            shell[0] = "/bin/sh";
            shell[1] = *candidates;
            memcpy(shell + 2, argv + (argc > 0), (argc - (argc > 0) + 1) * sizeof *argv);
            execve(shell[0], shell, envp);
            return error;
        }
        if (error == EACCES)
            denied = 1;
        else if (error != ENOENT && error != ENOTDIR && error != ENODEV && error != ESTALE && error != ETIMEDOUT)
            return error;
    }
    return denied ? EACCES : error;
}

// Installs the filter in this thread, which will be the only one, and tries it by kexec_load(2), which nobody may make
// in a user namespace, and no program that builds an image does.
static int install(const struct early_filter *filter, enum early_exec_step *step)
{
    enum { SET_MODE_FILTER = 1 }; // SECCOMP_SET_MODE_FILTER of linux/seccomp.h
    *step = EARLY_EXEC_FILTER;
    if (syscall(SYS_seccomp, SET_MODE_FILTER, 0, filter) != 0)
        return -1;
    *step = EARLY_EXEC_SELF_TEST;
    if (syscall(SYS_kexec_load, 0UL, 0UL, NULL, 0UL) != 0)
        return -1;
    *step = EARLY_EXEC_COMMAND;
    return 0;
}

// Restores the caller's settings and executes the command; see try_all. The filter, if there is one, comes last: no
// call that is made before execve(2) is to be faked, and it could not be installed without no_new_privs.
int early_exec(char **candidates, char **argv, char **envp, int flags, const struct early_filter *filter, enum early_exec_step *failed)
{
    int error;
    early_reap();
    restore(flags);
    *failed = EARLY_EXEC_COMMAND;
    if ((flags & EARLY_NO_NEW_PRIVS && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) || (filter && install(filter, failed) != 0))
        error = errno;
    else
        error = try_all(candidates, argv, envp);
    make_room(); // Go has an error to report
    return error;
}
