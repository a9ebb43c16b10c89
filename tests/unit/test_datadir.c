#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "remove_tree.h"
#include "storage/datadir/datadir.h"
#include "storage/datadir/datadir_make.h"
#include "storage/datadir/datadir_meta.h"

static char root[32];
static char path[256];
static struct datadir *dir;
static struct datadir_error error;

static void setup(void)
{
    strcpy(root, "/tmp/chitchat-datadir-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
    (void)snprintf(path, sizeof path, "%s/data", root);
}

static void teardown(void)
{
    datadir_close(&dir);
    cr_assert_eq(remove_tree(root), 0);
}

TestSuite(datadir, .init = setup, .fini = teardown);

static const char *in_data(const char *name)
{
    static char full[512];
    (void)snprintf(full, sizeof full, "%s/%s", path, name);
    return full;
}

static bool is_there(const char *name)
{
    struct stat stat;
    return lstat(in_data(name), &stat) == 0;
}

static void file_write(const char *name, const char *text)
{
    FILE *file = fopen(in_data(name), "w");
    cr_assert_not_null(file);
    cr_assert_geq(fputs(text, file), 0);
    cr_assert_eq(fclose(file), 0);
}

static size_t file_read(const char *name, char *text, size_t bytes)
{
    FILE *file = fopen(in_data(name), "r");
    cr_assert_not_null(file);
    size_t got = fread(text, 1, bytes - 1, file);
    text[got] = '\0';
    (void)fclose(file);
    return got;
}

/* Makes a data set of 2 shards and closes it. */
static void make_two(void)
{
    cr_assert_eq(datadir_open(&dir, path, 2, 1, &error), 0, "%s", error.text);
    datadir_close(&dir);
}

static void assert_refused(int code, uint32_t shards, const char *said)
{
    cr_assert_eq(datadir_open(&dir, path, shards, 4, &error), code, "%s", error.text);
    cr_assert_null(dir);
    cr_assert_not_null(strstr(error.text, said), "%s", error.text);
    cr_assert_null(strchr(error.text, '\n'));
}

Test(datadir, a_new_one_is_made_with_the_default_shards)
{
    cr_assert_eq(datadir_open(&dir, path, 0, 3, &error), 0, "%s", error.text);
    cr_assert_eq(datadir_shards(dir), 3);
    cr_assert(is_there("META") && is_there("LOCK") && !is_there("META.new"));
    cr_assert(is_there("shard-0000/wal") && is_there("shard-0002/runs"));
    cr_assert_not(is_there("shard-0003"));
    cr_assert_eq(strlen(datadir_epoch(dir)), DATADIR_EPOCH_CHARS);
    cr_assert_eq(strspn(datadir_epoch(dir), "0123456789abcdef"), DATADIR_EPOCH_CHARS);
    cr_assert_str_eq(datadir_path(dir), path);
}

Test(datadir, an_empty_directory_becomes_one)
{
    cr_assert_eq(mkdir(path, 0700), 0);
    cr_assert_eq(datadir_open(&dir, path, 2, 1, &error), 0, "%s", error.text);
    cr_assert_eq(datadir_shards(dir), 2);
}

Test(datadir, what_was_drawn_stays)
{
    cr_assert_eq(datadir_open(&dir, path, 2, 1, &error), 0);
    char epoch[DATADIR_EPOCH_CHARS + 1];
    memcpy(epoch, datadir_epoch(dir), sizeof epoch);
    struct hash_key name_seed = datadir_name_seed(dir);
    struct hash_key key_seed = datadir_key_seed(dir);
    datadir_close(&dir);
    cr_assert_null(dir);
    cr_assert_eq(datadir_open(&dir, path, 0, 7, &error), 0, "%s", error.text);
    cr_assert_eq(datadir_shards(dir), 2);
    cr_assert_str_eq(datadir_epoch(dir), epoch);
    cr_assert(datadir_name_seed(dir).k0 == name_seed.k0 && datadir_name_seed(dir).k1 == name_seed.k1);
    cr_assert(datadir_key_seed(dir).k0 == key_seed.k0 && datadir_key_seed(dir).k1 == key_seed.k1);
}

Test(datadir, two_data_sets_differ_in_epoch_and_seeds)
{
    struct datadir *other;
    char other_path[300];
    (void)snprintf(other_path, sizeof other_path, "%s/other", root);
    cr_assert_eq(datadir_open(&dir, path, 1, 1, &error), 0);
    cr_assert_eq(datadir_open(&other, other_path, 1, 1, &error), 0);
    cr_assert_str_neq(datadir_epoch(dir), datadir_epoch(other));
    cr_assert_neq(datadir_name_seed(dir).k0, datadir_name_seed(other).k0);
    cr_assert_neq(datadir_key_seed(dir).k0, datadir_key_seed(other).k0);
    cr_assert_neq(datadir_key_seed(dir).k0, datadir_name_seed(dir).k0);
    datadir_close(&other);
}

Test(datadir, a_second_server_is_refused_and_told_who_has_it)
{
    char who[32];
    cr_assert_eq(datadir_open(&dir, path, 2, 1, &error), 0);
    struct datadir *second = NULL;
    cr_assert_eq(datadir_open(&second, path, 2, 1, &error), -EBUSY);
    cr_assert_null(second);
    (void)snprintf(who, sizeof who, "process %d", (int)getpid());
    cr_assert_not_null(strstr(error.text, "in use by another chitchat"), "%s", error.text);
    cr_assert_not_null(strstr(error.text, who), "%s", error.text);
    datadir_close(&dir);
    cr_assert_eq(datadir_open(&dir, path, 2, 1, &error), 0, "the lock is gone with the close");
}

Test(datadir, another_number_of_shards_is_refused_with_the_right_one)
{
    make_two();
    assert_refused(-EINVAL, 3, "--shards 2");
    cr_assert_not(is_there("shard-0002"));
    cr_assert_eq(datadir_open(&dir, path, 2, 4, &error), 0, "%s", error.text);
}

Test(datadir, another_format_is_refused_and_named)
{
    make_two();
    file_write("META", "chitchat-data 7\nwhatever it holds\n");
    assert_refused(-EPROTO, 0, "data format 7, and");
    cr_assert_not_null(strstr(error.text, "start chitchat of the version that wrote it or a later one"));
    char text[DATADIR_META_BYTES];
    file_read("META", text, sizeof text);
    cr_assert_str_eq(text, "chitchat-data 7\nwhatever it holds\n");
}

Test(datadir, a_newer_format_is_refused_with_the_version_that_it_needs)
{
    make_two();
    file_write("META", "chitchat-data 4\nversion 0.7.1\nwhatever it holds\n");
    assert_refused(-EPROTO, 0, "data format 4 of chitchat 0.7.1, and this chitchat reads the formats 1 to 3");
    cr_assert_not_null(strstr(error.text, "start chitchat 0.7.1 or a later one"), "%s", error.text);
    file_write("META", "chitchat-data 0\n");
    assert_refused(-EPROTO, 0, "start an older version");
}

/* The META of format 1, byte by byte. */
static void make_format_1(void)
{
    char text[DATADIR_META_BYTES];
    struct datadir_meta meta = {
        .format = 1, .shards = 2, .epoch = "0123456789abcdeffedcba9876543210", .name_seed = {1, 2}, .key_seed = {3, 4}};
    make_two();
    text[datadir_meta_write(&meta, text)] = '\0';
    file_write("META", text);
    cr_assert_eq(strncmp(text, "chitchat-data 1\nshards 2\nepoch 0123", 35), 0);
}

Test(datadir, an_older_format_is_read_unchanged_and_raised_by_a_server)
{
    char before[DATADIR_META_BYTES], text[DATADIR_META_BYTES];
    make_format_1();
    file_read("META", before, sizeof before);
    cr_assert_eq(datadir_open_read(&dir, path, false, &error), 0, "%s", error.text);
    cr_assert_eq(datadir_meta(dir)->format, 1);
    datadir_close(&dir);
    file_read("META", text, sizeof text);
    cr_assert_str_eq(text, before, "reading changes nothing");
    cr_assert_eq(datadir_open(&dir, path, 0, 4, &error), 0, "%s", error.text);
    cr_assert_eq(datadir_meta(dir)->format, DATADIR_FORMAT);
    cr_assert_str_eq(datadir_epoch(dir), "0123456789abcdeffedcba9876543210");
    cr_assert(datadir_name_seed(dir).k1 == 2 && datadir_key_seed(dir).k0 == 3 && datadir_shards(dir) == 2);
    file_read("META", text, sizeof text);
    cr_assert_eq(strncmp(text, "chitchat-data 3\nversion ", 24), 0, "%s", text);
    cr_assert_not(is_there("META.new"));
}

Test(datadir, an_older_format_that_cannot_be_raised_stays_as_it_is)
{
    char before[DATADIR_META_BYTES], text[DATADIR_META_BYTES];
    make_format_1();
    file_read("META", before, sizeof before);
    cr_assert_eq(mkdir(in_data("META.new"), 0700), 0);
    assert_refused(-EISDIR, 0, "META");
    file_read("META", text, sizeof text);
    cr_assert_str_eq(text, before);
    cr_assert_eq(rmdir(in_data("META.new")), 0);
}

Test(datadir, a_directory_of_something_else_is_refused_untouched)
{
    cr_assert_eq(mkdir(path, 0700), 0);
    file_write("letters.txt", "dear");
    assert_refused(-EEXIST, 0, "letters.txt");
    cr_assert_not(is_there("LOCK"));
    cr_assert_not(is_there("META"));
    cr_assert_not(is_there("shard-0000"));
}

Test(datadir, any_flipped_byte_of_meta_is_refused)
{
    make_two();
    char text[DATADIR_META_BYTES];
    size_t bytes = file_read("META", text, sizeof text);
    for (size_t i = 0; i < bytes; i++) {
        char was = text[i];
        text[i] ^= 1;
        file_write("META", text);
        int result = datadir_open(&dir, path, 0, 4, &error);
        cr_assert(result == -EBADMSG || result == -EPROTO, "byte %zu: %d %s", i, result, error.text);
        text[i] = was;
    }
    file_write("META", text);
    cr_assert_eq(datadir_open(&dir, path, 0, 4, &error), 0, "%s", error.text);
}

Test(datadir, a_cut_or_longer_meta_is_refused)
{
    make_two();
    char text[DATADIR_META_BYTES];
    size_t bytes = file_read("META", text, sizeof text);
    file_write("META", "");
    assert_refused(-EBADMSG, 0, "META is damaged");
    text[bytes] = '\n';
    text[bytes + 1] = '\0';
    file_write("META", text);
    assert_refused(-EBADMSG, 0, "META is damaged");
    text[bytes - 1] = '\0';
    file_write("META", text);
    assert_refused(-EBADMSG, 0, "META is damaged");
}

Test(datadir, shards_without_meta_are_never_taken_for_new)
{
    make_two();
    cr_assert_eq(unlink(in_data("META")), 0);
    assert_refused(-EEXIST, 2, "no META");
    cr_assert_not(is_there("META"));
    cr_assert_not(is_there("META.new"));
}

Test(datadir, shards_with_content_without_meta_are_refused_even_if_half_made)
{
    make_two();
    cr_assert_eq(unlink(in_data("META")), 0);
    file_write("META.new", "");
    file_write("shard-0001/wal/segment-000001.wal", "x");
    assert_refused(-EEXIST, 2, "no META");
    cr_assert(is_there("shard-0001/wal/segment-000001.wal"));
    cr_assert(is_there("shard-0000/wal"));
}

Test(datadir, a_half_made_one_is_made_anew_also_with_other_shards)
{
    make_two();
    cr_assert_eq(unlink(in_data("META")), 0);
    file_write("META.new", "chitchat-da");
    cr_assert_eq(rmdir(in_data("shard-0001/runs")), 0);
    cr_assert_eq(datadir_open(&dir, path, 1, 4, &error), 0, "%s", error.text);
    cr_assert_eq(datadir_shards(dir), 1);
    cr_assert(is_there("shard-0000/wal") && is_there("shard-0000/runs"));
    cr_assert_not(is_there("shard-0001"), "of the attempt");
    cr_assert_not(is_there("META.new"));
}

Test(datadir, a_lock_file_alone_is_an_empty_directory)
{
    cr_assert_eq(mkdir(path, 0700), 0);
    file_write("LOCK", "1\n");
    cr_assert_eq(datadir_open(&dir, path, 0, 2, &error), 0, "%s", error.text);
}

Test(datadir, one_that_is_being_made_by_another_is_refused)
{
    cr_assert_eq(mkdir(path, 0700), 0);
    int fd = open(in_data("LOCK"), O_RDWR | O_CREAT, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
    assert_refused(-EBUSY, 2, "in use by another chitchat");
    cr_assert_not(is_there("META"));
    cr_assert_not(is_there("shard-0000"));
    close(fd);
}

Test(datadir, a_missing_shard_directory_is_refused_by_name)
{
    make_two();
    cr_assert_eq(rmdir(in_data("shard-0001/runs")), 0);
    assert_refused(-EBADMSG, 0, "shard-0001/runs is missing");
    cr_assert_not(is_there("shard-0001/runs"));
}

Test(datadir, a_path_that_is_a_file_is_refused)
{
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    (void)fclose(file);
    assert_refused(-ENOTDIR, 0, "must be a directory");
}

Test(datadir, a_missing_parent_is_refused_and_not_made)
{
    char parent[300];
    struct stat stat;
    (void)snprintf(parent, sizeof parent, "%s/no/data", root);
    cr_assert_eq(datadir_open(&dir, parent, 0, 4, &error), -ENOENT);
    cr_assert_not_null(strstr(error.text, "directory above it"), "%s", error.text);
    (void)snprintf(parent, sizeof parent, "%s/no", root);
    cr_assert_neq(lstat(parent, &stat), 0);
}

/* Root may write everywhere: the check runs as another user. */
Test(datadir, no_permission_is_refused_with_what_to_do)
{
    make_two();
    cr_assert_eq(chmod(root, 0755), 0);
    cr_assert_eq(unlink(in_data("LOCK")), 0);
    cr_assert_eq(chmod(path, 0555), 0);
    cr_assert_eq(chmod(in_data("META"), 0444), 0);
    for (int shard = 0; shard < 2; shard++)
        cr_assert_eq(chmod(in_data(shard == 0 ? "shard-0000" : "shard-0001"), 0755), 0);
    bool was_root = geteuid() == 0;
    if (was_root)
        cr_assert_eq(seteuid(65534), 0);
    int result = datadir_open(&dir, path, 0, 4, &error);
    if (was_root)
        cr_assert_eq(seteuid(0), 0);
    cr_assert_eq(result, -EACCES, "%d %s", result, error.text);
    cr_assert_not_null(strstr(error.text, "let the server's user"), "%s", error.text);
    cr_assert_eq(chmod(path, 0755), 0);
}

Test(datadir, paths_of_shards_are_as_written)
{
    char out[512];
    char expected[512];
    cr_assert_eq(datadir_open(&dir, path, 2, 1, &error), 0);
    cr_assert_eq(datadir_wal_path(dir, 1, out, sizeof out), 0);
    (void)snprintf(expected, sizeof expected, "%s/shard-0001/wal", path);
    cr_assert_str_eq(out, expected);
    cr_assert_eq(datadir_runs_path(dir, 0, out, sizeof out), 0);
    (void)snprintf(expected, sizeof expected, "%s/shard-0000/runs", path);
    cr_assert_str_eq(out, expected);
    cr_assert_eq(datadir_runs_path(dir, 0, out, strlen(expected)), -ENAMETOOLONG);
    cr_assert_eq(datadir_runs_path(dir, 0, out, strlen(expected) + 1), 0);
}

Test(datadir, users_spread_over_all_shards_and_stay_where_they_are)
{
    cr_assert_eq(datadir_open(&dir, path, 4, 1, &error), 0);
    uint32_t counts[4] = {0};
    uint32_t shards[1000];
    for (uint32_t i = 0; i < 1000; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "user%u", i);
        shards[i] = datadir_shard_of(dir, span_of(name));
        cr_assert_lt(shards[i], 4);
        counts[shards[i]]++;
    }
    for (int shard = 0; shard < 4; shard++)
        cr_assert(counts[shard] > 150 && counts[shard] < 350, "%u", counts[shard]);
    datadir_close(&dir);
    cr_assert_eq(datadir_open(&dir, path, 0, 1, &error), 0);
    for (uint32_t i = 0; i < 1000; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "user%u", i);
        cr_assert_eq(datadir_shard_of(dir, span_of(name)), shards[i]);
    }
}

