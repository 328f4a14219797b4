// See fault.h.
#ifdef CH_RUN_FAULTS
#include "fault.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// CH_RUN_FAULT is NAME=SIGNAL[,...]: where the place of that name is passed, the process sends itself the signal.
void early_fault(const char *name)
{
    size_t length = strlen(name);
    for (const char *wanted = getenv("CH_RUN_FAULT"); wanted; wanted = strchr(wanted, ',')) {
        wanted += *wanted == ',';
        if (strncmp(wanted, name, length) == 0 && wanted[length] == '=')
            kill(getpid(), atoi(wanted + length + 1));
    }
}
#endif
