// How the Go runtime gets threads, linked with --wrap (ld(1)). It takes for granted that it gets them: where one cannot be
// created it prints a stack trace and ends, and whoever was about to wake another goroutine does not come to that.

#define _GNU_SOURCE
#include "early.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int __real_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

volatile int early_in_use;

// A thread for the runtime, and what it is to do.
struct task {
    void *(*start)(void *);
    void *argument;
};

// Spare threads wait here until the runtime asks for them: threads that are needed when there may be no room for
// another one.
enum { SPARE_MAX = 64, SPARE_STACK = 16 << 10 }; // the stack in bytes, besides what the runtime counts on
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wanted = PTHREAD_COND_INITIALIZER;
static struct task tasks[SPARE_MAX];
static int task_count, spare_count;

static void *stand_by(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&lock);
    while (task_count == 0)
        pthread_cond_wait(&wanted, &lock);
    struct task task = tasks[--task_count];
    pthread_mutex_unlock(&lock);
    return task.start(task.argument);
}

static int start_spare(struct task task)
{
    pthread_mutex_lock(&lock);
    int started = spare_count > 0;
    if (started) {
        spare_count--;
        tasks[task_count++] = task;
        pthread_cond_signal(&wanted);
    }
    pthread_mutex_unlock(&lock);
    return started;
}

// Creates COUNT spare threads and returns how many of them it could. They are for nobody's signals.
int early_spare_threads(int count)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t thread;
    size_t size;
    int created = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_getstacksize(&attributes, &size);
    pthread_attr_setstacksize(&attributes, size + SPARE_STACK);
    for (; created < count; created++) {
        pthread_mutex_lock(&lock);
        int room = task_count + spare_count < SPARE_MAX;
        pthread_mutex_unlock(&lock);
        if (!room || __real_pthread_create(&thread, &attributes, stand_by, NULL) != 0)
            break;
        pthread_mutex_lock(&lock);
        spare_count++;
        pthread_mutex_unlock(&lock);
    }
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return created;
}

// Where a thread cannot be created, the runtime tries twenty times and then prints a stack trace.
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
    static int failures;
    if (start_spare((struct task){start, argument}))
        return 0;
    int error = __real_pthread_create(thread, attributes, start, argument);
    while (error == EAGAIN && early_in_use) { // nobody shall lose an image because there is no room just now
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        error = __real_pthread_create(thread, attributes, start, argument);
    }
    if (error == 0 || (error == EAGAIN && ++failures < 20))
        return error;
    if (early_state.server) { // the launch says it, with a hint
        dprintf(early_state.server_socket, EARLY_NO_SERVER "can't create thread: %s", strerror(error));
        _exit(0);
    }
    dprintf(2, "ch-run[%d]: error: can't create thread: %s (hint: to start takes 5 threads; raise the limit of processes, "
        "ulimit -u or that of the cgroup) (threads.c:%d)\n", getpid(), strerror(error), __LINE__);
    _exit(31);
}
