// What happens before the Go runtime starts, and the one step after it: see early.go.
#ifndef CH_RUN_EARLY_H
#define CH_RUN_EARLY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum early_step {
    EARLY_NOT_ASKED, // the constructor left the namespaces alone
    EARLY_OUTER,     // unshare(2) of the outer user namespace
    EARLY_SETGROUPS, // denying setgroups(2) in it
    EARLY_UID_MAP,   // mapping its user ID
    EARLY_GID_MAP,   // mapping its group ID
    EARLY_INNER,     // unshare(2) of the inner user and mount namespaces
    EARLY_DONE,      // all of the above happened
};

// How the server begins what it has to say to the launch if it cannot start; package fuse knows the word, too.
#define EARLY_NO_SERVER "server: "

// The process as its caller made it. Written once, by the constructor.
struct early_state {
    enum early_step step; // where it stopped
    int error;            // errno of that step, 0 if done or not asked
    int relaunched;       // argv[0] is a mark, argv[1] the caller's argv[0]
    int privileged;       // started setuid, setgid, or with file capabilities
    uid_t ruid, euid, suid;
    gid_t rgid, egid, sgid;
    pid_t parent;
    int server;        // this is the process of the FUSE server
    int server_socket; // in the launch, to the server, and the other way round; -1 if there is none
    int server_error;  // errno if it could not be made, or 0
    pid_t server_parent; // in the launch, the process that forked the server, until it has been reaped
    int image;           // in the server, what is presumably the image, or -1
    int load;            // in the server, /proc/loadavg, or -1
};
extern struct early_state early_state;

// scan.c: what the arguments say. Those of options are NULL where the option is not given.
struct early_scan {
    const char *image, *directory;
    int command;  // its index among the arguments, which may be that of the end
    int involved; // there are options that only Go understands
    int join;     // there is an option that makes this a peer
    const char *size, *tag, *timeout, *pid;
};
int early_scan(int argc, char **argv, struct early_scan *scan);

// Peers that share a container: a group, or the one process that is in the container already.
enum { EARLY_TAG_MAX = 240, EARLY_PATIENCE = 30 }; // bytes, of which a file name has 255; seconds
struct early_group {
    unsigned size, timeout; // timeout in seconds
    pid_t pid;              // 0: a group
    char tag[EARLY_TAG_MAX + 1];
};
int early_find_group(const struct early_scan *scan, struct early_group *group);

// join.c: the rendezvous of peers.
enum early_role {
    EARLY_ALONE,  // no peer, or one that failed
    EARLY_WINNER, // makes the container
    EARLY_LOSER,  // is in the user namespace of the winner's container
    EARLY_GUEST,  // is in the user namespace of the container that the process given is in
};

enum early_trouble {
    EARLY_JOIN_OPEN = 1, // an object cannot be opened, or made: error, path
    EARLY_JOIN_OWNER,    // it is another user's: path, number is the user ID
    EARLY_JOIN_KIND,     // it is no regular file of mode 0600: path
    EARLY_JOIN_FORMAT,   // it was made by another program, or another version of this one: path
    EARLY_JOIN_SIZE,     // peers disagree on their number: number is the group's
    EARLY_JOIN_ORIGIN,   // the group is of another user or PID namespace
    EARLY_JOIN_FULL,     // all peers have come already: number is how many
    EARLY_JOIN_STUCK,    // a peer keeps the others from coming: number is its PID
    EARLY_JOIN_TIMEOUT,  // the winner is not ready: number of peers that came, winner
    EARLY_JOIN_FAILED,   // the winner failed: text, winner
    EARLY_JOIN_NO_PID,   // there is no such process: path
    EARLY_JOIN_PID,      // its namespaces cannot be opened: error, path
    EARLY_JOIN_OUTSIDE,  // it is in no other container than this process
    EARLY_JOIN_CONTAINER, // the container of the group, which is there, cannot be opened: error
    EARLY_JOIN_ENTER,     // setns(2) of the user namespace: error
};

// What losers have to know of the container, from the winner.
struct early_facts {
    int32_t winner; // its PID
    uint64_t reference; // equal if another peer has the same options: see early_reference
    uint64_t image_device, image_inode;
    char image[4096]; // path
    char home[512];   // what $HOME has to be, or ""
    int32_t more; // there is more to know, of which Go finds out
    char variables[4096]; // those of devices, NAME=VALUE, each with a NUL; an empty one ends them
};

struct early_join {
    int asked; // the constructor was to join
    struct early_group group;
    enum early_role role;
    enum early_trouble trouble; // 0: none
    int error;                  // errno
    unsigned number;
    char path[512];
    char text[1024];
    uint64_t reference;  // of this process
    int mount_namespace; // of the container, for losers and guests
    int logged;          // syslog knows of this process
    struct early_facts facts;
    unsigned left; // peers that are not in yet
    int cleaned;   // this process removed the shared memory and the semaphore
};
extern struct early_join early_join;

// A namespace file handle (name_to_handle_at(2)); bytes is 0 where the kernel has none.
struct early_handle {
    uint32_t bytes;
    int32_t type;
    uint8_t data[64];
};

void early_join_begin(void);
void early_join_publish(const struct early_facts *facts, const struct early_handle *user, const struct early_handle *mount);
void early_join_fail(const char *text);
void early_join_settle(void);

// loser.c: the short way into the container.
uint64_t early_reference(char **argv, int count);
void early_take_short_way(char **argv, const struct early_scan *scan);

#define EARLY_SERVER_NAME "ch-run-squashfs" // of the process, see proc_pid_comm(5)

// What the program executes itself as, as argv[0], when it has found out what the scan did not. Behind the
// last come ":SIZE:TIMEOUT:PID:TAG".
enum { EARLY_MARK_LAUNCH, EARLY_MARK_SERVE, EARLY_MARK_JOIN, EARLY_MARK_JOIN_SERVE };
extern const char *const early_marks[];

// threads.c: threads for the Go runtime.
extern volatile int early_in_use; // the image is: want of room for a thread is no reason to end
int early_spare_threads(int count);

// memory.c: memory for it.
void early_touch_variables(void);

void early_mind_time(void);
void early_hide_variables(void);
void early_show_variables(void);
void early_reap(void);
void early_serving(const char *title);

#define EARLY_NO_NEW_PRIVS 1
#define EARLY_KEEP_STDOUT 2
#define EARLY_KEEP_STDERR 4

// What the kernel knows as struct sock_fprog (seccomp(2)): musl-gcc does not find its headers.
struct early_filter {
    unsigned short length;
    const void *instructions;
};
enum early_exec_step {
    EARLY_EXEC_COMMAND,   // also setting no_new_privs
    EARLY_EXEC_FILTER,    // installing the filter
    EARLY_EXEC_SELF_TEST, // a call that it fakes
};
int early_exec(char **candidates, char **argv, char **envp, int flags, const struct early_filter *filter, enum early_exec_step *failed);

#endif
