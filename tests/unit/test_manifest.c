/* manifest.h: what a reader in another process costs the writer: while it lives, and when it was killed. */
#include "storage/runs/manifest.h"

#include <criterion/criterion.h>
#include <lmdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMITS 60u

static char dir[64];
static char path[96];
static char lock_path[112];
static struct manifest *manifest;
static struct manifest_marks marks;

static void setup(void)
{
    marks = (struct manifest_marks){.next_id = 1, .next_seq = 1};
    strcpy(dir, "/tmp/chitchat-test-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/manifest.mdb", dir);
    snprintf(lock_path, sizeof lock_path, "%s-lock", path);
    cr_assert_eq(manifest_make(path, &marks), 0);
}

static void teardown(void)
{
    manifest_close(&manifest);
    (void)unlink(path);
    (void)unlink(lock_path);
    cr_assert_eq(rmdir(dir), 0);
}

TestSuite(manifest, .init = setup, .fini = teardown);

static void open_manifest(void)
{
    struct manifest_state state;
    struct store_error error = {""};
    cr_assert_eq(manifest_open(&manifest, path, &state, &error), 0, "%s", error.text);
    free(state.entries);
}

/* Each commit adds a run and removes the one before it. */
static void commit(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t old = marks.next_id - 1;
        struct run_entry entry = {.id = marks.next_id++, .seq_first = marks.next_seq, .seq_last = marks.next_seq};
        marks.next_seq++;
        cr_assert_eq(manifest_commit(manifest, &marks, &entry, &old, old == 0 ? 0 : 1), 0);
    }
}

static off_t size_now(void)
{
    struct stat file;
    cr_assert_eq(stat(path, &file), 0);
    return file.st_size;
}

/* -- another process, in the middle of a read -- */

struct reader {
    pid_t pid;
    int reported; /* the reader writes a byte when its transaction is open */
    int go;       /* when it is closed, the reader reads once more and ends */
};

static uint64_t rows_of(MDB_txn *txn, MDB_dbi dbi)
{
    MDB_stat stat;
    MDB_val key = {sizeof "marks" - 1, (void *)"marks"}, value;
    if (mdb_stat(txn, dbi, &stat) != 0 || mdb_get(txn, dbi, &key, &value) != 0)
        return 0;
    return stat.ms_entries;
}

/* 0: the reader saw the same at the beginning and at the end. */
static int read_slowly(int reported, int go)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    char byte = 1;
    if (mdb_env_create(&env) != 0 || mdb_env_open(env, path, MDB_NOSUBDIR | MDB_RDONLY, 0600) != 0
        || mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) != 0 || mdb_dbi_open(txn, NULL, 0, &dbi) != 0)
        return 1;
    uint64_t rows = rows_of(txn, dbi);
    if (write(reported, &byte, 1) != 1 || read(go, &byte, 1) != 0)
        return 2;
    return rows == 2 && rows_of(txn, dbi) == rows ? 0 : 3;
}

/* False: LMDB has no reader slot left. */
static bool reader_try(struct reader *reader_r)
{
    struct reader reader;
    int reported[2], go[2];
    char byte;
    cr_assert(pipe(reported) == 0 && pipe(go) == 0);
    reader.pid = fork();
    if (reader.pid == 0) {
        close(go[1]);
        alarm(60);
        _exit(read_slowly(reported[1], go[0]));
    }
    close(reported[1]);
    close(go[0]);
    reader.reported = reported[0];
    reader.go = go[1];
    *reader_r = reader;
    return read(reader.reported, &byte, 1) == 1;
}

static struct reader reader_start(void)
{
    struct reader reader;
    cr_assert(reader_try(&reader), "it reads");
    return reader;
}

static int reader_end(struct reader *reader, int signal)
{
    int end;
    if (signal != 0)
        cr_assert_eq(kill(reader->pid, signal), 0);
    close(reader->go);
    close(reader->reported);
    cr_assert_eq(waitpid(reader->pid, &end, 0), reader->pid);
    return end;
}

