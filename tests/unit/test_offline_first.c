/* Where the timelines of a stopped store begin, as dump writes it. */
#include "store_fixture.h"

#include "storage/datadir/datadir.h"
#include "storage/offline/offline_first.h"
#include "storage/runs/cuts.h"

static char root[32];
static struct datadir *datadir;
static struct offline *offline;
static struct offline_first *first;
static struct problems problems;
static char users[2][16]; /* one of each shard */
static char second[16];   /* on the shard of "peer" */
static uint32_t home;     /* the shard of "peer", to whom all messages of the fixture go */

static void setup(void)
{
    struct datadir_error why;
    strcpy(root, "/tmp/chitchat-first-XXXXXX");
    second[0] = '\0';
    cr_assert_not_null(mkdtemp(root));
    cr_assert_eq(datadir_open(&datadir, root, 2, 1, &why), 0, "%s", why.text);
    home = datadir_shard_of(datadir, span_of("peer"));
    for (uint32_t i = 0, named = 0; named != 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "user%u", i);
        uint32_t shard = datadir_shard_of(datadir, span_of(name));
        memcpy(users[shard], name, sizeof name);
        named |= 1u << shard;
    }
    for (uint32_t i = 0; second[0] == '\0' || datadir_shard_of(datadir, span_of(second)) != home; i++)
        snprintf(second, sizeof second, "second%u", i);
}

static void teardown(void)
{
    offline_first_close(&first);
    cr_assert_null(first);
    offline_close(&offline);
    datadir_close(&datadir);
    remove_tree(root);
}

TestSuite(offline_first, .init = setup, .fini = teardown);

static struct fixture fixture_of(uint32_t shard)
{
    static uint64_t generation;
    struct fixture fixture = {.options = {.runs_max = 8, .fan_out = 3}, .generation = generation++};
    snprintf(fixture.dir, sizeof fixture.dir, "%s/shard-%04u/runs", root, shard);
    fixture_start(&fixture);
    return fixture;
}

/* Cuts `user`, without bytes all, of a shard at `cut`, if it is not 0, and then stores entries of the user of the shard
 * from 101 on. They go to "peer", with a ts higher by 1 there. */
static void fill(uint32_t shard, const char *user, uint64_t cut, uint32_t entries)
{
    struct fixture fixture = fixture_of(shard);
    if (cut > 0)
        cr_assert_eq(store_cut(fixture.store, span_of(user), cut), 0);
    add_user(&fixture, users[shard], 101, 1, entries);
    fixture_stop(&fixture);
}

static void look(void)
{
    struct datadir_error why;
    datadir_close(&datadir);
    cr_assert_eq(datadir_open_read(&datadir, root, false, &why), 0, "%s", why.text);
    cr_assert_eq(offline_open(&offline, datadir, &problems), 0);
    cr_assert_eq(offline_first_open(&first, offline, datadir), 0);
}

/* Those up to `user`, as "name-ts name-ts". */
static const char *next(const char *user)
{
    static char text[256];
    struct span name;
    uint64_t ts;
    size_t at = 0;
    text[0] = '\0';
    while (offline_first_next(first, span_of(user), &name, &ts))
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%.*s-%llu", at > 0 ? " " : "", (int)name.bytes,
                               name.data, (unsigned long long)ts);
    return text;
}

static const char *named(const char *user, uint64_t ts)
{
    static char text[64];
    snprintf(text, sizeof text, "%s-%llu", user, (unsigned long long)ts);
    return text;
}

Test(offline_first, a_store_without_cuts_has_none)
{
    fill(0, "", 0, 3);
    fill(1, "", 0, 3);
    look();
    cr_assert_eq(offline_first_of_all(first), 0);
    cr_assert_str_eq(next(users[0]), "");
    cr_assert_str_eq(next(""), "");
}

