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

// The process as its caller made it. Written once, by the constructor.
struct early_state {
    enum early_step step; // where it stopped
    int error;            // errno of that step, 0 if done or not asked
    int relaunched;       // argv[0] is a mark, argv[1] the caller's argv[0]
    int privileged;       // started setuid, setgid, or with file capabilities
    uid_t ruid, euid, suid;
    gid_t rgid, egid, sgid;
    int server;        // this is the process of the FUSE server
    int server_socket; // in the launch, to the server, and the other way round; -1 if there is none
    int server_error;  // errno if it could not be made, or 0
    pid_t server_parent; // in the launch, the process that forked the server, until it has been reaped
    int image;           // in the server, what is presumably the image, or -1
};
extern struct early_state early_state;

// What the program executes itself as, as argv[0], when it has found out what the scan did not.
enum { EARLY_MARK_LAUNCH, EARLY_MARK_SERVE };
extern const char *const early_marks[];

void early_show_variables(void);
int early_scan(int argc, char **argv, const char **image);
void early_reap(void);
void early_serving(const char *title);

#define EARLY_NO_NEW_PRIVS 1
#define EARLY_KEEP_STDOUT 2
#define EARLY_KEEP_STDERR 4
int early_exec(char **candidates, char **argv, char **envp, int flags);

#endif
