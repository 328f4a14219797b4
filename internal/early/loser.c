// The short way of a loser into the container, without the Go runtime, the start of which would take half of its
// time: all that it has to know is in the record. It is for peers with the options of the winner, who has found
// them good, among them none that takes more than this. Whatever else there is, and every error, is left to
// Go, which then goes the long way: Plan.Enter in internal/container, with the same result.

#define _GNU_SOURCE
#include "early.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

// FNV-1a (Fowler, Noll, Vo) of a string and its NUL.
static uint64_t hash(uint64_t h, const char *text)
{
    do {
        h ^= (unsigned char)*text;
        h *= UINT64_C(0x100000001b3);
    } while (*text++);
    return h;
}

// A number for what decides on the container: the first COUNT arguments but the program's name, the working
// directory, and the variables that choose the storage directory and devices.
uint64_t early_reference(char **argv, int count)
{
    const char *const names[] = {"USER", "CH_IMAGE_STORAGE", "CH_RUN_CDI_DIRS"};
    char directory[4096];
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (int i = 1; i < count; i++)
        h = hash(h, argv[i]);
    h = hash(h, getcwd(directory, sizeof directory) ? directory : "");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        h = hash(h, value ? value : "");
    }
    return h;
}

// The syslog entry. Go quotes what is not plain ASCII.

