/* faulty.c: linked into a server that has a fault built in (base/fault.h), by its number in FAULT_NUMBER: what the
 * crash test must find. No other program has this. */
#include <stdlib.h>

#include "base/fault.h"

enum fault fault_active;

__attribute__((constructor)) static void take_fault(void)
{
    const char *number = getenv("FAULT_NUMBER");
    if (number != NULL)
        fault_active = (enum fault)atoi(number);
}
