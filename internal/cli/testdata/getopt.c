// Parses command lines with getopt_long(3): options, IMAGE, options, command.
//
// Arguments: the options, each LONG:SHORT:HAS_ARG, where SHORT may be empty and HAS_ARG is 0, 1 or 2 as
// in struct option. Standard input: command lines, their words separated by single spaces. The answer
// to each is a line of words in the order of the command line: "+LONG" or "+LONG=ARGUMENT" for an option,
// "i=IMAGE", "c=WORD" for a word of the command; "?", after which nothing follows, for an error.
#define _GNU_SOURCE
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONG = 256 }; // values below are those of short options

static struct option options[LONG];
static int of_short[256];
static char shorts[1024] = "+:"; // stop at the first operand; tell a missing argument by ':'

// Says what the options in front of the first operand are. Returns the index of what follows them, 0
// after an error; TERMINATED says whether that is behind a "--".
static int parse(int argc, char **argv, int *terminated)
{
    opterr = 0;
    optind = 0;
    for (;;) {
        int at = optind > 0 ? optind : 1;
        optopt = 0;
        int c = getopt_long(argc, argv, shorts, options, NULL);
        if (c == -1) {
            *terminated = at < argc && strcmp(argv[at], "--") == 0;
            return optind;
        }
        if (c == '?' && optopt == '?') // -? is an option
            c = '?';
        else if (c == '?' || c == ':') {
            printf("? ");
            return 0;
        }
        const struct option *o = &options[c >= LONG ? c - LONG : of_short[c]];
        printf(optarg ? "+%s=%s " : "+%s ", o->name, optarg);
    }
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *name = strsep(&argv[i], ":"), *letter = strsep(&argv[i], ":");
        int has_arg = atoi(argv[i]);
        options[i - 1] = (struct option){name, has_arg, NULL, LONG + i - 1};
        if (!*letter)
            continue;
        of_short[(unsigned char)*letter] = i - 1;
        if (*letter != '?')
            strncat(strncat(shorts, letter, 1), "::", has_arg);
    }

    char *line = NULL;
    for (size_t size = 0; getline(&line, &size, stdin) > 0;) {
        char *words[64] = {"ch-run"}, *rest = line;
        int n = 1, terminated;
        line[strcspn(line, "\n")] = 0;
        while (*line && (words[n] = strsep(&rest, " ")))
            n++;
        int i = parse(n, words, &terminated);
        if (i > 0 && i < n) {
            printf("i=%s ", words[i]);
            int next = terminated ? 1 : parse(n - i, words + i, &terminated);
            for (i = next ? i + next : n; i < n; i++)
                printf("c=%s ", words[i]);
        }
        putchar('\n');
    }
    return 0;
}
