// The program in the test image, and on the host side of tests: it shows what a process was given,
// tries what it should not be able to do, and starts programs in unusual circumstances. It is static C,
// because a language runtime would change signal dispositions, descriptors and limits before it
// could show them.
//
//     probe VERB [ARG...]

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int fail(const char *what)
{
    printf("%s: %s\n", what, strerror(errno));
    return 1;
}

static int copy_out(const char *path)
{
    char buffer[65536];
    ssize_t n;
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return fail(path);
    while ((n = read(fd, buffer, sizeof buffer)) > 0)
        fwrite(buffer, 1, (size_t)n, stdout);
    return n < 0 ? fail(path) : 0;
}

// Prints the lines of a /proc file that begin with PREFIX.
static void grep(const char *path, const char *prefix)
{
    char line[4096];
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, prefix, strlen(prefix)) == 0)
            fputs(line, stdout);
    if (f)
        fclose(f);
}

static int show_ids(char **args)
{
    (void)args;
    uid_t r, e, s;
    gid_t rg, eg, sg;
    getresuid(&r, &e, &s);
    getresgid(&rg, &eg, &sg);
    printf("uid %u %u %u gid %u %u %u\n", r, e, s, rg, eg, sg);
    grep("/proc/self/status", "CapEff:");
    fputs("uid_map", stdout);
    copy_out("/proc/self/uid_map");
    fputs("gid_map", stdout);
    return copy_out("/proc/self/gid_map");
}

static int show_process(char **args)
{
    (void)args;
    struct rlimit l;
    cpu_set_t cpus;
    int death = 0;
    getrlimit(RLIMIT_NOFILE, &l);
    sched_getaffinity(0, sizeof cpus, &cpus);
    prctl(PR_GET_PDEATHSIG, &death);
    mode_t mask = umask(0);
    printf("pid %d\nnofile %ld %ld\ncpus %d\numask %03o\nnice %d\npdeathsig %d\nslack %d\nno_new_privs %d\nsession %d\n",
        getpid(), (long)l.rlim_cur, (long)l.rlim_max, CPU_COUNT(&cpus), mask, getpriority(PRIO_PROCESS, 0), death,
        prctl(PR_GET_TIMERSLACK), prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), getsid(0));
    const int resources[] = {RLIMIT_AS, RLIMIT_DATA, RLIMIT_FSIZE, RLIMIT_NPROC};
    const char *names[] = {"as", "data", "fsize", "nproc"};
    for (int i = 0; i < 4; i++) {
        struct rlimit other;
        getrlimit(resources[i], &other);
        printf("%s %ld %ld\n", names[i], (long)other.rlim_cur, (long)other.rlim_max);
    }
    int tty = open("/dev/tty", O_RDWR);
    printf("tty %s\n", tty < 0 ? "no" : "yes");
    return 0;
}

// The CPUs that the process may run on: one digit each.
static int show_cpus(char **args)
{
    (void)args;
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    sched_getaffinity(0, sizeof cpus, &cpus);
    for (int i = 0; i < CPU_SETSIZE; i++)
        putchar(CPU_ISSET(i, &cpus) ? '1' : '0');
    putchar('\n');
    return 0;
}

static int show_signals(char **args)
{
    (void)args;
    const char *lines[] = {"SigPnd:", "ShdPnd:", "SigBlk:", "SigIgn:", "SigCgt:"};
    for (int i = 0; i < 5; i++)
        grep("/proc/self/status", lines[i]);
    return 0;
}

static int show_descriptors(char **args)
{
    (void)args;
    struct dirent *e;
    DIR *d = opendir("/proc/self/fd");
    while (d && (e = readdir(d)))
        if (e->d_name[0] != '.' && atoi(e->d_name) != dirfd(d))
            printf("%s\n", e->d_name);
    return 0;
}

static int show_namespaces(char **args)
{
    (void)args;
    struct stat st;
    const char *names[] = {"user", "mnt", "pid", "net", "ipc"};
    for (int i = 0; i < 5; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/self/ns/%s", names[i]);
        if (stat(path, &st) == 0)
            printf("%s %lu\n", names[i], (unsigned long)st.st_ino);
    }
    return 0;
}

// Mount points with their per-mount options and file system types, in order.
static int show_mounts(char **args)
{
    (void)args;
    char line[8192];
    FILE *f = fopen("/proc/self/mountinfo", "r");
    while (f && fgets(line, sizeof line, f)) {
        char point[4096], options[1024], *dash = strstr(line, " - "), type[64];
        if (dash && sscanf(line, "%*s %*s %*s %*s %4095s %1023s", point, options) == 2 && sscanf(dash, " - %63s", type) == 1)
            printf("%s %s %s\n", point, options, type);
    }
    return 0;
}

static int show_environment(char **args)
{
    (void)args;
    for (char **e = environ; *e; e++)
        printf("[%s]\n", *e);
    return 0;
}

static int show_arguments(char **args)
{
    for (; *args; args++)
        printf("[%s]\n", *args);
    return 0;
}

static int count_arguments(char **args)
{
    size_t n = 0, bytes = 0;
    for (; *args; args++, n++)
        bytes += strlen(*args);
    printf("%zu arguments, %zu bytes\n", n, bytes);
    return 0;
}