Test(manifest, a_reader_that_was_killed_holds_no_pages)
{
    open_manifest();
    commit(COMMITS);
    off_t before = size_now();
    struct reader reader = reader_start();
    commit(1);
    cr_assert(WIFSIGNALED(reader_end(&reader, SIGKILL)));
    commit(COMMITS);
    /* If the killed reader's slot were kept, each commit would take three or more new pages. */
    cr_assert_leq(size_now(), before + 8 * 4096, "%lld, then %lld", (long long)before, (long long)size_now());
}

Test(manifest, killed_readers_leave_places_for_others)
{
    struct manifest_state state;
    struct store_error error = {""};
    open_manifest();
    commit(1);
    /* LMDB has 126 reader slots. */
    for (int i = 0; i < 130; i++) {
        struct reader reader = reader_start();
        cr_assert(WIFSIGNALED(reader_end(&reader, SIGKILL)));
        if (i % 50 == 49)
            commit(1);
    }
    cr_assert_eq(manifest_read(path, true, &state, &error), 0, "%s", error.text);
    cr_assert_eq(state.count, 1);
    free(state.entries);
}

/* Reads in another process, as a backup does. In this process LMDB would find no other user and reset the lock file. */
static int read_apart(void)
{
    struct manifest_state state;
    struct store_error error = {""};
    int end;
    pid_t pid = fork();
    if (pid == 0)
        _exit(manifest_read(path, true, &state, &error) == 0 && state.count == 1 ? 0 : 1);
    cr_assert_eq(waitpid(pid, &end, 0), pid);
    return end;
}

Test(manifest, who_finds_no_place_takes_one_of_those_that_were_killed)
{
    struct reader reader;
    uint32_t killed = 0;
    open_manifest();
    commit(1);
    for (; reader_try(&reader); killed++)
        cr_assert(WIFSIGNALED(reader_end(&reader, SIGKILL)));
    (void)reader_end(&reader, 0);
    cr_assert_gt(killed, 100);
    cr_assert_eq(read_apart(), 0);
}

Test(manifest, a_reader_that_lives_goes_on_seeing_what_it_began_with)
{
    open_manifest();
    commit(COMMITS);
    struct reader reader = reader_start();
    commit(COMMITS);
    int end = reader_end(&reader, 0);
    cr_assert(WIFEXITED(end) && WEXITSTATUS(end) == 0, "it ended with %d", end);
}

Test(manifest, the_files_of_the_next_segments_are_kept_apart_from_the_runs)
{
    struct wal_assigned assigned = {0};
    struct manifest_state state;
    struct store_error error = {""};
    cr_assert_eq(manifest_read(path, false, &state, &error), 0, "%s", error.text);
    cr_assert_eq(state.assigned.count, 0, "a manifest without a list");
    free(state.entries);
    open_manifest();
    for (uint32_t i = 0; i < WAL_ASSIGNED_MAX; i++)
        wal_assigned_add(&assigned, UINT64_C(1) << (40 + i), UINT32_MAX - i);
    cr_assert_eq(manifest_assign(manifest, &assigned), 0);
    commit(2);
    cr_assert_eq(manifest_read(path, false, &state, &error), 0, "%s", error.text);
    cr_assert_eq(state.count, 1);
    cr_assert_eq(state.assigned.count, WAL_ASSIGNED_MAX);
    cr_assert_arr_eq(state.assigned.segments, assigned.segments, sizeof assigned.segments);
    free(state.entries);
    assigned.count = 1;
    cr_assert_eq(manifest_assign(manifest, &assigned), 0);
    cr_assert_eq(manifest_read(path, false, &state, &error), 0, "%s", error.text);
    cr_assert_eq(state.assigned.count, 1);
    cr_assert_eq(state.marks.next_id, marks.next_id, "the marks are as before");
    free(state.entries);
}