Test(offline_first, an_erased_user_is_named_once_with_entries_or_without)
{
    fill(home, "peer", 500, 3);
    fill(!home, users[!home], 102, 3);
    look();
    cr_assert_eq(offline_first_of_all(first), 0);
    cr_assert_str_eq(next("alice"), "", "who comes later is not named yet");
    cr_assert_str_eq(next("peer-2"), named("peer", 500));
    cr_assert_str_eq(next(users[!home]), named(users[!home], 102));
    cr_assert_str_eq(next(users[!home]), "");
    cr_assert_str_eq(next(""), "");
}

Test(offline_first, a_cut_of_one_shard_is_that_of_all_if_the_other_never_had_an_entry)
{
    fill(home, "", 102, 3);
    look();
    cr_assert_eq(offline_first_of_all(first), 102);
    cr_assert_str_eq(next(users[home]), "");
    cr_assert_str_eq(next(""), "");
}

Test(offline_first, users_of_a_shard_that_was_cut_later_are_named_by_entries)
{
    fill(!home, "", 104, 5);
    fill(home, "", 102, 5);
    look();
    cr_assert_eq(offline_first_of_all(first), 102);
    cr_assert_str_eq(next(""), "", "peer's shard has the lowest cut, and the others are known by their entries only");
    cr_assert_str_eq(next(users[!home]), named(users[!home], 104));
    cr_assert_str_eq(next(users[!home]), "");
    cr_assert_str_eq(next(users[home]), "");
}

/* The entry at 103 has its other copy at 104, which is cut; that at 104 has it at 105. */
Test(offline_first, a_user_without_entries_is_named_by_those_whose_other_copy_is_cut)
{
    fill(home, "", 104, 2);
    fill(!home, "", 102, 3);
    look();
    cr_assert_eq(offline_first_of_all(first), 102);
    cr_assert_str_eq(next(users[!home]), named("peer", 104));
    cr_assert_str_eq(next(users[!home]), "");
    cr_assert_str_eq(next(""), "");
}

Test(offline_first, a_user_whose_copies_are_all_there_is_not_named)
{
    fill(home, "", 103, 2);
    fill(!home, "", 102, 3);
    look();
    cr_assert_str_eq(next(""), "");
}

/* Two messages have their other copies where the cuts leave room for one user. */
Test(offline_first, with_too_many_cuts_a_user_without_entries_is_left_out)
{
    struct span user;
    uint64_t ts;
    uint32_t count = 0;
    struct fixture fixture = fixture_of(home);
    for (uint32_t i = 1; i < CUTS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "erased%06u", i);
        cr_assert_eq(store_cut(fixture.store, span_of(name), 500), 0);
    }
    cr_assert_eq(store_cut(fixture.store, span_of(""), 110), 0);
    add_user(&fixture, users[home], 200, 1, 1);
    fixture_stop(&fixture);
    fill(!home, "", 102, 1);
    fixture = fixture_of(!home);
    struct rows *rows = rows_open();
    rows_add(rows, users[!home], 103, 0);
    rows_add(rows, users[!home], 104, 0);
    snprintf(rows->rows[1].to, sizeof rows->rows[1].to, "%s", second);
    cr_assert_eq(add(&fixture, rows), 0);
    fixture_stop(&fixture);
    look();
    cr_assert_eq(offline_first_of_all(first), 102);
    for (; count < CUTS_MAX - 1; count++)
        cr_assert(offline_first_next(first, span_of(""), &user, &ts) && ts == 500);
    cr_assert_str_eq(next(""), named("peer", 110));
}

Test(offline_first, a_cut_of_ones_own_counts_only_above_that_of_all)
{
    fill(home, "peer", 50, 1);
    fill(home, "", 60, 1);
    fill(!home, "", 55, 1);
    look();
    cr_assert_eq(offline_first_of_all(first), 55);
    cr_assert_str_eq(next("peer"), named("peer", 60), "the later one of both is in force");
    offline_first_close(&first);
    offline_close(&offline);
    fill(!home, "", 60, 1);
    look();
    cr_assert_eq(offline_first_of_all(first), 60);
    cr_assert_str_eq(next(""), "");
}