static int cat(char **args)
{
    if (!*args) {
        int c;
        while ((c = getchar()) != EOF)
            putchar(c);
    }
    for (; *args; args++)
        if (copy_out(*args))
            return 1;
    return 0;
}

static int list(char **args)
{
    struct dirent **entries;
    int n = scandir(*args, &entries, NULL, alphasort);
    if (n < 0)
        return fail(*args);
    for (int i = 0; i < n; i++)
        if (strcmp(entries[i]->d_name, ".") && strcmp(entries[i]->d_name, ".."))
            printf("%s\n", entries[i]->d_name);
    return 0;
}

static int status(char **args)
{
    struct stat st;
    for (; *args; args++) {
        if (lstat(*args, &st))
            return fail(*args);
        printf("%s %o %u:%u %ld\n", *args, st.st_mode, st.st_uid, st.st_gid, S_ISDIR(st.st_mode) ? 0 : (long)st.st_size);
    }
    return 0;
}

static int write_to(char **args)
{
    int fd = open(args[0], O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (fd < 0)
        return fail(args[0]);
    return write(fd, args[1], strlen(args[1])) < 0 ? fail(args[0]) : 0;
}

static int make_directory(char **args) { return mkdir(*args, 0777) ? fail(*args) : 0; }
static int remove_file(char **args) { return remove(*args) ? fail(*args) : 0; }

static int working_directory(char **args)
{
    (void)args;
    char path[4096];
    printf("%s\n", getcwd(path, sizeof path) ? path : strerror(errno));
    return 0;
}

static int exit_with(char **args) { return atoi(*args); }

static int kill_self(char **args)
{
    kill(getpid(), atoi(*args));
    return 99;
}

static int sleep_for(char **args)
{
    printf("sleeping\n");
    fflush(stdout);
    sleep((unsigned)atoi(*args));
    return 0;
}

// Runs another verb, but only when standard input has ended. args: VERB [ARG...]
static int run(char **args);
static int when(char **args)
{
    char c;
    printf("ready\n");
    fflush(stdout);
    while (read(0, &c, 1) > 0)
        ;
    return run(args);
}

// Leaves a daemon behind, with none of the caller's streams or session, that copies a file after a while.
// args: SECONDS SOURCE DESTINATION
static int leave_daemon(char **args)
{
    pid_t child = fork();
    if (child < 0)
        return fail("fork");
    if (child > 0) {
        printf("daemon %d\n", child);
        return 0;
    }
    setsid();
    int out = open(args[2], O_WRONLY | O_CREAT | O_APPEND, 0666);
    for (int fd = 0; fd < 3; fd++)
        dup2(out, fd);
    usleep((useconds_t)(atof(args[0]) * 1e6));
    return copy_out(args[1]);
}

// Opens every file of a directory and holds them open until standard input ends; then reads them all.
// args: DIRECTORY. Prints how many there are when they are open.
static int hold_open(char **args)
{
    struct rlimit l;
    struct dirent *e;
    int *fds = NULL, n = 0, bad = 0;
    getrlimit(RLIMIT_NOFILE, &l);
    l.rlim_cur = l.rlim_max;
    setrlimit(RLIMIT_NOFILE, &l);
    DIR *d = opendir(*args);
    if (!d || chdir(*args))
        return fail(*args);
    while ((e = readdir(d))) {
        if (e->d_name[0] == '.')
            continue;
        fds = realloc(fds, (size_t)(n + 1) * sizeof *fds);
        if ((fds[n] = open(e->d_name, O_RDONLY)) < 0)
            return fail(e->d_name);
        n++;
    }
    printf("%d open\n", n);
    fflush(stdout);
    for (char c; read(0, &c, 1) > 0;)
        ;
    for (int i = 0; i < n; i++) { // none is empty
        char text[32];
        bad += read(fds[i], text, sizeof text) <= 0;
    }
    printf("%d of %d cannot be read\n", bad, n);
    return bad != 0;
}

// Everything that would be a way out of the container or up in privilege: each must fail.
static int try_escape(char **args)
{
    (void)args;
    int bad = 0;
    gid_t group = 0;
#define REFUSED(call)                                   \
    do {                                                \
        errno = 0;                                      \
        if ((call) == 0) {                              \
            bad = 1;                                    \
            printf("%s succeeded\n", #call);            \
        } else                                          \
            printf("%s: %s\n", #call, strerror(errno)); \
    } while (0)
    REFUSED(mknod("/tmp/probe-device", S_IFCHR | 0666, 0x0101));
    REFUSED(setgroups(1, &group));
    REFUSED(setgroups(0, NULL));
    REFUSED(chroot("/tmp"));
    REFUSED(mount("none", "/tmp", "tmpfs", 0, NULL));
    REFUSED(umount2("/", MNT_DETACH));
    REFUSED(umount2("/etc/passwd", 0));
    REFUSED(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
    REFUSED(setuid(getuid() + 1));
    REFUSED(sethostname("probe", 5));
    return bad;
}

// The classic way out of a chroot, and whether the host's root can be seen above the container's.
static int above_root(char **args)
{
    struct stat root, above;
    stat("/", &root);
    int fd = open("/", O_RDONLY);
    if (chdir("/..") || fchdir(fd) || chdir("../../../.."))
        return fail("chdir");
    stat(".", &above);
    printf("above root: %s\n", root.st_ino == above.st_ino && root.st_dev == above.st_dev ? "root" : "something else");
    return *args && access(*args, F_OK) == 0 ? (printf("%s is visible\n", *args), 1) : 0;
}

// Swaps two names as quickly as it can, until killed.
static int swap(char **args)
{
    printf("swapping\n");
    fflush(stdout);
    for (;;)
        if (syscall(SYS_renameat2, AT_FDCWD, args[0], AT_FDCWD, args[1], 2 /* RENAME_EXCHANGE */))
            return fail("renameat2");
}

// Prints the first message that comes to a new socket at PATH: a log daemon. args: dgram|stream PATH
static int log_daemon(char **args)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char text[65536];
    int stream = strcmp(args[0], "stream") == 0;
    int fd = socket(AF_UNIX, stream ? SOCK_STREAM : SOCK_DGRAM, 0);
    strncpy(address.sun_path, args[1], sizeof address.sun_path - 1);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || (stream && listen(fd, 1)))
        return fail("bind");
    pid_t child = fork();
    if (child == 0) {
        execvp(args[2], args + 2);
        _exit(127);
    }
    alarm(10);
    if (stream)
        fd = accept(fd, NULL, NULL);
    ssize_t n = read(fd, text, sizeof text - 1);
    if (n < 0)
        return fail("read");
    text[n] = 0;
    int result;
    waitpid(child, &result, 0);
    printf("log: %s\n", text);
    return WEXITSTATUS(result);
}

// The system calls that tests can take away, as a kernel without them would answer.
static const struct {
    const char *name;
    unsigned number;
} deniable[] = {
    {"openat2", SYS_openat2}, {"open_tree", SYS_open_tree}, {"mount_setattr", SYS_mount_setattr},
    {"fsopen", SYS_fsopen}, {"unshare", SYS_unshare}, {"pivot_root", SYS_pivot_root}, {"mount", SYS_mount},
    {"name_to_handle_at", SYS_name_to_handle_at}, {"open_by_handle_at", SYS_open_by_handle_at},
    {"seccomp", SYS_seccomp}, {"kexec_load", SYS_kexec_load},
};

// spec: NAME or NAME:ERRNO, the default being ENOSYS.
static void deny(const char *spec)
{
    char name[64] = "";
    int error = ENOSYS;
    sscanf(spec, "%63[^:]:%d", name, &error);
    for (size_t i = 0; i < sizeof deniable / sizeof *deniable; i++) {
        if (strcmp(deniable[i].name, name))
            continue;
        struct sock_filter code[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, deniable[i].number, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = {sizeof code / sizeof *code, code};
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
            exit(fail("seccomp"));
        return;
    }
    exit(fail("deny: unknown system call"));
}

// Enters N nested user namespaces.
static void nest(int n)
{
    for (; n > 0; n--) {
        char map[64];
        unsigned uid = getuid(), gid = getgid();
        if (unshare(CLONE_NEWUSER))
            exit(fail("unshare"));
        int fd = open("/proc/self/setgroups", O_WRONLY);
        (void)!write(fd, "deny", 4);
        close(fd);
        snprintf(map, sizeof map, "%u %u 1", uid, uid);
        fd = open("/proc/self/uid_map", O_WRONLY);
        (void)!write(fd, map, strlen(map));
        close(fd);
        snprintf(map, sizeof map, "%u %u 1", gid, gid);
        fd = open("/proc/self/gid_map", O_WRONLY);
        (void)!write(fd, map, strlen(map));
        close(fd);
    }
}

static void open_as(int fd, int flags)
{
    int low = open("/dev/null", O_RDWR), high = fcntl(low, F_DUPFD, 100);
    close(low);
    dup3(high, fd, flags);
    close(high);
}

// Adds an entry to the environment, also if there is one of that name.
static void add_entry(char *entry)
{
    size_t n = 0;
    while (environ[n])
        n++;
    char **list = calloc(n + 2, sizeof *list);
    memcpy(list, environ, n * sizeof *list);
    list[n] = entry;
    environ = list;
}

// Executes a program as a strange caller would. args: SETTING=VALUE... -- PROGRAM [ARG...]
static int with(char **args)
{
    for (; *args && strcmp(*args, "--"); args++) {
        char *value = strchr(*args, '=');
        if (!value)
            return fail(*args);
        *value++ = 0;
        int n = atoi(value);
        sigset_t set;
        sigemptyset(&set);
        if (strcmp(*args, "ignore") == 0)
            signal(n, SIG_IGN);
        else if (strcmp(*args, "block") == 0)
            sigaddset(&set, n), sigprocmask(SIG_BLOCK, &set, NULL);
        else if (strcmp(*args, "pending") == 0)
            sigaddset(&set, n), sigprocmask(SIG_BLOCK, &set, NULL), raise(n);
        else if (strcmp(*args, "fd") == 0)
            open_as(n, 0);
        else if (strcmp(*args, "cloexec") == 0)
            open_as(n, O_CLOEXEC);
        else if (strcmp(*args, "close") == 0)
            close(n);
        else if (strcmp(*args, "closefrom") == 0)
            syscall(SYS_close_range, n, ~0U, 0);
        else if (strcmp(*args, "nofile") == 0)
            setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)n, 4096});
        else if (strcmp(*args, "umask") == 0)
            umask((mode_t)strtol(value, NULL, 8));
        else if (strcmp(*args, "nice") == 0)
            setpriority(PRIO_PROCESS, 0, n);
        else if (strcmp(*args, "pdeathsig") == 0)
            prctl(PR_SET_PDEATHSIG, n);
        else if (strcmp(*args, "slack") == 0)
            prctl(PR_SET_TIMERSLACK, (long)n);
        else if (strcmp(*args, "setsid") == 0)
            setsid();
        else if (strcmp(*args, "subreaper") == 0)
            prctl(PR_SET_CHILD_SUBREAPER, (long)n);
        else if (strcmp(*args, "entry") == 0)
            add_entry(value);
        else if (strcmp(*args, "nest") == 0)
            nest(n);
        else if (strcmp(*args, "deny") == 0)
            deny(value);
        else
            return fail(*args);
    }
    if (!*args || !args[1])
        return 2;
    execvp(args[1], args + 1);
    return fail(args[1]);
}

