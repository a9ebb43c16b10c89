#include "load/slice.h"

/* Not with pthread.h: the kernel's struct sched_param is glibc's too. glibc has no wrapper before 2.41. */
#include <linux/sched/types.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLICE_US UINT64_C(10000)

void load_slice_ask(void)
{
    struct sched_attr attributes = {.size = sizeof attributes, .sched_runtime = SLICE_US * 1000};
    (void)syscall(SYS_sched_setattr, 0, &attributes, 0);
}
