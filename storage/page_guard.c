#include "storage/page_guard.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>

#include "base/assert.h"
#include "base/log.h"

static _Thread_local sigjmp_buf *innermost;

/* Outside a guard the process ends, by the default action. */
static void on_bus_error(int number)
{
    if (innermost != NULL)
        siglongjmp(*innermost, 1);
    log_crash("BUS");
    signal(number, SIG_DFL);
    raise(number);
}

int page_guard_install(void)
{
    /* SA_NODEFER: the handler ends with a jump, after which the signal would stay blocked. */
    struct sigaction action = {.sa_handler = on_bus_error, .sa_flags = SA_NODEFER};
    return sigaction(SIGBUS, &action, NULL) == 0 ? 0 : -errno;
}

int page_guard_run(int (*body)(void *context), void *context)
{
    sigjmp_buf here;
    ASSERT(body != NULL);
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
