/* run_hints.h: a hint is that of its run and user, and a table that is full forgets the oldest ones. */
#include "storage/runs/run_hints.h"

#include <criterion/criterion.h>

static struct run_hint hint_of(uint64_t run_id, uint64_t user_hash)
{
    return (struct run_hint){run_id, user_hash, run_id * 1000 + user_hash, 3, RUN_HINT_NONE};
}

Test(run_hints, a_hint_is_found_by_its_run_and_user_alone)
{
    struct run_hints hints = {NULL};
    struct run_hint found, hint = hint_of(7, 9);
    cr_assert_not(run_hints_get(&hints, 7, 9, &found), "nothing was put");
    run_hints_put(&hints, &hint);
    cr_assert(run_hints_get(&hints, 7, 9, &found) && found.last == hint.last && found.marks == RUN_HINT_NONE);
    cr_assert_not(run_hints_get(&hints, 8, 9, &found));
    cr_assert_not(run_hints_get(&hints, 7, 8, &found));
    hint.first = 55;
    run_hints_put(&hints, &hint);
    cr_assert(run_hints_get(&hints, 7, 9, &found) && found.first == 55, "the newer one of the same");
    run_hints_fini(&hints);
}

Test(run_hints, many_hints_keep_to_the_table_and_none_is_another_one_s)
{
    struct run_hints hints = {NULL};
    struct run_hint found;
    uint32_t left = 0;
    for (uint64_t user = 1; user <= 2000; user++)
        for (uint64_t run = 1; run <= 8; run++) {
            struct run_hint hint = hint_of(run, user * UINT64_C(0x9e3779b97f4a7c15));
            run_hints_put(&hints, &hint);
            cr_assert(run_hints_get(&hints, run, hint.user_hash, &found) && found.last == hint.last);
        }
    for (uint64_t user = 1; user <= 2000; user++)
        for (uint64_t run = 1; run <= 8; run++) {
            uint64_t hash = user * UINT64_C(0x9e3779b97f4a7c15);
            if (!run_hints_get(&hints, run, hash, &found))
                continue;
            cr_assert_eq(found.last, hint_of(run, hash).last);
            left++;
        }
    cr_assert(left > 1000 && left < 16000, "%u are left", left);
    run_hints_fini(&hints);
}