// Executes a program as an ordinary user where the root directory is the initial rootfs, as on a node
// that has booted from an initramfs and stayed there. Needs root. args: DIRECTORY PROGRAM [ARG...];
// the directory is at /test then.
static int diskless(char **args)
{
    const char *sources[] = {args[0], "/dev", "/proc", "/sys", "/tmp"};
    const char *targets[] = {"/test", "/dev", "/proc", "/sys", "/tmp"};
    int trees[5], made[5];

    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
        return fail("unshare");
    int namespace = open("/proc/self/ns/mnt", O_RDONLY);
    for (int i = 0; i < 5; i++)
        trees[i] = (int)syscall(SYS_open_tree, AT_FDCWD, sources[i], 1 /* OPEN_TREE_CLONE */ | 0x8000 /* AT_RECURSIVE */);
    // What is mounted on the rootfs goes, and entering the namespace again leads to what is left.
    if (umount2("/", MNT_DETACH) || setns(namespace, CLONE_NEWNS))
        return fail("detaching the root");
    for (int i = 0; i < 5; i++) {
        made[i] = mkdir(targets[i], 0755) == 0;
        if (syscall(SYS_move_mount, trees[i], "", AT_FDCWD, targets[i], 4 /* MOVE_MOUNT_F_EMPTY_PATH */))
            return fail(targets[i]);
    }
    pid_t child = fork();
    if (child == 0) {
        if (setgroups(0, NULL) || setgid(4711) || setuid(4711))
            return fail("setuid");
        execv(args[1], args + 1);
        return fail(args[1]);
    }
    int result;
    waitpid(child, &result, 0);
    // The rootfs is the machine's, whatever the namespace.
    for (int i = 4; i >= 0; i--) {
        umount2(targets[i], MNT_DETACH);
        if (made[i])
            rmdir(targets[i]);
    }
    return WIFEXITED(result) ? WEXITSTATUS(result) : 99;
}

