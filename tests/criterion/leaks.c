/* With LeakSanitizer: a test runs in a process of its own, which is checked for leaks as usual. The runner is not:
 * criterion leaves memory behind when a busy machine delays the end of its tests. */
#include <stdlib.h>

int __lsan_is_turned_off(void);

int __lsan_is_turned_off(void)
{
    return getenv("BXFI_MAP") == NULL; /* what criterion's runner gives to the process of a test */
}
