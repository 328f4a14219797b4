// Reads pairs of pattern and name, each ended by a NUL byte; answers each pair with "1" if the C library
// says that they match and "0" if not.
#define _GNU_SOURCE
#include <fnmatch.h>
#include <stdio.h>

int main(void)
{
    char *pattern = NULL, *name = NULL;
    size_t pattern_size = 0, name_size = 0;
    while (getdelim(&pattern, &pattern_size, 0, stdin) > 0 && getdelim(&name, &name_size, 0, stdin) > 0)
        putchar(fnmatch(pattern, name, FNM_EXTMATCH) == 0 ? '1' : '0');
    return 0;
}