// A process that has just been executed has no children, also none that are hidden from wait(2).
static int show_children(char **args)
{
    (void)args;
    int subreaper = 0;
    prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
    pid_t child = waitpid(-1, NULL, WNOHANG | __WALL);
    if (child < 0 && errno == ECHILD)
        printf("no children, subreaper %d\n", subreaper);
    else
        printf("child %d\n", (int)child);
    return 0;
}

static int read_all(const char *directory)
{
    static char buffer[65536];
    char path[4096];
    struct dirent *e;
    DIR *d = opendir(directory);
    if (!d)
        return -1;
    while ((e = readdir(d))) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", directory, e->d_name);
        ssize_t n;
        int fd = open(path, O_RDONLY);
        while ((n = read(fd, buffer, sizeof buffer)) > 0)
            ;
        if (n < 0)
            return -1;
        close(fd);
    }
    closedir(d);
    return 0;
}

// Uses up the limit of processes, and has others, that are there already, read the files in a directory
// at the same time.
static int crowd(char **args)
{
    enum { READERS = 10 };
    int gate[2], well = 0, filled = 0, result;
    pid_t readers[READERS], one = 0;
    if (!*args || pipe(gate) != 0)
        return 2;
    for (int i = 0; i < READERS; i++)
        if ((readers[i] = fork()) == 0) {
            char c;
            close(gate[1]);
            if (read(gate[0], &c, 1) < 0)
                _exit(2);
            _exit(read_all(*args) == 0 ? 0 : 1);
        }
    while (filled < 5000 && (one = fork()) > 0)
        filled++;
    if (one == 0) {
        close(gate[1]);
        sleep(60);
        _exit(0);
    }
    close(gate[1]);
    for (int i = 0; i < READERS; i++)
        well += readers[i] > 0 && waitpid(readers[i], &result, 0) == readers[i] && result == 0;
    printf("%s, %d of %d have read all\n", one < 0 ? "no room" : "room", well, READERS);
    fflush(stdout);
    kill(0, SIGKILL); // those that sleep, which are of the same group
    return 0;
}

// Uses up the limit of processes and then looks for files that do not exist, each once; ends when standard input does.
// args: how many
static int full(char **args)
{
    char path[64], c;
    pid_t one;
    while ((one = fork()) > 0)
        ;
    if (one == 0) {
        pause();
        _exit(0);
    }
    for (int i = 0; i < atoi(args[0]); i++) {
        snprintf(path, sizeof path, "/not-there-%d", i);
        if (access(path, F_OK) == 0)
            return 2;
    }
    puts("none");
    fflush(stdout);
    while (read(0, &c, 1) > 0)
        ;
    kill(0, SIGKILL); // those that pause, which are of the same group
    return 0;
}