/* A change of the hash would lose every message of a data set that is there. */
Test(datadir, the_shard_of_a_user_is_the_upper_half_of_the_hash_scaled)
{
    cr_assert_eq(datadir_open(&dir, path, 5, 1, &error), 0);
    uint64_t hash = hash_siphash13(datadir_name_seed(dir), SPAN_LITERAL("alice"));
    cr_assert_eq(datadir_shard_of(dir, SPAN_LITERAL("alice")), (uint32_t)((hash >> 32) * 5 >> 32));
}

Test(datadir_meta, what_is_written_is_read)
{
    struct datadir_meta meta = {
        .shards = 1024, .epoch = "0123456789abcdeffedcba9876543210", .name_seed = {1, UINT64_MAX}, .key_seed = {0, 42}};
    struct datadir_meta back;
    char text[DATADIR_META_BYTES];
    datadir_meta_set_format(&meta);
    size_t bytes = datadir_meta_write(&meta, text);
    cr_assert_eq(datadir_meta_read((struct span){text, bytes}, &back), 0);
    cr_assert_eq(back.format, DATADIR_FORMAT);
    cr_assert_str_eq(back.version, meta.version);
    cr_assert_eq(back.shards, 1024);
    cr_assert_str_eq(back.epoch, meta.epoch);
    cr_assert(back.name_seed.k0 == 1 && back.name_seed.k1 == UINT64_MAX);
    cr_assert(back.key_seed.k0 == 0 && back.key_seed.k1 == 42);
    for (size_t cut = 0; cut < bytes; cut++)
        cr_assert_neq(datadir_meta_read((struct span){text, cut}, &back), 0);
}

