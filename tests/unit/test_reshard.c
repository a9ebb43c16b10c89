/* reshard.h and build.h: floors, levels, keys and room. reshard.test.mjs has the rest. (The program is linked with
 * --wrap=statvfs.) */
#include "store_fixture.h"

#include <sys/statvfs.h>

#include "storage/datadir/datadir.h"
#include "storage/memtable/memtable.h"
#include "storage/offline/backup_private.h"
#include "storage/offline/offline_all.h"
#include "storage/offline/reshard.h"

static char root[32];
static char data[40], to[40];
static char users[2][16]; /* one of each shard */
static struct datadir *datadir;
static struct build_report report;
static struct backup_error error;
static uint64_t room; /* bytes, that statvfs reports */

int __wrap_statvfs(const char *path, struct statvfs *disk);

int __wrap_statvfs(const char *path, struct statvfs *disk)
{
    (void)path;
    *disk = (struct statvfs){.f_bavail = room / 4096, .f_frsize = 4096};
    return 0;
}

static void name_users(void)
{
    for (uint32_t i = 0, named = 0; named != 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "user%u", i);
        uint32_t shard = datadir_shard_of(datadir, span_of(name));
        memcpy(users[shard], name, sizeof name);
        named |= 1u << shard;
    }
}

/* A row with a key in the timeline of the user of each shard, and other floors: 1,000,001 and 1,500,001. */
static void setup(void)
{
    struct datadir_error why;
    room = UINT64_MAX;
    strcpy(root, "/tmp/chitchat-reshard-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
    snprintf(data, sizeof data, "%s/data", root);
    snprintf(to, sizeof to, "%s/to", root);
    cr_assert_eq(datadir_open(&datadir, data, 2, 1, &why), 0, "%s", why.text);
    name_users();
    for (uint32_t shard = 0; shard < 2; shard++) {
        struct fixture fixture = {.options = {.runs_max = 8, .fan_out = 3}, .generation = shard * 500000};
        snprintf(fixture.dir, sizeof fixture.dir, "%s/shard-%04u/runs", data, shard);
        fixture_start(&fixture);
        struct rows *rows = rows_open();
        for (uint32_t i = 0; i < 40; i++)
            rows_add(rows, users[shard], 100 + i,
                     i % 2 == 0 ? memtable_key_hash(datadir_key_seed(datadir), SPAN_LITERAL("key")) : 0);
        cr_assert_eq(add(&fixture, rows), 0);
        fixture_stop(&fixture);
    }
    datadir_close(&datadir);
    cr_assert_eq(datadir_open_read(&datadir, data, false, &why), 0, "%s", why.text);
}

static void teardown(void)
{
    datadir_close(&datadir);
    remove_tree(root);
}

TestSuite(reshard, .init = setup, .fini = teardown);

static int reshard(uint32_t shards)
{
    struct reshard_options options = {.shards = shards};
    return reshard_run(datadir, to, &options, &report, &error);
}

static struct manifest_marks marks_of(uint32_t shard)
{
    char path[120];
    struct manifest_state state;
    struct store_error why = {""};
    snprintf(path, sizeof path, "%s/shard-%04u/runs/manifest.mdb", to, shard);
    cr_assert_eq(manifest_read(path, false, &state, &why), 0, "%s", why.text);
    cr_assert_leq(state.count, 1);
    struct manifest_marks marks = state.marks;
    manifest_state_fini(&state);
    return marks;
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

Test(reshard, a_new_shard_goes_on_above_the_floors_of_those_that_its_users_come_from)
{
    static const uint64_t floors[][4] = {
        {1500001}, {1000001, 1500001}, {1000001, 1500001, 1500001}, {1000001, 1000001, 1500001, 1500001}};
    for (uint32_t shards = 1; shards <= 4; shards++) {
        cr_assert_eq(reshard(shards), 0, "%s", error.text);
        cr_assert(report.entries == 80 && report.keys == 40);
        for (uint32_t i = 0; i < shards; i++) {
            cr_assert_eq(marks_of(i).last_ts, floors[shards - 1][i], "shard %u of %u: %llu", i, shards,
                         (unsigned long long)marks_of(i).last_ts);
            cr_assert(marks_of(i).applied.generation == 0 && marks_of(i).next_id == 2 && marks_of(i).next_seq == 2);
        }
        remove_tree(to);
    }
}

Test(reshard, the_identity_stays_and_all_entries_come_by_user)
{
    struct datadir *made;
    struct datadir_error why;
    struct offline *offline;
    struct offline_all *all;
    struct problems problems = {0};
    struct span user;
    struct message message;
    uint32_t count = 0;
    cr_assert_eq(reshard(3), 0, "%s", error.text);
    cr_assert_eq(datadir_open_read(&made, to, false, &why), 0, "%s", why.text);
    cr_assert_str_eq(datadir_epoch(made), datadir_epoch(datadir));
    cr_assert_eq(datadir_name_seed(made).k0, datadir_name_seed(datadir).k0);
    cr_assert_eq(datadir_key_seed(made).k1, datadir_key_seed(datadir).k1);
    cr_assert_eq(datadir_shards(made), 3);
    cr_assert_eq(offline_open(&offline, made, &problems), 0);
    cr_assert_eq(offline_all_open(&all, offline, made, (struct span){"", 0}), 0);
    struct span first = span_of(strcmp(users[0], users[1]) < 0 ? users[0] : users[1]);
    for (; offline_all_next(all, &user, &message) == 1; count++) {
        cr_assert_eq(span_equal(user, first), count < 40);
        cr_assert_eq(message.ts, 100 + count % 40);
        cr_assert_eq(message.key.bytes > 0, count % 2 == 0);
    }
    cr_assert_eq(count, 80);
    offline_all_close(&all);
    offline_close(&offline);
    datadir_close(&made);
}

/* Cuts all users of `shard` at `ts`, in the manifest: with the run of one more entry, at 200. */
static void cut_shard(uint32_t shard, uint64_t ts)
{
    struct fixture fixture = {.options = {.runs_max = 8, .fan_out = 3}, .generation = 1000000 + shard};
    snprintf(fixture.dir, sizeof fixture.dir, "%s/shard-%04u/runs", data, shard);
    fixture_start(&fixture);
    cr_assert_eq(store_cut(fixture.store, (struct span){"", 0}, ts), 0);
    struct rows *rows = rows_open();
    rows_add(rows, users[shard], 200, 0);
    cr_assert_eq(add(&fixture, rows), 0);
    fixture_stop(&fixture);
}

Test(reshard, users_of_shards_that_retention_has_cut_differently_keep_what_they_had)
{
    struct datadir *made;
    struct datadir_error why;
    struct offline *offline;
    struct offline_all *all;
    struct problems problems = {0};
    struct span user;
    struct message message;
    uint32_t counts[2] = {0};
    cut_shard(0, 129);
    cut_shard(1, 109);
    cr_assert_eq(reshard(1), 0, "%s", error.text);
    cr_assert_eq(datadir_open_read(&made, to, false, &why), 0, "%s", why.text);
    cr_assert_eq(offline_open(&offline, made, &problems), 0);
    cr_assert_eq(offline_cut_ts(offline, span_of(users[0])), 129);
    cr_assert_eq(offline_cut_ts(offline, span_of(users[1])), 109);
    cr_assert_eq(offline_all_open(&all, offline, made, (struct span){"", 0}), 0);
    while (offline_all_next(all, &user, &message) == 1)
        counts[span_equal(user, span_of(users[1]))]++;
    cr_assert_eq(counts[0], 11);
    cr_assert_eq(counts[1], 31);
    offline_all_close(&all);
    offline_close(&offline);
    datadir_close(&made);
}

Test(reshard, too_little_room_is_noticed_before_anything_is_written)
{
    room = 1 << 20;
    cr_assert_eq(reshard(3), -ENOSPC);
    cr_assert_not_null(strstr(error.text, "needs about 3 MiB and its disk has 1 MiB: make room"), "%s", error.text);
    cr_assert_not(is_there(to));
    room = 4 << 20;
    cr_assert_eq(reshard(3), 0, "%s", error.text);
}

Test(reshard, a_directory_that_has_something_is_not_touched)
{
    char file[80];
    snprintf(file, sizeof file, "%s/mine", to);
    cr_assert_eq(mkdir(to, 0700), 0);
    close(open(file, O_WRONLY | O_CREAT, 0600));
    cr_assert_eq(reshard(3), -ENOTEMPTY);
    cr_assert(is_there(file));
    cr_assert_eq(unlink(file), 0);
    snprintf(file, sizeof file, "%s/data/shard-0001/runs/manifest.mdb", root);
    cr_assert_eq(truncate(file, 4096), 0);
    cr_assert_eq(reshard(3), -EBADMSG, "%s", error.text);
    cr_assert(is_there(to), "the empty directory stays");
    cr_assert_eq(rmdir(to), 0);
}