// Asks for two pieces of a file in advance, and ends while they are on the way: nobody waits for them. args: FILE,
// OFFSET of the first one, microseconds between them
static int ahead(char **args)
{
    struct timespec begin, now;
    int fd = open(args[0], O_RDONLY);
    if (fd < 0)
        return fail("open");
    close(open(args[0], O_RDONLY)); // so that the kernel knows that closing needs no answer
    posix_fadvise(fd, atol(args[1]), 4096, POSIX_FADV_WILLNEED);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - begin.tv_sec) * 1000000 + (now.tv_nsec - begin.tv_nsec) / 1000 < atol(args[2]));
    posix_fadvise(fd, 0, 4096, POSIX_FADV_WILLNEED);
    _exit(0);
}

// Reads a page in the middle of a block of 128 KiB, and returns how many pages of that are cached then, or -1
// (mincore(2)).
static int cached_after_reading(int fd, long block)
{
    enum { BLOCK = 128 << 10, PAGES = BLOCK / 4096 };
    unsigned char page[4096], cached[PAGES];
    int count = 0;
    if (pread(fd, page, sizeof page, block * BLOCK + BLOCK / 2) != sizeof page)
        return fail("pread"), -1;
    void *mapping = mmap(NULL, BLOCK, PROT_READ, MAP_SHARED, fd, block * BLOCK);
    if (mapping == MAP_FAILED || mincore(mapping, BLOCK, cached) != 0)
        return fail("mincore"), -1;
    munmap(mapping, BLOCK);
    for (int i = 0; i < PAGES; i++)
        count += cached[i] & 1;
    return count;
}

// Says how much of a file is cached after a page has been read by the only task that asks for anything, and by one of
// two. args: FILE of three blocks
static int stored(char **args)
{
    int fd = open(args[0], O_RDONLY);
    if (fd < 0)
        return fail("open");
    posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    usleep(300000); // before the program there was the launch
    printf("alone: %d\n", cached_after_reading(fd, 1));
    fflush(stdout);
    pid_t other = fork();
    if (other == 0)
        _exit(access("/not-there", F_OK) == 0);
    waitpid(other, NULL, 0);
    printf("not alone: %d\n", cached_after_reading(fd, 2));
    return 0;
}

// Has six processes read pages of the same blocks of 128 KiB at the same time, over and over, until reading fails. args:
// FILE
static int storm(char **args)
{
    enum { READERS = 6, BLOCK = 128 << 10 };
    char page[4096];
    struct stat st;
    int fd = open(args[0], O_RDONLY);
    long *block = mmap(NULL, sizeof *block, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (fd < 0 || fstat(fd, &st) != 0 || block == MAP_FAILED)
        return fail("open");
    posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    puts("storm");
    fflush(stdout);
    for (int i = 0; i < READERS; i++) {
        unsigned seed = (unsigned)i;
        if (fork() != 0)
            continue;
        for (;;) {
            long here = __atomic_load_n(block, __ATOMIC_RELAXED);
            for (int n = 0; n < 3; n++)
                if (pread(fd, page, sizeof page, here * BLOCK + rand_r(&seed) % (BLOCK / 4096) * 4096) < 0)
                    _exit(0);
            long next = (here + 1) % (st.st_size / BLOCK);
            if (__atomic_compare_exchange_n(block, &here, next, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED) && next == 0)
                posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        }
    }
    while (wait(NULL) > 0)
        ;
    return 0;
}

// A number in the memory of each probe: its PID.
static volatile pid_t own_number;

// Reads the number of another probe, as MPI libraries read messages (process_vm_readv(2)). args: PID
static int peek(char **args)
{
    pid_t number = 0;
    struct iovec here = {&number, sizeof number}, there = {(void *)&own_number, sizeof number};
    if (syscall(SYS_process_vm_readv, atoi(*args), &here, 1, &there, 1, 0) != sizeof number)
        return fail("process_vm_readv");
    printf("read %d\n", number);
    return 0;
}

// Attaches to another process, as debuggers do. args: PID
static int attach(char **args)
{
    int result;
    pid_t pid = atoi(*args);
    if (ptrace(PTRACE_ATTACH, pid, NULL, NULL) != 0)
        return fail("ptrace");
    if (waitpid(pid, &result, 0) != pid || ptrace(PTRACE_DETACH, pid, NULL, NULL) != 0)
        return fail("ptrace");
    printf("attached to %d\n", pid);
    return 0;
}

// System calls by number, natively or, of x86-64, as programs of i386 make them, by interrupt 0x80. Their
// pointers are those of a static executable, below 4 GiB.

struct numbered {
    const char *name;
    long number;
    long arguments[5];
};

static int compatible; // whether calls are those of i386

static long call(const struct numbered *c)
{
    const long *a = c->arguments;
#ifdef __x86_64__
    if (compatible) {
        long result;
        __asm__ volatile("int $0x80" : "=a"(result) : "a"(c->number), "b"(a[0]), "c"(a[1]), "d"(a[2]), "S"(a[3]), "D"(a[4])
                         : "r8", "r9", "r10", "r11", "memory");
        result = (int)result;
        errno = result < 0 ? (int)-result : 0;
        return result < 0 ? -1 : result;
    }
#endif
    errno = 0;
    return syscall(c->number, a[0], a[1], a[2], a[3], a[4]);
}

static void call_all(const struct numbered *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        long result = call(list + i);
        printf("%s%s: ", compatible ? "i386 " : "", list[i].name);
        if (result < 0)
            printf("%s\n", strerror(errno));
        else
            printf("%ld\n", result);
    }
}

