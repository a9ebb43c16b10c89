/* The table of walks: which one a page goes on with, and when walks are closed. And what pages and walks may take. */
#include <criterion/criterion.h>
#include <errno.h>

#include "history/peers_walks.h"
#include "store_fixture.h"

#define NAME_BYTES 16u

struct table {
    struct fixture fixture;
    struct peers_walks walks;
};

static struct span name_of(uint32_t user, char name[NAME_BYTES])
{
    return (struct span){name, (size_t)snprintf(name, NAME_BYTES, "u%u", user)};
}

static void table_open(struct table *table)
{
    *table = (struct table){.fixture = fixture_open()};
}

static void table_close(struct table *table)
{
    peers_walks_fini(&table->walks);
    cr_assert(table->walks.count == 0 && table->walks.bytes == 0);
    fixture_close(&table->fixture);
}

/* A walk of `user` that has come across `peers` conversations, and goes on before `next`. */
static void keep(struct table *table, uint32_t user, uint32_t peers_count, uint64_t next, uint64_t now_us)
{
    struct store_peers_query query = {0, UINT64_MAX, UINT64_MAX, 1};
    struct peers_moment moment = {.bound = next};
    struct store_peers *peers;
    char name[NAME_BYTES];
    cr_assert_eq(store_peers_open(&peers, table->fixture.store, name_of(user, name), &query), 0);
    for (uint32_t i = 0; i < peers_count; i++)
        cr_assert_eq(store_peers_add(peers, name_of(i, name), i + 1), 0);
    while (store_peers_step(peers, table->fixture.reader) == 1)
        ;
    peers_walks_keep(&table->walks, &peers, &moment, next, now_us);
    cr_assert_null(peers);
}

static bool take(struct table *table, uint32_t user, uint64_t before)
{
    struct peers_walk walk;
    char name[NAME_BYTES];
    if (!peers_walks_take(&table->walks, name_of(user, name), before, &walk))
        return false;
    cr_assert(walk.next == before && walk.moment.bound == before);
    store_peers_close(&walk.peers);
    return true;
}

Test(peers_walks, a_page_goes_on_with_the_walk_of_its_user_and_place_once)
{
    struct table table;
    table_open(&table);
    keep(&table, 1, 5, 100, 0);
    keep(&table, 2, 5, 100, 0);
    keep(&table, 1, 5, 90, 0);
    cr_assert(!take(&table, 1, 95) && !take(&table, 3, 100));
    cr_assert(take(&table, 1, 100) && !take(&table, 1, 100));
    cr_assert(take(&table, 2, 100));
    cr_assert(take(&table, 1, 90));
    cr_assert_eq(table.walks.bytes, 0);
    table_close(&table);
}

Test(peers_walks, there_are_so_many_and_the_oldest_is_closed)
{
    struct table table;
    table_open(&table);
    for (uint32_t i = 0; i < PEERS_WALKS_MAX + 2; i++)
        keep(&table, i, 1, 100, i);
    cr_assert_eq(table.walks.count, PEERS_WALKS_MAX);
    cr_assert(!take(&table, 1, 100) && take(&table, 2, 100) && take(&table, PEERS_WALKS_MAX + 1, 100));
    table_close(&table);
}

Test(peers_walks, their_memory_is_bounded_and_a_walk_that_is_larger_is_not_kept)
{
    struct table table;
    table_open(&table);
    for (uint32_t i = 0; i < 8; i++) {
        keep(&table, i, 20000, 100, 0);
        cr_assert_leq(table.walks.bytes, PEERS_WALKS_BYTES_MAX);
    }
    cr_assert(table.walks.count > 1 && table.walks.count < 8);
    uint32_t count = table.walks.count;
    keep(&table, 8, 200000, 100, 0);
    cr_assert(table.walks.count == count && !take(&table, 8, 100) && take(&table, 7, 100));
    table_close(&table);
}

Test(peers_walks, a_walk_that_nobody_goes_on_with_is_closed)
{
    struct table table;
    table_open(&table);
    keep(&table, 1, 1, 100, 1000);
    keep(&table, 2, 1, 100, 2000);
    peers_walks_expire(&table.walks, 1000 + PEERS_WALKS_US - 1);
    cr_assert_eq(table.walks.count, 2);
    peers_walks_expire(&table.walks, 1000 + PEERS_WALKS_US);
    cr_assert(table.walks.count == 1 && !take(&table, 1, 100) && take(&table, 2, 100));
    table_close(&table);
}

/* A page with `count` conversations of memory. Returns what its first step does. */
static int step_large(struct table *table, uint32_t count, struct store_peers **peers_r)
{
    struct store_peers_query query = {0, UINT64_MAX, UINT64_MAX, 50};
    cr_assert_eq(store_peers_open(peers_r, table->fixture.store, SPAN_LITERAL("alice"), &query), 0);
    for (uint32_t i = 0; i < count; i++) {
        char name[NAME_BYTES];
        struct span peer = {name, (size_t)snprintf(name, sizeof name, "m%u", i)};
        cr_assert_eq(store_peers_add(*peers_r, peer, i + 1), 0);
    }
    return store_peers_step(*peers_r, table->fixture.reader);
}

Test(peers_walks, pages_that_take_too_much_memory_together_end_and_one_alone_or_a_small_one_goes_on)
{
    struct table table;
    struct store_peers *large[40] = {NULL}, *one, *small;
    uint32_t count = 0;
    int status = 0;
    table_open(&table);
    cr_assert_eq(step_large(&table, 400000, &one), 0, "it is alone");
    cr_assert_gt(store_peers_bytes(one), STORE_PEERS_BYTES_MAX);
    cr_assert_eq(step_large(&table, 100, &small), 0, "it is small");
    cr_assert_eq(step_large(&table, 20000, &large[0]), -ENOMEM);
    store_peers_close(&large[0]);
    store_peers_close(&small);
    store_peers_close(&one);
    while (count < 40 && (status = step_large(&table, 20000, &large[count++])) == 0)
        ;
    cr_assert(status == -ENOMEM && count > 2, "%u", count);
    for (uint32_t i = 0; i < count; i++)
        store_peers_close(&large[i]);
    cr_assert_eq(step_large(&table, 20000, &one), 0, "what was closed counts no more");
    cr_assert_eq(step_large(&table, 20000, &small), 0);
    store_peers_rest(one);
    cr_assert_eq(store_peers_resume(one, 1000, 50), 1);
    store_peers_close(&one);
    store_peers_close(&small);
    table_close(&table);
}