static struct datadir_meta make_cluster(const char *name)
{
    struct datadir_meta meta;
    cr_assert_eq(datadir_draw(3, &meta), 0);
    (void)snprintf(meta.cluster, sizeof meta.cluster, "%s", name);
    return meta;
}

Test(datadir, an_empty_directory_becomes_a_node_of_the_cluster)
{
    struct datadir_meta meta = make_cluster("chat");
    cr_assert_eq(datadir_open_cluster(&dir, path, &meta, &error), 0, "%s", error.text);
    cr_assert_eq(datadir_shards(dir), 3);
    cr_assert_str_eq(datadir_cluster(dir), "chat");
    cr_assert_str_eq(datadir_epoch(dir), meta.epoch);
    cr_assert_eq(datadir_name_seed(dir).k1, meta.name_seed.k1);
    cr_assert_eq(datadir_key_seed(dir).k0, meta.key_seed.k0);
    datadir_close(&dir);
    cr_assert_eq(datadir_open_cluster(&dir, path, &meta, &error), 0, "%s", error.text);
    datadir_close(&dir);
    struct datadir_check check;
    cr_assert_eq(datadir_check(path, 0, &check, &error), 0);
    cr_assert_str_eq(check.cluster, "chat");
    assert_refused(-EINVAL, 0, "give --cluster");
}

Test(datadir, a_cluster_takes_no_directory_of_another_one_or_of_none)
{
    struct datadir_meta meta = make_cluster("chat"), other = make_cluster("talk"), again = make_cluster("chat");
    make_two();
    cr_assert_eq(datadir_open_cluster(&dir, path, &meta, &error), -EINVAL);
    cr_assert_not_null(strstr(error.text, "was made without --cluster"), "%s", error.text);
    char node_path[300];
    (void)snprintf(node_path, sizeof node_path, "%s/node", root);
    cr_assert_eq(datadir_open_cluster(&dir, node_path, &meta, &error), 0, "%s", error.text);
    datadir_close(&dir);
    cr_assert_eq(datadir_open_cluster(&dir, node_path, &other, &error), -EINVAL);
    cr_assert_not_null(strstr(error.text, "of the cluster chat"), "%s", error.text);
    cr_assert_eq(datadir_open_cluster(&dir, node_path, &again, &error), -EINVAL, "made again under the same name");
    cr_assert_null(dir);
}
