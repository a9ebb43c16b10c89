/* backup.h, on one file system, where runs are linked; disk-backup.test.mjs has what is copied. (The program is linked
 * with --wrap=copy_link.) */
#include "store_fixture.h"

#include "storage/datadir/backup_lock.h"
#include "storage/datadir/datadir.h"
#include "storage/offline/backup_private.h"
#include "storage/offline/backup_set.h"
#include "storage/offline/copy.h"
#include "storage/offline/remove.h"

static char root[28];
static char data[40], to[40], restored[40];
static struct fixture fixture;
static struct datadir *datadir;
static struct backup_report report;
static struct backup_error error;
static bool is_overtaken; /* while the next run is linked */
static bool is_apart;     /* the backups are on another file system than the data */

/* A data directory of one shard with one run. */
static void setup(void)
{
    struct datadir_error why;
    is_overtaken = is_apart = false;
    fixture = (struct fixture){.store = NULL};
    strcpy(root, "/tmp/chitchat-backup-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
    snprintf(data, sizeof data, "%s/data", root);
    snprintf(to, sizeof to, "%s/to", root);
    snprintf(restored, sizeof restored, "%s/restored", root);
    cr_assert_eq(datadir_open(&datadir, data, 1, 1, &why), 0, "%s", why.text);
    datadir_close(&datadir);
    fixture.options = (struct store_options){.runs_max = 8, .fan_out = 3};
    snprintf(fixture.dir, sizeof fixture.dir, "%s/shard-0000/runs", data);
    fixture_start(&fixture);
    add_user(&fixture, "alice", 1, 1, 50);
    fixture_stop(&fixture);
}

static void teardown(void)
{
    datadir_close(&datadir);
    remove_tree(root);
}

TestSuite(backup, .init = setup, .fini = teardown);

int __real_copy_link(const char *from, uint64_t bytes, const char *path, struct copy_report *files);
int __wrap_copy_link(const char *from, uint64_t bytes, const char *path, struct copy_report *files);

int __wrap_copy_link(const char *from, uint64_t bytes, const char *path, struct copy_report *files)
{
    if (is_overtaken)
        cr_assert_eq(backup_lock_overtake(data), 0);
    is_overtaken = false;
    if (is_apart && strncmp(from, data, strlen(data)) == 0)
        return -EXDEV;
    return __real_copy_link(from, bytes, path, files);
}

static void look_at(const char *dir)
{
    struct datadir_error why;
    datadir_close(&datadir);
    cr_assert_eq(datadir_open_read(&datadir, dir, false, &why), 0, "%s", why.text);
}

static const char *path_of(const char *dir, const char *name)
{
    static char path[160];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static bool has(const char *dir, const char *name)
{
    return access(path_of(dir, name), F_OK) == 0;
}

/* Changes the length of the run by `bytes`, which may be negative. */
static void change_length(const char *dir, off_t bytes)
{
    struct stat file;
    const char *path = path_of(dir, "shard-0000/runs/run-000000000001.mdb");
    cr_assert_eq(stat(path, &file), 0);
    cr_assert_eq(truncate(path, file.st_size + bytes), 0);
}

Test(backup, a_store_is_backed_up_and_restored)
{
    look_at(data);
    cr_assert_eq(backup_make(datadir, to, &(struct backup_options){.wall_us = 1}, &report, &error), 0, "%s",
                 error.text);
    cr_assert(report.runs == 1 && report.files.linked == 1);
    cr_assert(has(to, "BACKUP") && !has(to, "BACKUP.new") && !has(to, "shard-0000/runs/manifest.mdb-lock"));
    look_at(to);
    cr_assert_eq(backup_restore(datadir, restored, &report, &error), 0, "%s", error.text);
    cr_assert(report.runs == 1 && report.files.linked == 1 && has(restored, "META"));
    look_at(restored);
}

Test(backup, a_run_of_another_length_than_its_manifest_says_is_refused)
{
    for (off_t bytes = -1; bytes <= 1; bytes += 2) {
        change_length(data, bytes);
        look_at(data);
        cr_assert_eq(backup_make(datadir, to, &(struct backup_options){.wall_us = 1}, &report, &error), -EBADMSG);
        cr_assert_not_null(strstr(error.text, "run-000000000001.mdb has "));
        cr_assert_not(has(to, "BACKUP"));
        change_length(data, -bytes);
        remove_tree(to);
    }
}

Test(backup, what_was_cut_in_a_backup_is_not_restored)
{
    look_at(data);
    cr_assert_eq(backup_make(datadir, to, &(struct backup_options){.wall_us = 1}, &report, &error), 0, "%s",
                 error.text);
    change_length(to, -4096);
    look_at(to);
    cr_assert_eq(backup_restore(datadir, restored, &report, &error), -EBADMSG);
    cr_assert_not_null(strstr(error.text, "to/shard-0000/runs/run-000000000001.mdb has "));
    cr_assert_not(has(restored, "META"));
}

Test(backup, one_that_was_overtaken_while_it_was_made_says_so_and_the_next_one_is_whole)
{
    look_at(data);
    is_overtaken = true;
    cr_assert_eq(backup_make(datadir, to, &(struct backup_options){.wall_us = 1}, &report, &error), -ESTALE);
    cr_assert_not_null(strstr(error.text, "make the backup again"));
    cr_assert_not(has(to, "BACKUP"));
    remove_tree(to);
    cr_assert_eq(backup_make(datadir, to, &(struct backup_options){.wall_us = 1}, &report, &error), 0, "%s",
                 error.text);
}

/* The disk keeps an earlier manifest, which is sound but not the one that was written. */
Test(backup, a_manifest_that_is_sound_and_says_something_else_is_refused)
{
    struct manifest_state state;
    struct store_error why = {""};
    char path[160];
    snprintf(path, sizeof path, "%s/manifest.mdb", fixture.dir);
    cr_assert_eq(manifest_read(path, false, &state, &why), 0, "%s", why.text);
    cr_assert_eq(state.count, 1);
    cr_assert_eq(backup_check_manifest(fixture.dir, &state, &error), 0, "%s", error.text);
    state.marks.last_ts++;
    cr_assert_eq(backup_check_manifest(fixture.dir, &state, &error), -EBADMSG);
    cr_assert_not_null(strstr(error.text, "manifest.mdb does not say what was written"));
    state.marks.last_ts--;
    state.entries[0].rows++;
    cr_assert_eq(backup_check_manifest(fixture.dir, &state, &error), -EBADMSG);
    state.count = 0;
    cr_assert_eq(backup_check_manifest(fixture.dir, &state, &error), -EBADMSG);
    free(state.entries);
}

static struct backup_set_report made;

static int add_backup(uint32_t keep)
{
    struct backup_set_options options = {.wall_us = UINT64_C(1763900000000000), .keep = keep};
    look_at(data);
    return backup_set_add(datadir, to, &options, &made, &error);
}

static void add_run(uint32_t user)
{
    char name[16];
    snprintf(name, sizeof name, "user%u", user);
    datadir_close(&datadir);
    fixture_start(&fixture);
    add_user(&fixture, name, 1000 * user, 1, 50);
    fixture_stop(&fixture);
}

static ino_t inode_of(const char *backup, const char *run)
{
    struct stat file;
    char name[120];
    snprintf(name, sizeof name, "%s/shard-0000/runs/%s", backup, run);
    cr_assert_eq(stat(path_of(to, name), &file), 0, "%s", name);
    return file.st_ino;
}

#define FIRST "backup-000001-20251123T121320Z"
#define SECOND "backup-000002-20251123T121320Z"
#define THIRD "backup-000003-20251123T121320Z"

Test(backup_set, a_second_backup_copies_only_what_is_new, .init = setup, .fini = teardown)
{
    is_apart = true;
    cr_assert_eq(add_backup(0), 0, "%s", error.text);
    cr_assert(made.made.runs == 1 && made.made.shared == 0);
    uint64_t first_bytes = made.made.files.bytes;
    cr_assert_eq(add_backup(0), 0, "%s", error.text);
    cr_assert(made.made.runs == 1 && made.made.shared == 1 && made.made.files.bytes < first_bytes);
    cr_assert_eq(inode_of(FIRST, "run-000000000001.mdb"), inode_of(SECOND, "run-000000000001.mdb"));
    add_run(2);
    cr_assert_eq(add_backup(0), 0, "%s", error.text);
    cr_assert(made.made.runs == 2 && made.made.shared == 1);
    cr_assert(has(to, FIRST "/BACKUP") && has(to, SECOND "/BACKUP") && has(to, THIRD "/BACKUP"));
    look_at(to);
    cr_assert_str_eq(datadir_path(datadir), path_of(to, THIRD));
}

/* The data directory was set back to an earlier state, as a snapshot of a disk does: the number was given again. */
Test(backup_set, a_run_with_the_same_number_and_another_content_is_copied, .init = setup, .fini = teardown)
{
    char saved[60], command[400];
    is_apart = true;
    snprintf(saved, sizeof saved, "%s/saved", root);
    snprintf(command, sizeof command, "cp -a %s %s", data, saved);
    cr_assert_eq(system(command), 0);
    add_run(2);
    cr_assert_eq(add_backup(0), 0, "%s", error.text);
    datadir_close(&datadir);
    snprintf(command, sizeof command, "rm -r %s && mv %s %s", data, saved, data);
    cr_assert_eq(system(command), 0);
    add_run(3);
    cr_assert_eq(add_backup(0), 0, "%s", error.text);
    cr_assert(made.made.runs == 2 && made.made.shared == 1);
    cr_assert_neq(inode_of(FIRST, "run-000000000002.mdb"), inode_of(SECOND, "run-000000000002.mdb"));
}

Test(backup_set, the_oldest_are_removed_when_the_new_one_is_complete_and_not_before, .init = setup, .fini = teardown)
{
    cr_assert_eq(add_backup(2), 0, "%s", error.text);
    cr_assert_eq(add_backup(2), 0, "%s", error.text);
    cr_assert_eq(made.removed, 0);
    is_overtaken = true;
    cr_assert_eq(add_backup(2), -ESTALE);
    cr_assert(has(to, FIRST "/BACKUP") && has(to, SECOND "/BACKUP") && has(to, THIRD "/BACKUP.new"));
    look_at(to);
    cr_assert_str_eq(datadir_path(datadir), path_of(to, SECOND));
    cr_assert_eq(add_backup(2), 0, "%s", error.text);
    cr_assert_eq(made.removed, 1);
    cr_assert(!has(to, FIRST) && has(to, SECOND "/BACKUP") && !has(to, THIRD));
    cr_assert(has(to, "backup-000004-20251123T121320Z/BACKUP"));
    cr_assert_eq(add_backup(1), 0, "%s", error.text);
    cr_assert_eq(made.removed, 2);
    cr_assert_not(has(to, SECOND));
}

Test(backup_set, a_file_that_is_not_of_chitchat_stays, .init = setup, .fini = teardown)
{
    cr_assert_eq(add_backup(0), 0, "%s", error.text);
    FILE *file = fopen(path_of(to, FIRST "/notes"), "w");
    cr_assert_not_null(file);
    fclose(file);
    cr_assert_eq(add_backup(1), -ENOTEMPTY);
    cr_assert_not_null(strstr(error.text, FIRST " cannot be removed: it has a file that is not of chitchat"));
    cr_assert(has(to, FIRST "/notes") && !has(to, FIRST "/BACKUP") && has(to, SECOND "/BACKUP"));
    cr_assert_str_eq(made.path, path_of(to, SECOND));
    cr_assert_eq(remove_data(path_of(to, SECOND), true), 0);
    cr_assert_not(has(to, SECOND));
}

Test(backup_set, a_copy_of_a_shard_s_directory_that_somebody_made_stays, .init = setup, .fini = teardown)
{
    static const char *const made_by_hand[] = {FIRST "/shard-0000.old", FIRST "/shard-0000.old/wal"};
    cr_assert_eq(add_backup(0), 0, "%s", error.text);
    for (size_t i = 0; i < 2; i++)
        cr_assert_eq(mkdir(path_of(to, made_by_hand[i]), 0700), 0);
    FILE *file = fopen(path_of(to, FIRST "/shard-0000.old/wal/segment-000001.wal"), "w");
    cr_assert_not_null(file);
    fclose(file);
    cr_assert_eq(remove_data(path_of(to, FIRST), true), -ENOTEMPTY);
    cr_assert(has(to, FIRST "/shard-0000.old/wal/segment-000001.wal"));
    cr_assert_not(has(to, FIRST "/shard-0000"));
}
