/* faulty.c: linked into chitchat-faulty only. FAULT_NUMBER in the environment selects the fault of base/fault.h that is
 * active, which the crash test must find. */
#include <stdlib.h>

#include "base/fault.h"

enum fault fault_active;

__attribute__((constructor)) static void take_fault(void)
{
    const char *number = getenv("FAULT_NUMBER");
    if (number != NULL)
        fault_active = (enum fault)atoi(number);
}