static sigjmp_buf no_interrupt;
static void note_fault(int s) { siglongjmp(no_interrupt, s); }

// Whether the kernel makes calls of i386: some lack CONFIG_IA32_EMULATION, or were booted with ia32_emulation=0.
static int makes_i386_calls(void)
{
#ifdef __x86_64__
    const struct numbered getpid_of_i386 = {"getpid", 20, {0}};
    void (*before)(int) = signal(SIGSEGV, note_fault);
    volatile int makes = 0;
    compatible = 1;
    if (sigsetjmp(no_interrupt, 1) == 0)
        makes = call(&getpid_of_i386) == getpid();
    compatible = 0;
    signal(SIGSEGV, before);
    return makes;
#else
    return 0;
#endif
}

// Exits with 0 if it does.
static int try_i386(char **args)
{
    (void)args;
    return !makes_i386_calls();
}

#ifdef __x86_64__
static void call_all_i386(const struct numbered *list, size_t count)
{
    if (!makes_i386_calls()) {
        puts("no calls of i386 on this kernel");
        return;
    }
    compatible = 1;
    call_all(list, count);
    compatible = 0;
}
#endif

enum { X32 = 0x40000000 }; // __X32_SYSCALL_BIT
#define COUNT(list) (sizeof(list) / sizeof *(list))
static char root[] = "/", node[64], other_node[64];
static gid_t groups[] = {4711, 4711};
static unsigned capability_header[] = {0x20080522, 0}, capabilities[6]; // _LINUX_CAPABILITY_VERSION_3

// Makes the calls that --seccomp fakes, each in a way in which it fails otherwise, or returns an ID other than 0.
// And looks whether there is any effect. None is of use to a process that is root in its container.
static int call_privileged(char **args)
{
    (void)args;
    struct stat before, after;
    stat("/", &before);
    long fd = open("/", O_RDONLY);
    snprintf(node, sizeof node, "/tmp/probe-device-%d", getpid());
    const long name = (long)node, path = (long)root, list = (long)groups, id = 4711;
    const struct numbered native[] = {
#ifdef SYS_chown
        {"chown", SYS_chown, {path, id, id}}, {"lchown", SYS_lchown, {path, id, id}},
        {"mknod character", SYS_mknod, {name, S_IFCHR | 0666, 0x103}}, {"mknod block", SYS_mknod, {name, S_IFBLK | 0666, 0x103}},
#endif
        {"fchown", SYS_fchown, {fd, id, id}}, {"fchownat", SYS_fchownat, {AT_FDCWD, path, id, id, 0}},
        {"mknodat character", SYS_mknodat, {AT_FDCWD, name, S_IFCHR | 0666, 0x103}},
        {"mknodat block", SYS_mknodat, {AT_FDCWD, name, S_IFBLK, 0x103}},
        {"setuid", SYS_setuid, {id}}, {"setgid", SYS_setgid, {id}}, {"setreuid", SYS_setreuid, {id, id}},
        {"setregid", SYS_setregid, {id, id}}, {"setresuid", SYS_setresuid, {id, id, id}}, {"setresgid", SYS_setresgid, {id, id, id}},
        {"setfsuid", SYS_setfsuid, {id}}, {"setfsgid", SYS_setfsgid, {id}}, {"setgroups", SYS_setgroups, {2, list}},
        {"capset", SYS_capset, {0, 0}}, {"kexec_load", SYS_kexec_load, {0, 0, 0, 0}},
#ifdef __x86_64__
        {"x32 chown", X32 + SYS_chown, {path, id, id}}, {"x32 kexec_load", X32 + 528, {0, 0, 0, 0}},
#endif
    };
    call_all(native, COUNT(native));
#ifdef __x86_64__
    const struct numbered i386[] = {
        {"chown", 182, {path, id, id}}, {"chown32", 212, {path, id, id}}, {"lchown", 16, {path, id, id}},
        {"lchown32", 198, {path, id, id}}, {"fchown", 95, {fd, id, id}}, {"fchown32", 207, {fd, id, id}},
        {"fchownat", 298, {AT_FDCWD, path, id, id, 0}},
        {"mknod character", 14, {name, S_IFCHR | 0666, 0x103}}, {"mknod block", 14, {name, S_IFBLK | 0666, 0x103}},
        {"mknodat character", 297, {AT_FDCWD, name, S_IFCHR | 0666, 0x103}}, {"mknodat block", 297, {AT_FDCWD, name, S_IFBLK, 0x103}},
        {"setuid", 23, {id}}, {"setuid32", 213, {id}}, {"setgid", 46, {id}}, {"setgid32", 214, {id}},
        {"setreuid", 70, {id, id}}, {"setreuid32", 203, {id, id}}, {"setregid", 71, {id, id}}, {"setregid32", 204, {id, id}},
        {"setresuid", 164, {id, id, id}}, {"setresuid32", 208, {id, id, id}},
        {"setresgid", 170, {id, id, id}}, {"setresgid32", 210, {id, id, id}},
        {"setfsuid", 138, {id}}, {"setfsuid32", 215, {id}}, {"setfsgid", 139, {id}}, {"setfsgid32", 216, {id}},
        {"setgroups", 81, {2, list}}, {"setgroups32", 206, {2, list}},
        {"capset", 185, {0, 0}}, {"kexec_load", 283, {0, 0, 0, 0}},
    };
    call_all_i386(i386, COUNT(i386));
#endif
    stat("/", &after);
    printf("owner %s, device %s\n", before.st_uid == after.st_uid && before.st_gid == after.st_gid ? "unchanged" : "changed",
        access(node, F_OK) == 0 ? "made" : "not made");
    return show_ids(args);
}

