// What the constructor makes of the arguments: whether they are, beyond doubt, those of a launch, and with
// which peers it shares its container. Whatever is not plain is left to the Go code, which then starts
// this executable anew: an abbreviation, a misspelling, --help. Tests compare what is here with the
// parser in internal/cli, and with the settings that internal/join works out.

#include "early.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const long_plain[] = {"device-strict", "env-no-expand", "home", "no-passwd", "private-tmp", "quiet",
    "seccomp", "unsafe", "verbose", "write", NULL};
static const char *const long_optional[] = {"set-env", "set-env0", "write-fake", NULL};
static const char *const long_argument[] = {"bind", "cd", "cdi-dirs", "device", "gid", "mount", "storage", "uid", "unset-env", NULL};
static const char short_plain[] = "qtvwj", short_argument[] = "bcdgmsu", short_optional[] = "W";
// Those of them that a peer cannot follow without Go; others are about the container, and so not for losers.
static const char *const long_involved[] = {"quiet", "seccomp", "set-env", "set-env0", "unset-env", "verbose", NULL};
static const char short_involved[] = "qv";

static int listed(const char *const *list, const char *name, size_t length)
{
    for (; *list; list++)
        if (strlen(*list) == length && memcmp(*list, name, length) == 0)
            return 1;
    return 0;
}

// Whether the option NAME is about joining. Takes note of it, and of its argument: what follows EQUALS, or
// else NEXT.
static int join_option(struct early_scan *scan, const char *name, size_t length, const char *equals, const char *next, int *words)
{
    const struct {
        const char *name, **argument;
    } options[] = {{"join-ct", &scan->size}, {"join-tag", &scan->tag}, {"join-timeout", &scan->timeout}, {"join-pid", &scan->pid}};

    if (length == 4 && memcmp(name, "join", 4) == 0 && !equals) {
        scan->join = *words = 1;
        return 1;
    }
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        if (strlen(options[i].name) != length || memcmp(options[i].name, name, length) != 0)
            continue;
        *options[i].argument = equals ? equals + 1 : next;
        *words = equals ? 1 : 2;
        scan->join |= i < 2; // a timeout or a PID does not make a peer
        return *options[i].argument != NULL;
    }
    return 0;
}

// How many arguments the option WORD takes up, itself included; 0 if it is not one of those above.
static int option_words(struct early_scan *scan, const char *word, const char *next)
{
    if (word[1] == '-') {
        const char *name = word + 2, *equals = strchr(name, '=');
        size_t length = equals ? (size_t)(equals - name) : strlen(name);
        int words;
        if (join_option(scan, name, length, equals, next, &words))
            return words;
        scan->involved |= listed(long_involved, name, length);
        if (length == 2 && memcmp(name, "cd", 2) == 0)
            scan->directory = equals ? equals + 1 : next;
        if (listed(long_argument, name, length))
            return equals ? 1 : 2;
        return listed(long_optional, name, length) || (!equals && listed(long_plain, name, length));
    }
    for (const char *c = word + 1; *c; c++) {
        scan->involved |= strchr(short_involved, *c) != NULL;
        if (*c == 'c')
            scan->directory = c[1] ? c + 1 : next;
        if (strchr(short_argument, *c))
            return c[1] ? 1 : 2;
        if (strchr(short_optional, *c))
            return 1;
        if (!strchr(short_plain, *c))
            return 0;
        scan->join |= *c == 'j';
    }
    return 1;
}

// Whether the arguments are, beyond doubt, those of a launch.
int early_scan(int argc, char **argv, struct early_scan *scan)
{
    memset(scan, 0, sizeof *scan);
    for (int i = 1; i < argc;) {
        const char *word = argv[i];
        if (strcmp(word, "--") == 0) {
            scan->command = scan->image ? i + 1 : i + 2;
            return 1;
        }
        if (word[0] != '-' || word[1] == 0) {
            if (scan->image) {
                scan->command = i;
                return 1;
            }
            scan->image = word;
            i++;
            continue;
        }
        int words = option_words(scan, word, i + 1 < argc ? argv[i + 1] : NULL);
        if (words == 0)
            return 0;
        i += words;
    }
    return 0;
}

// Reads digits, not more than an int holds whatever they are, and returns what follows; NULL if there are
// none, or too many, or if it is zero.
static const char *digits(const char *text, unsigned *number)
{
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n > 9)
        return NULL;
    *number = (unsigned)strtoul(text, NULL, 10);
    return *number > 0 ? text + n : NULL;
}

static int whole_number(const char *text, unsigned *number)
{
    const char *rest = digits(text, number);
    return rest && *rest == 0;
}

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static int group_size(const char *option, unsigned *size)
{
    const char *const names[] = {"OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_STEP_TASKS_PER_NODE", "SLURM_CPUS_ON_NODE"};
    if (option)
        return whole_number(option, size);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value) // as in "4(x2)"; in "4(x2),3" it depends on which node this is
            return !strchr(value, ',') && digits(value, size);
    }
    return 0;
}

static int group_tag(const char *option, char *tag, size_t room)
{
    const char *parts[] = {variable("SLURM_JOB_ID"), variable("SLURM_STEP_ID"), variable("SLURMD_NODENAME")};
    if (option) {
        snprintf(tag, room, "%s", option);
        return *option && strlen(option) < room && !strchr(option, '/');
    }
    if (!parts[1])
        return snprintf(tag, room, "%d", (int)early_state.parent) > 0;
    int n = 0;
    for (int i = 0; i < 3; i++)
        if (parts[i] && n >= 0 && (size_t)n < room)
            n += snprintf(tag + n, room - (size_t)n, "%s%s", n ? "." : "", parts[i]);
    return (size_t)n < room && !strchr(tag, '/');
}

// Works out the peer group of a launch. Returns 0 where that is not plain.
int early_find_group(const struct early_scan *scan, struct early_group *group)
{
    unsigned pid = 0;
    memset(group, 0, sizeof *group);
    group->timeout = EARLY_PATIENCE;
    if (scan->timeout && !whole_number(scan->timeout, &group->timeout))
        return 0;
    if (scan->pid) {
        int good = whole_number(scan->pid, &pid);
        group->pid = (pid_t)pid;
        return good;
    }
    return group_size(scan->size, &group->size) && group_tag(scan->tag, group->tag, sizeof group->tag);
}
