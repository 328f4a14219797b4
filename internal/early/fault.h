// Places in the rendezvous at which tests have a process die, or stop. Only in a program built with the tag
// "faults": see fault.go.
#ifndef CH_RUN_FAULT_H
#define CH_RUN_FAULT_H

#ifdef CH_RUN_FAULTS
void early_fault(const char *name);
#define FAULT(name) early_fault(name)
#else
#define FAULT(name) ((void)0)
#endif

#endif