// Makes calls that are next to those, by number or by purpose, of which some work and others fail.
static int call_others(char **args)
{
    (void)args;
    snprintf(node, sizeof node, "/tmp/probe-node-%d", getpid());
    snprintf(other_node, sizeof other_node, "/tmp/probe-other-%d", getpid());
    const long name = (long)node, other = (long)other_node, path = (long)root, header = (long)capability_header, data = (long)capabilities;
    const struct numbered native[] = {
#ifdef SYS_mknod
        {"mknod file", SYS_mknod, {name, S_IFREG | 0600, 0x103}}, {"chmod", SYS_chmod, {name, 0640}}, {"unlink", SYS_unlink, {name}},
        {"mknod no type", SYS_mknod, {name, 0600, 0x103}}, {"rename", SYS_rename, {name, other}}, {"unlink", SYS_unlink, {other}},
        {"mknod fifo", SYS_mknod, {name, S_IFIFO | 0600}}, {"unlink", SYS_unlink, {name}},
        {"mknod socket", SYS_mknod, {name, S_IFSOCK | 0600}}, {"unlink", SYS_unlink, {name}},
        {"mknod directory", SYS_mknod, {name, S_IFDIR | 0600}}, {"mknod nowhere", SYS_mknod, {0, S_IFIFO | 0600}},
        {"mkdir", SYS_mkdir, {name, 0700}}, {"rmdir", SYS_rmdir, {name}},
#endif
        {"mknodat file", SYS_mknodat, {AT_FDCWD, name, S_IFREG | 0600, 0x103}}, {"fchmodat", SYS_fchmodat, {AT_FDCWD, name, 0640}},
        {"renameat2", SYS_renameat2, {AT_FDCWD, name, AT_FDCWD, other, 0}}, {"unlinkat", SYS_unlinkat, {AT_FDCWD, other, 0}},
        {"mknodat fifo", SYS_mknodat, {AT_FDCWD, name, S_IFIFO | 0600}}, {"unlinkat", SYS_unlinkat, {AT_FDCWD, name, 0}},
        {"mkdirat", SYS_mkdirat, {AT_FDCWD, name, 0700}}, {"unlinkat", SYS_unlinkat, {AT_FDCWD, name, AT_REMOVEDIR}},
        {"umask", SYS_umask, {077}}, {"umask", SYS_umask, {022}}, {"fchmod", SYS_fchmod, {-1, 0640}},
        {"setpriority", SYS_setpriority, {PRIO_PROCESS, 0, 5}}, {"getpriority", SYS_getpriority, {PRIO_PROCESS, 0}},
        {"setpgid", SYS_setpgid, {0, 0}}, {"getsid of init", SYS_getsid, {1}}, {"getgroups", SYS_getgroups, {-1, 0}},
        {"getuid", SYS_getuid, {0}}, {"getgid", SYS_getgid, {0}}, {"geteuid", SYS_geteuid, {0}}, {"getegid", SYS_getegid, {0}},
        {"getresuid", SYS_getresuid, {0, 0, 0}}, {"getresgid", SYS_getresgid, {0, 0, 0}},
        {"capget", SYS_capget, {header, data}}, {"capget nowhere", SYS_capget, {0, 0}}, {"personality", SYS_personality, {0xffffffff}},
        {"sethostname", SYS_sethostname, {path, 1}}, {"setdomainname", SYS_setdomainname, {path, 1}},
        {"mount", SYS_mount, {path, path, path, 0, 0}}, {"umount2", SYS_umount2, {path, 0}}, {"pivot_root", SYS_pivot_root, {path, path}},
        {"chroot", SYS_chroot, {path}}, {"setns", SYS_setns, {-1, 0}}, {"swapon", SYS_swapon, {path, 0}}, {"reboot", SYS_reboot, {0, 0, 0, 0}},
        {"settimeofday", SYS_settimeofday, {0, 1}}, {"init_module", SYS_init_module, {0, 0, 0}}, {"acct", SYS_acct, {path}},
        {"setxattr", SYS_setxattr, {path, path, path, 1, 0}}, {"waitid", SYS_waitid, {P_ALL, 0, 0, WEXITED}},
        {"kexec_file_load", SYS_kexec_file_load, {-1, -1, 0, 0, 0}}, {"add_key", SYS_add_key, {0, 0, 0, 0}},
        {"utimensat", SYS_utimensat, {AT_FDCWD, name, 0, 0}}, {"newfstatat", SYS_newfstatat, {AT_FDCWD, name, 0, 0}},
    };
    call_all(native, COUNT(native));
#ifdef __x86_64__
    // The numbers of i386's chown, setgid32, kexec_load, arm's mknodat, and x32's kexec_load.
    const struct numbered foreign[] = {{"528", 528, {0}}, {"x32 246", X32 + 246, {0}}, {"x32 getuid", X32 + SYS_getuid, {0}},
        {"182", 182, {0}}, {"214", 214, {-1, 0, 0}}, {"283", 283, {-1, 0}}, {"324", 324, {-1, 0, 0}}};
    call_all(foreign, COUNT(foreign));
    const struct numbered i386[] = {
        {"mknod file", 14, {name, S_IFREG | 0600, 0x103}}, {"chmod", 15, {name, 0640}}, {"unlink", 10, {name}},
        {"mknod no type", 14, {name, 0600, 0x103}}, {"unlink", 10, {name}},
        {"mknod fifo", 14, {name, S_IFIFO | 0600}}, {"unlink", 10, {name}},
        {"mknodat socket", 297, {AT_FDCWD, name, S_IFSOCK | 0600}}, {"unlinkat", 301, {AT_FDCWD, name, 0}},
        {"mkdirat", 296, {AT_FDCWD, name, 0700}}, {"unlinkat", 301, {AT_FDCWD, name, AT_REMOVEDIR}},
        {"getuid", 24, {0}}, {"getuid32", 199, {0}}, {"getgid32", 200, {0}}, {"geteuid32", 201, {0}}, {"getegid32", 202, {0}},
        {"stime", 25, {0}}, {"fchmod", 94, {-1, 0640}}, {"getpriority", 96, {PRIO_PROCESS, 0}}, {"setpriority", 97, {PRIO_PROCESS, 0, 6}},
        {"personality", 136, {0xffffffff}}, {"getgroups", 80, {-1, 0}}, {"getgroups32", 205, {-1, 0}},
        {"getresuid32", 209, {0, 0, 0}}, {"getresgid32", 211, {0, 0, 0}}, {"capget", 184, {header, data}},
        {"pivot_root", 217, {path, path}}, {"waitid", 284, {P_ALL, 0, 0, WEXITED}}, {"mount", 21, {path, path, path, 0, 0}},
        {"setns", 346, {-1, 0}}, {"sethostname", 74, {path, 1}},
        // The numbers of x86-64's chown, fchown, setuid and capset.
        {"92", 92, {-1, 0, 0}}, {"93", 93, {-1, 0, 0}}, {"105", 105, {-1, 0, 0}}, {"126", 126, {-1, 1, 0}},
    };
    call_all_i386(i386, COUNT(i386));
#endif
    return 0;
}

