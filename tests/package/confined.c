/*
 * confined FILE PROGRAM ARGUMENTS: becomes PROGRAM under the system calls that FILE lists, one name a line: others fail
 * with EPERM. Memory that is writable and executable is refused, as by MemoryDenyWriteExecute= of systemd.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int allow_those_of(scmp_filter_ctx context, FILE *file)
{
    char name[64];
    while (fgets(name, sizeof name, file) != NULL) {
        name[strcspn(name, "\n")] = '\0';
        int number = seccomp_syscall_resolve_name(name);
        /* These have rules below, and names that this machine does not have are of others. */
        if (number < 0 || strcmp(name, "mmap") == 0 || strcmp(name, "mprotect") == 0)
            continue;
        if (seccomp_rule_add(context, SCMP_ACT_ALLOW, number, 0) != 0)
            return -1;
    }
    return 0;
}

/* Allows what does not make memory executable, or, for mmap, not writable too: the loader maps libraries. */
static int allow_memory(scmp_filter_ctx context)
{
    if (seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0))
        != 0)
        return -1;
    if (seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) != 0)
        return -1;
    return seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                            SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE, PROT_EXEC));
}

int main(int argc, char **argv)
{
    FILE *file = argc > 2 ? fopen(argv[1], "re") : NULL;
    scmp_filter_ctx context = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (file == NULL || context == NULL) {
        fprintf(stderr, "confined FILE PROGRAM ARGUMENTS: cannot read FILE\n");
        return 125;
    }
    if (allow_those_of(context, file) != 0 || allow_memory(context) != 0 || seccomp_load(context) != 0) {
        fprintf(stderr, "confined: the filter cannot be made\n");
        return 125;
    }
    execv(argv[2], argv + 2);
    fprintf(stderr, "confined: %s: %s\n", argv[2], strerror(errno));
    return 125;
}
