#include "storage/page_guard.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>

static _Thread_local sigjmp_buf *innermost;

/* Not in a guard: as if there were no handler. The access is tried again, and ends the process. */
static void on_bus_error(int number)
{
    if (innermost != NULL)
        siglongjmp(*innermost, 1);
    signal(number, SIG_DFL);
}

int page_guard_install(void)
{
    /* SA_NODEFER: the handler is left by a jump, which would leave the signal blocked. */
    struct sigaction action = {.sa_handler = on_bus_error, .sa_flags = SA_NODEFER};
    return sigaction(SIGBUS, &action, NULL) == 0 ? 0 : -errno;
}

int page_guard_run(int (*body)(void *context), void *context)
{
    sigjmp_buf here;
    sigjmp_buf *const outer = innermost;
    if (sigsetjmp(here, 0) != 0) {
        innermost = outer;
        return -EIO;
    }
    innermost = &here;
    int status = body(context);
    innermost = outer;
    return status;
}