// Prints those of the paths that there are.
static int show_existing(char **args)
{
    struct stat st;
    for (; *args; args++)
        if (lstat(*args, &st) == 0)
            puts(*args);
    return 0;
}

// Prints those of the variables that are set, in the given order. One line is one write, as peers share a pipe.
static int show_variables(char **args)
{
    char text[4096] = "";
    size_t n = 0;
    for (; *args && n < sizeof text; args++)
        if (getenv(*args))
            n += (size_t)snprintf(text + n, sizeof text - n, "%s=%s\n", *args, getenv(*args));
    return write(1, text, n < sizeof text ? n : sizeof text) < 0;
}

static int show_links(char **args)
{
    char target[4096];
    for (; *args; args++) {
        ssize_t n = readlink(*args, target, sizeof target - 1);
        if (n < 0)
            return fail(*args);
        printf("%.*s\n", (int)n, target);
    }
    return 0;
}

static const struct {
    const char *verb;
    int (*run)(char **args);
} verbs[] = {
    {"exists", show_existing}, {"getenv", show_variables}, {"readlink", show_links},
    {"ids", show_ids}, {"process", show_process}, {"signals", show_signals}, {"cpus", show_cpus}, {"descriptors", show_descriptors},
    {"namespaces", show_namespaces}, {"mounts", show_mounts}, {"env", show_environment}, {"args", show_arguments},
    {"count", count_arguments}, {"cat", cat}, {"ls", list}, {"stat", status}, {"write", write_to},
    {"mkdir", make_directory}, {"rm", remove_file}, {"pwd", working_directory}, {"exit", exit_with},
    {"kill", kill_self}, {"sleep", sleep_for}, {"escape", try_escape}, {"above", above_root}, {"swap", swap},
    {"children", show_children}, {"crowd", crowd}, {"ahead", ahead}, {"stored", stored}, {"storm", storm}, {"full", full}, {"when", when}, {"daemon", leave_daemon}, {"hold", hold_open}, {"syslog", log_daemon}, {"with", with},
    {"peek", peek}, {"attach", attach}, {"diskless", diskless},
    {"privileged", call_privileged}, {"others", call_others}, {"i386", try_i386},
};

static int run(char **args)
{
    for (size_t i = 0; *args && i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i].verb, *args) == 0)
            return verbs[i].run(args + 1);
    fprintf(stderr, "probe: unknown verb\n");
    return 2;
}

int main(int argc, char **argv)
{
    (void)argc;
    own_number = getpid();
    return run(argv + 1);
}
