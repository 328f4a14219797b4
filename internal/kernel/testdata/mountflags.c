// Prints the flags of mounts: name, and values for statvfs(3), mount(2) and fsmount(2).
#define _GNU_SOURCE
#include <linux/mount.h>
#include <stdio.h>
#include <sys/statvfs.h>

#define PRINT(name) printf("%s %ld %ld %ld\n", #name, (long)ST_##name, (long)MS_##name, (long)MOUNT_ATTR_##name)

int main(void)
{
    PRINT(RDONLY);
    PRINT(NOSUID);
    PRINT(NODEV);
    PRINT(NOEXEC);
    PRINT(NOATIME);
    PRINT(NODIRATIME);
    PRINT(RELATIME);
    return 0;
}
