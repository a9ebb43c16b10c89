/*
 * forbid.c: runs a program under a seccomp filter that lets some system calls fail, as the profile of a container does:
 *
 *     chitchat-forbid ERRNO FIRST LAST PROGRAM [ARGUMENTS]
 *
 * The calls with numbers FIRST to LAST fail with ERRNO. Exits with 125 where the system does not allow a filter.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#define EXIT_NO_FILTER 125

int main(int argc, char **argv)
{
    if (argc < 5) {
        (void)fprintf(stderr, "usage: chitchat-forbid ERRNO FIRST LAST PROGRAM [ARGUMENTS]\n");
        return 2;
    }
    unsigned code = (unsigned)atoi(argv[1]), first = (unsigned)atoi(argv[2]), last = (unsigned)atoi(argv[3]);
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, first, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, last, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (code & SECCOMP_RET_DATA)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        perror("chitchat-forbid");
        return EXIT_NO_FILTER;
    }
    execv(argv[4], argv + 4);
    perror(argv[4]);
    return 2;
}
