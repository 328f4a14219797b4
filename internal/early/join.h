// What the parts of the rendezvous share: join.c tells its course.
#ifndef CH_RUN_JOIN_H
#define CH_RUN_JOIN_H

#include "early.h"
#include "fault.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <sys/types.h>
#include <time.h>

#define OBJECTS "/dev/shm"
#define SHM_PREFIX "ch-run_shm-"
#define SEM_PREFIX "sem.ch-run_sem-" // as the C library names it

enum { BUILD, EDIT, SLOTS }; // bytes of the shared memory object that are locked
enum state { FORMING, READY, FAILED };

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
    _Atomic uint32_t unlinked; // the objects have been
    _Atomic uint32_t complete; // a futex: all have come, and are in or dead
    _Atomic uint32_t state;
    _Atomic uint32_t edition; // of the rest, which is valid when READY
    _Atomic int32_t winner;   // its PID, also while it is FORMING
    struct early_handle user, mount;  // the namespaces of the container
    uint64_t user_origin, pid_origin; // inodes of the namespaces that the group was formed in
    uint64_t user_inode, mount_inode; // and of those of the container
    _Atomic uint32_t member_count;
    struct member members[1024];
    struct early_facts facts;
    char failure[sizeof early_join.text];
};

// This process as a peer.
struct peer {
    int directory, object; // descriptors
    struct record *record;
    sem_t *semaphore;
    char object_name[256], semaphore_name[256];
    unsigned slot;
    int here; // the slot is still taken
    long patience; // for how many microseconds it may still wait
};
extern struct peer join_peer;

// objects.c
int join_fail(enum early_trouble trouble, int error, const char *path);
int join_fail_object(enum early_trouble trouble, int error, const char *name);
void join_set_patience(long milliseconds);
int join_try_lock(off_t byte);
void join_unlock(off_t byte);
int join_others_lock(off_t byte, off_t length, off_t *which);
int join_begin_edit(void);
void join_end_edit(void);
int join_open_record(void);
int join_open_semaphore(int make);
void join_unlink_objects(void);
void join_close_object(void);

// container.c
struct namespaces {
    int user, mount; // open
};
int join_open_container(const struct record *r, struct namespaces *found);
void join_close_namespaces(struct namespaces n);
int join_is_container(int process, struct namespaces n);
int join_open_process(pid_t pid);
uint64_t join_start_time(int process);

#endif