static int connect_log(void)
{
    const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
    const int types[] = {SOCK_DGRAM, SOCK_STREAM}; // as syslog(3) does
    for (int i = 0; i < 2; i++) {
        int fd = socket(AF_UNIX, types[i] | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
            return fd;
        if (fd >= 0)
            close(fd);
        if (errno != EPROTOTYPE)
            break;
    }
    return -1;
}

static char *quote(char *out, const char *word)
{
    const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789%+,-./:=@_^";
    int quoted = *word == 0 || word[strspn(word, plain)] != 0;
    if (quoted)
        *out++ = '"';
    for (; *word; word++) {
        if (strchr("\"$`\\", *word))
            *out++ = '\\';
        *out++ = *word;
    }
    if (quoted)
        *out++ = '"';
    return out;
}

// Tells syslog who runs what, if there is one. Returns 0 if that is beyond this code.
static int log_start(char **argv)
{
    int fd = connect_log(), argc = 0;
    size_t length = 0;
    if (fd < 0)
        return 1;
    for (; argv[argc]; argc++)
        for (const char *c = argv[argc]; *c; c++, length++)
            if (*c < ' ' || *c == 0x7f) { // also what is not ASCII, as char is signed
                close(fd);
                return 0;
            }
    char *text = malloc(200 + 2 * length + 3 * (size_t)argc), date[32] = "";
    if (text) {
        time_t now = time(NULL);
        struct tm local;
        if (localtime_r(&now, &local))
            strftime(date, sizeof date, "%b %e %H:%M:%S", &local);
        char *end = text + sprintf(text, "<14>%s ch-run[%d]: uid=%u args=%d: ch-run", // facility user, severity info
                                   date, getpid(), (unsigned)early_state.ruid, argc);
        for (int i = 1; i < argc; i++) {
            *end++ = ' ';
            end = quote(end, argv[i]);
        }
        sendto(fd, text, (size_t)(end - text), MSG_NOSIGNAL, NULL, 0); // nobody to tell
        free(text);
    }
    close(fd);
    early_join.logged = 1;
    return 1;
}

// The environment.

// Whether ENTRY is of that NAME, behind which there may be anything that a name cannot have.
static int is_entry(const char *entry, const char *name)
{
    size_t length = strcspn(name, "=");
    return strncmp(entry, name, length) == 0 && entry[length] == '=';
}

static char *assignment(const char *name, const char *value, const char *more)
{
    char *text = malloc(strlen(name) + strlen(value) + strlen(more) + 2);
    if (text)
        sprintf(text, "%s=%s%s", name, value, more);
    return text;
}

// A change: the first entry of that name is replaced, those that follow are dropped, and where there is none it is
// added. Without a value all are dropped.
struct change {
    const char *name;
    char *entry;
    int done;
};

static char **change_environment(struct change *changes, int count)
{
    size_t n = 0;
    while (environ[n])
        n++;
    char **list = malloc((n + (size_t)count + 1) * sizeof *list), **end = list;
    if (!list)
        return NULL;
    for (char **e = environ; *e; e++) {
        struct change *c = NULL;
        for (int i = 0; i < count; i++)
            if (is_entry(*e, changes[i].name))
                c = changes + i;
        if (!c)
            *end++ = *e;
        else if (c->entry && !c->done)
            *end++ = c->entry;
        if (c)
            c->done = 1;
    }
    for (int i = 0; i < count; i++)
        if (changes[i].entry && !changes[i].done)
            *end++ = changes[i].entry;
    *end = NULL;
    return list;
}

// Whether an element of the search path begins with /bin.
static int has_bin(const char *path)
{
    return strncmp(path, "/bin", 4) == 0 || strstr(path, ":/bin");
}

static char **environment(const char *path)
{
    char directory[4096];
    struct stat st;
    if (!getcwd(directory, sizeof directory))
        return NULL;
    const char *home = early_join.facts.home;
    if (!*home)
        home = stat("/root", &st) == 0 && S_ISDIR(st.st_mode) ? "/root" : "/";
    char *variables = early_join.facts.variables;
    size_t most = 5;
    for (char *v = variables; *v; v += strlen(v) + 1)
        most++;
    struct change *changes = calloc(most, sizeof *changes), *end = changes;
    if (!changes)
        return NULL;
    *end++ = (struct change){"PWD", assignment("PWD", directory, ""), 0};
    *end++ = (struct change){"HOME", assignment("HOME", home, ""), 0};
    *end++ = (struct change){"TMPDIR", NULL, 0};
    if (!has_bin(path))
        *end++ = (struct change){"PATH", assignment("PATH", path, ":/bin"), 0};
    for (char *v = variables; *v; v += strlen(v) + 1)
        *end++ = (struct change){v, v, 0};
    *end++ = (struct change){"CH_RUNNING", assignment("CH_RUNNING", "Weird Al Yankovic", ""), 0};
    for (struct change *c = changes; c < end; c++)
        if (!c->entry && strcmp(c->name, "TMPDIR") != 0)
            return NULL;
    return change_environment(changes, (int)(end - changes));
}

// Where the command is looked for: in each directory of PATH, with /bin at the end if it is not in it.
static char **candidates(const char *path, const char *command)
{
    size_t count = 2, length = strlen(command) + 3; // "./" and NUL
    for (const char *c = path; *c; c++)
        count += *c == ':';
    char **list = calloc(count + 1, sizeof *list);
    if (!list)
        return NULL;
    if (strchr(command, '/') || !*command) {
        list[0] = (char *)command;
        return list;
    }
    size_t n = 0;
    for (const char *rest = path; rest; n++) {
        size_t directory = strcspn(rest, ":");
        list[n] = malloc(directory + length);
        if (!list[n])
            return NULL;
        sprintf(list[n], "%.*s/%s", directory ? (int)directory : 1, directory ? rest : ".", command);
        rest = rest[directory] ? rest + directory + 1 : NULL;
    }
    if (!has_bin(path) && (list[n] = malloc(strlen("/bin/") + length)))
        sprintf(list[n], "/bin/%s", command);
    return list;
}

// Becomes the command, if this process is a loser for whom the short way is enough. Returns if it is not, and where
// anything fails.
void early_take_short_way(char **argv, const struct early_scan *scan)
{
    const char *path = getenv("PATH");
    if (early_join.role != EARLY_LOSER || scan->involved || early_join.facts.more || early_join.facts.reference != early_join.reference || !path
        || !log_start(argv) || setns(early_join.mount_namespace, CLONE_NEWNS) != 0)
        return;
    early_join_settle();
    early_show_variables();
    if (!scan->directory || chdir(scan->directory) == 0) {
        char **environment_of_command = environment(path), **files = candidates(path, argv[scan->command]);
        enum early_exec_step failed;
        if (environment_of_command && files)
            early_exec(files, argv + scan->command, environment_of_command, EARLY_NO_NEW_PRIVS, NULL, &failed);
    }
    early_hide_variables();
}
