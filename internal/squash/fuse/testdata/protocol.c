// Prints what the kernel's header says of the protocol; see protocol_test.go.
#include <linux/fuse.h>
#include <stddef.h>
#include <stdio.h>

#define N(name) printf("%s %lu\n", #name, (unsigned long)(name))
#define S(name) printf("%s %zu\n", #name, sizeof(struct name))

int main(void)
{
    N(FUSE_ROOT_ID);
    N(FUSE_LOOKUP);
    N(FUSE_FORGET);
    N(FUSE_GETATTR);
    N(FUSE_READLINK);
    N(FUSE_OPEN);
    N(FUSE_READ);
    N(FUSE_STATFS);
    N(FUSE_RELEASE);
    N(FUSE_GETXATTR);
    N(FUSE_LISTXATTR);
    N(FUSE_INIT);
    N(FUSE_READDIR);
    N(FUSE_INTERRUPT);
    N(FUSE_DESTROY);
    N(FUSE_BATCH_FORGET);
    N(FUSE_READDIRPLUS);
    N(FUSE_ASYNC_READ);
    N(FUSE_DO_READDIRPLUS);
    N(FUSE_ASYNC_DIO);
    N(FUSE_NO_OPEN_SUPPORT);
    N(FUSE_PARALLEL_DIROPS);
    N(FUSE_MAX_PAGES);
    N(FUSE_CACHE_SYMLINKS);
    N(FUSE_NO_OPENDIR_SUPPORT);
    N(FUSE_NOTIFY_STORE);
    N(FOPEN_KEEP_CACHE);
    N(FUSE_MIN_READ_BUFFER);
    S(fuse_in_header);
    S(fuse_out_header);
    S(fuse_init_out);
    S(fuse_attr);
    S(fuse_attr_out);
    S(fuse_entry_out);
    S(fuse_read_in);
    S(fuse_statfs_out);
    S(fuse_getxattr_in);
    S(fuse_getxattr_out);
    S(fuse_open_out);
    S(fuse_notify_store_out);
    printf("fuse_dirent %zu\n", offsetof(struct fuse_dirent, name));
    return 0;
}
